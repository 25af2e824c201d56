// The form in which a question is written: where it looks, how it is answered, what it may take, and files for it.
import { conversation } from './conversation.js'
import { byId, el, foreign, number, readable, say, trouble } from './dom.js'
import { icon } from './icons.js'
import { legendOf } from './marks.js'
import { closePicker, installPicker, openPicker } from './picker.js'
import { remarkOf } from './remarks.js'
import { get, may, post } from './rest.js'
import { describeScope, drawChips, inScope, isEverything, onScope, readScope } from './scope.js'
import { suggestFirst } from './suggestions.js'
import { t, tn } from './text.js'

const ESTIMATE_MS = 200
let estimating = null
let attachments = null
let isWaiting = false
let isBusy = false
let ask = () => {}
let state = null

export async function prepare() {
  if (!may('ask')) return
  try {
    const [found, status] = await Promise.all([get('/v1/collections'), get('/v1/status')])
    state = status
    const lost = await readScope(found.collections)
    if (lost) {
      byId('trouble').replaceChildren(el('p', { class: 'notice warn' }, el('strong', { text: tn(lost, '{n} document or collection of this link is not available', '{n} documents or collections of this link are not available') }),
        t('It was deleted, or you have no access to it. Your question looks in the rest.')))
    }
    showOptions()
    showEmpty()
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
}

// Draws the middle of a page on which nothing was asked yet.
function showEmpty() {
  const counts = state.documents
  const searchable = (counts.ready ?? 0) + (counts.searchable ?? 0) + (counts.embedding ?? 0)
  const place = byId('empty')
  place.hidden = Boolean(conversation.id) || byId('turns').hasChildNodes()
  if (searchable || !isEverything()) {
    const { documents, collections } = inScope()
    const title = documents.length ? tn(documents.length, 'Ask about this document', 'Ask about these documents') : collections.length ? t('Ask about {name}', { name: describeScope() }) : t('What would you like to know?')
    place.replaceChildren(...[icon('message-square'), el('h2', { text: title }),
      isEverything() ? el('p', { text: tn(searchable, 'You can ask about {n} document.', 'You can ask about {n} documents.') }) : documents.length === 1 ? foreign(describeScope(), 'p') : null,
      el('p', { text: t('Answers have numbered sources. Press a number to see the exact words in the document.') })].filter(Boolean))
    if (!place.hidden) suggestFirst(place, inScope(), askWith)
  } else {
    place.replaceChildren(...[icon('files'), el('h2', { text: t('There are no documents yet') }),
      el('p', { text: may('write') ? t('Add a few files. You can ask about a file as soon as it can be searched.') : t('Somebody who can upload documents has to add some first.') }),
      may('write') ? el('div', { class: 'row' },
        el('button', { type: 'button', class: 'main', onclick: () => byId('attached-files').click() }, icon('upload'), el('span', { text: t('Choose files') })),
        el('a', { class: 'button', href: '/library', text: t('Open the library') })) : null].filter(Boolean))
  }
}

const STRATEGIES = { auto: t('Automatic'), direct: t('Best passages'), table: t('Tables'), recursive: t('Everything') }

function showOptions() {
  byId('scope-said').textContent = describeScope()
  byId('choose-scope').title = t('Choose where to look: {scope}', { scope: describeScope() })
  const parts = [STRATEGIES[strategy()], byId('budget').value ? t('at most {time}', { time: byId('budget').selectedOptions[0].text }) : '', byId('background').checked ? t('as a run') : '']
  byId('options-said').textContent = parts.filter(Boolean).join(', ')
  byId('waits').hidden = !byId('background').checked
  showChips()
  clearTimeout(estimating)
  estimating = setTimeout(estimate, ESTIMATE_MS)
}

function showChips() {
  const chips = [...drawChips(), ...(attachments?.drawAttachments() ?? [])]
  // Nothing is replaced that is there already: what is pressed at this moment would not hear of it.
  const shown = [...byId('chips').children]
  if (chips.length !== shown.length || chips.some((each, at) => each !== shown[at])) byId('chips').replaceChildren(...chips)
  byId('chips').hidden = !chips.length
}

// Long questions can be expensive, so people see an estimate before they ask.
async function estimate() {
  const place = byId('estimate')
  if (!byId('background').checked && strategy() !== 'recursive') { place.hidden = true; return }
  const mine = estimating
  try {
    const found = await post('/v1/answers/estimate', { ...wanted(), question: byId('question').value.trim() || '…' })
    if (mine !== estimating) return
    const size = tn(found.documents, 'About {n} document with {tokens} tokens.', 'About {n} documents with {tokens} tokens.', { tokens: number(found.tokens) })
    place.textContent = `${size} ${remarkOf(found.coded_at_most, found.at_most)}`
    place.hidden = false
  } catch {
    place.hidden = true  // asking says what is wrong
  }
}

export function wanted() {
  const background = byId('background').checked
  const seconds = Number(byId('budget').value)
  return {
    strategy: strategy(), ...inScope(),
    ...(background ? { background, pause_on_budget: byId('wait').checked } : {}), ...(seconds ? { budget: { seconds } } : {}),
  }
}

const strategy = () => document.querySelector('[name="strategy"]:checked').value

export function busy(is) {
  isBusy = is
  byId('stop').hidden = !is
  byId('send').disabled = is || isWaiting
}

export function edit(question) {
  const field = byId('question')
  if (!field) return
  field.value = question
  grow()
  field.focus()
  field.setSelectionRange(question.length, question.length)
}

function grow() {
  const field = byId('question')
  field.style.height = 'auto'
  field.style.height = `${field.scrollHeight}px`
}

// Calls `listener(question, changes)` with each question that is sent while none is being answered. `changes` replace
// members of the request.
export function onQuestion(listener) {
  ask = listener
}

// Asks a question with other members than the form's, such as another strategy, as the next turn.
export function askWith(question, changes) {
  if (conversation.stopping) return false
  closePanels()
  ask(question, changes)
  return true
}

function submit(event) {
  event?.preventDefault()
  const question = byId('question').value.trim()
  closePanels()
  if (!question || conversation.stopping || isWaiting) return
  if (attachments?.countPending()) { wait(true); return }
  if (attachments?.countFailed()) { showFailures(); return }
  byId('question').value = ''
  grow()
  ask(question, {})
}

// A question about files that are still being read waits for them.
function wait(is) {
  isWaiting = is
  byId('send').disabled = is || isBusy
  const count = attachments.countPending()
  byId('waiting').hidden = !is
  if (!is) return
  byId('waiting-said').textContent = tn(count, 'Your question is asked as soon as the file can be searched.', 'Your question is asked as soon as the {n} files can be searched.')
}

function showFailures() {
  byId('trouble').replaceChildren(el('div', { class: 'notice bad', role: 'alert' },
    el('strong', { text: t('Some files cannot be asked about') }),
    ...attachments.describeFailures().map((each) => el('p', {}, foreign(each.name), ': ', each.reason)),
    el('p', { text: t('Remove them, then ask again.') })))
}

function onAttachment() {
  showChips()
  // Now there are questions about the files, too.
  if (state && !attachments.countPending()) showEmpty()
  if (!isWaiting) return
  if (attachments.countFailed()) { wait(false); showFailures(); return }
  wait(true)
  if (attachments.countPending()) return
  wait(false)
  submit()
}

async function attach(files) {
  if (!files.length || !may('write')) return
  try {
    if (!attachments) {
      attachments = await import('./attachments.js')
      attachments.onAttachments(onAttachment)
    }
    await attachments.attach(files)
    byId('question').focus()
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
}

// The options, the picker and the help open above the form, one at a time, and so move nothing in it.
function toggle(button, panel) {
  const open = panel.hidden
  closePanels()
  panel.hidden = !open
  button.setAttribute('aria-expanded', String(open))
  if (open) panel.querySelector(':checked, button, input')?.focus()
}

const PANELS = [['options-button', 'options'], ['info-button', 'info']]

function closePanels() {
  let closed = !byId('picker').hidden
  closePicker()
  for (const [button, panel] of PANELS) {
    closed ||= !byId(panel).hidden
    byId(panel).hidden = true
    byId(button).setAttribute('aria-expanded', 'false')
  }
  return closed
}

function openByHash() {
  const field = byId('question')
  const at = field.selectionStart
  if (field.value[at - 1] !== '#' || (at > 1 && !/\s/.test(field.value[at - 2]))) return
  closePanels()
  openPicker((typed, isChosen) => {
    field.value = field.value.slice(0, at - 1) + (isChosen ? '' : `#${typed}`) + field.value.slice(at)
    field.focus()
    const caret = isChosen ? at - 1 : at + typed.length
    field.setSelectionRange(caret, caret)
    grow()
  })
}

function onQuestionKey(event) {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault()
    byId('composer').requestSubmit()
  }
}

// `/` goes to the question from anywhere on the page, and Escape leaves it.
function onPageKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return
  if (event.key === '/' && !event.target.closest('input, textarea, select, [contenteditable]')) {
    event.preventDefault()
    byId('question').focus()
  } else if (event.key === 'Escape' && byId('composer').contains(event.target)) {
    const opener = PANELS.find(([, panel]) => byId(panel).contains(event.target))?.[0] ?? (byId('picker').contains(event.target) ? 'choose-scope' : null)
    if (closePanels()) { if (opener && document.activeElement !== byId('question')) byId(opener).focus() } else event.target.blur()
    event.stopImmediatePropagation()
  }
}

