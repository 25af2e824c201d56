// The form in which a question is written, where it looks, how it is answered, and what it may take.
import { conversation } from './conversation.js'
import { byId, el, foreign, number, plural, readable, trouble } from './dom.js'
import { get, may, post } from './rest.js'

let estimating = null
const only = new URLSearchParams(location.search).get('document')
let onlyTitle = ''

export async function prepare() {
  if (!may('ask')) return
  try {
    const [found, state] = await Promise.all([get('/v1/collections'), get('/v1/status')])
    byId('scope').replaceChildren(...found.collections.map((each) => el('label', { class: 'inline' },
      el('input', { type: 'checkbox', name: 'collection', value: each.name }), `${each.name} (${number(each.documents)})`)))
    if (only) {
      const document = await get(`/v1/documents/${only}`)
      onlyTitle = document.title || document.name
      byId('scope').replaceChildren(el('p', { class: 'small' }, 'Only in ', foreign(onlyTitle), '. ', el('a', { href: '/ask', text: 'Ask all documents instead' })))
    } else if (!found.collections.length) byId('scope').replaceChildren(el('span', { class: 'hint', text: 'There are no documents yet.' }))
    options()
    empty(state)
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
}

function empty(state) {
  const counts = state.documents
  const searchable = (counts.ready ?? 0) + (counts.searchable ?? 0) + (counts.embedding ?? 0)
  const place = byId('empty')
  place.hidden = Boolean(conversation.id) || byId('turns').hasChildNodes()
  if (searchable) {
    place.replaceChildren(el('h2', { text: onlyTitle ? 'What would you like to know of it?' : 'What would you like to know?' }),
      el('p', { text: `${onlyTitle ? `Only “${readable(onlyTitle).slice(0, 80)}” is looked at` : `${plural(searchable, 'document')} can be asked`}. Answers come with numbered sources, which open beside them at the very words.` }))
  } else {
    place.replaceChildren(el('h2', { text: 'Nothing to ask yet' }),
      el('p', { text: 'Add a few documents first; each can be asked about as soon as it is searchable.' }),
      el('a', { class: 'button', href: '/library', text: 'Add documents' }))
  }
}

const STRATEGIES = { auto: '', direct: 'reads the best passages', table: 'computes over tables', recursive: 'works through everything' }

function options() {
  const scope = chosenCollections()
  const parts = [
    only ? `Only in “${readable(onlyTitle).slice(0, 40)}”` : scope.length ? scope.join(', ') : 'All documents',
    STRATEGIES[strategy()] || 'usual effort',
    byId('budget').value ? `stops after ${byId('budget').selectedOptions[0].text}` : '',
  ]
  byId('options-said').textContent = parts.filter(Boolean).join(', ')
  byId('waits').hidden = !byId('background').checked
  clearTimeout(estimating)
  estimating = setTimeout(estimate, 200)
}

// What a question may take, told before it is asked where it is more than a moment's work.
async function estimate() {
  const place = byId('estimate')
  if (!byId('background').checked && strategy() !== 'recursive') { place.hidden = true; return }
  const mine = estimating
  try {
    const found = await post('/v1/answers/estimate', { ...wanted(), question: byId('question').value.trim() || '…' })
    if (mine !== estimating) return
    place.textContent = `About ${plural(found.documents, 'document')} with ${plural(found.tokens, 'token')}. ${found.at_most}`
    place.hidden = false
  } catch {
    place.hidden = true  // asking says what is wrong
  }
}

export function wanted() {
  const background = byId('background').checked
  const seconds = Number(byId('budget').value)
  return {
    strategy: strategy(), collections: only ? [] : chosenCollections(), documents: only ? [only] : [],
    ...(background ? { background, pause_on_budget: byId('wait').checked } : {}), ...(seconds ? { budget: { seconds } } : {}),
  }
}

const chosenCollections = () => [...document.querySelectorAll('[name="collection"]:checked')].map((each) => each.value)
const strategy = () => document.querySelector('[name="strategy"]:checked').value

export function busy(is) {
  byId('stop').hidden = !is
  byId('send').disabled = is
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
  field.style.height = `${field.scrollHeight + 2}px`
}

// Calls `ask` with each question that is sent while none is being answered.
export function onQuestion(ask) {
  byId('composer')?.addEventListener('submit', (event) => {
    event.preventDefault()
    const question = byId('question').value.trim()
    if (!question || conversation.stopping) return
    byId('question').value = ''
    grow()
    ask(question)
  })
}

byId('question')?.addEventListener('input', grow)
byId('question')?.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault()
    byId('composer').requestSubmit()
  }
})
byId('composer')?.addEventListener('change', options)