const hasFiles = (event) => event.dataTransfer?.types.includes('Files')

function installFiles() {
  const input = byId('attached-files')
  byId('attach').addEventListener('click', () => input.click())
  input.addEventListener('change', () => {
    const files = [...input.files].map((file) => ({ file, name: file.name }))
    input.value = ''
    attach(files)
  })
  let depth = 0
  let dropped = ({ files }) => [...files].map((file) => ({ file, name: file.name }))
  const show = () => byId('composer').classList.toggle('dropping', depth > 0)
  addEventListener('dragenter', (event) => {
    if (!hasFiles(event)) return
    depth += 1
    show()
    // Folders can be walked through once this is loaded, which takes less time than the drag.
    import('./uploads.js').then((uploads) => { dropped = uploads.dropped }, () => {})
  })
  addEventListener('dragleave', (event) => { if (hasFiles(event)) { depth = Math.max(0, depth - 1); show() } })
  addEventListener('dragover', (event) => { if (hasFiles(event)) event.preventDefault() })
  addEventListener('drop', async (event) => {
    depth = 0
    show()
    if (!hasFiles(event)) return
    event.preventDefault()
    attach(await dropped(event.dataTransfer))
  })
  byId('question').addEventListener('paste', (event) => {
    const files = [...event.clipboardData.files].map((file) => ({ file, name: file.name || t('Pasted file') }))
    if (!files.length) return
    event.preventDefault()
    attach(files)
  })
}

function install() {
  byId('marks').append(legendOf())
  byId('composer').addEventListener('submit', submit)
  byId('options').addEventListener('change', showOptions)
  byId('question').addEventListener('input', (event) => { grow(); if (event.data === '#') openByHash() })
  byId('question').addEventListener('keydown', onQuestionKey)
  byId('choose-scope').addEventListener('click', () => { if (byId('picker').hidden) { closePanels(); openPicker() } else closePanels() })
  for (const [button, panel] of PANELS) byId(button).addEventListener('click', (event) => toggle(event.currentTarget, byId(panel)))
  byId('stop-waiting').addEventListener('click', () => { wait(false); byId('question').focus() })
  addEventListener('keydown', onPageKey, { capture: true })
  addEventListener('pointerdown', (event) => { if (!event.target.closest('#composer, dialog')) closePanels() })
  onScope(() => { showOptions(); if (state) showEmpty() })
  installPicker()
  if (byId('attach')) installFiles()
}

if (byId('composer')) install()
