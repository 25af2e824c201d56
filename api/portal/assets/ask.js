// A conversation: questions, answers as they are written, and the source of each sentence beside them.
import { answerOf } from './answer.js'
import { byId, confirmed, el, foreign, inTurns, number, plural, readable, say, trouble } from './dom.js'
import { Growing } from './markdown.js'
import { events, get, may, post, send } from './rest.js'
import { openShares } from './shares.js'
import { closable } from './source.js'
import { turnOf } from './turn.js'

const TURNS = 50
let conversation = byId('desk').dataset.conversation || null
let stopping = null
let older = null
let answered = 0
let estimating = null
const only = new URLSearchParams(location.search).get('document')
let onlyTitle = ''

async function history(more) {
  try {
    const page = await get('/v1/conversations', { limit: 30, cursor: more ? older : null })
    const items = page.conversations.map((each) => el('li', {}, el('a', { href: `/ask/${each.id}`, 'aria-current': each.id === conversation ? 'page' : null, title: readable(each.title) }, foreign(each.title))))
    if (more) byId('conversations').append(...items)
    else byId('conversations').replaceChildren(...items)
    older = page.next_cursor
    byId('more-conversations').hidden = !older
    if (!more && !items.length) byId('conversations').replaceChildren(el('li', { class: 'hint', text: 'What you ask is kept here.' }))
  } catch (error) {
    byId('conversations').replaceChildren(el('li', {}, trouble(error)))
  }
}

async function turns() {
  if (!conversation) return
  let cursor = null
  const found = []
  if (!byId('turns').hasChildNodes()) byId('turns').append(el('p', { class: 'working', text: 'Loading…' }))
  try {
    do {
      const page = await get(`/v1/conversations/${conversation}`, { limit: TURNS, cursor })
      named(page.title)
      answered = page.answered
      await inTurns(page.turns, (each) => found.push(turnOf(each.question, answerOf(each.answer, () => edit(each.question), { given: each.feedback }))))
      cursor = page.next_cursor
    } while (cursor)
    if (stopping) found.push(byId('turns').lastElementChild)  // what was asked meanwhile
    byId('turns').replaceChildren(...found)
    byId('turns').lastElementChild?.scrollIntoView({ block: 'start' })
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error, el('a', { href: '/ask', text: 'Begin a new conversation' })))
  }
}

function named(title) {
  byId('talk-title').textContent = readable(title)
  document.title = `${readable(title)} · Leadline`
  byId('forget').hidden = byId('share').hidden = !may('ask')
}

// What another tab has asked in this conversation is shown when somebody comes back to this one.
async function lookAgain() {
  if (document.hidden || stopping || !conversation) return
  try {
    const page = await get(`/v1/conversations/${conversation}`, { limit: 1 })
    if (page.answered !== answered && !stopping) await turns()
  } catch { /* asking says what is wrong */ }
}

async function prepare() {
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
  place.hidden = Boolean(conversation) || byId('turns').hasChildNodes()
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

function wanted() {
  const background = byId('background').checked
  const seconds = Number(byId('budget').value)
  return {
    strategy: strategy(), collections: only ? [] : chosenCollections(), documents: only ? [only] : [],
    ...(background ? { background, pause_on_budget: byId('wait').checked } : {}), ...(seconds ? { budget: { seconds } } : {}),
  }
}

const chosenCollections = () => [...document.querySelectorAll('[name="collection"]:checked')].map((each) => each.value)
const strategy = () => document.querySelector('[name="strategy"]:checked').value

async function ask(question, confirm = false) {
  byId('empty').hidden = true
  byId('trouble').replaceChildren()
  const working = el('p', { class: 'working', text: 'Looking…' })
  const draft = el('div', { class: 'answer' })
  const place = turnOf(question, working, draft)
  byId('turns').append(place)
  place.scrollIntoView({ block: 'start' })
  const growing = new Growing(draft)
  const mine = new AbortController()
  let done = false
  // The next question may be asked as soon as the answer is complete, before the connection has closed.
  const release = () => {
    growing.end()
    if (stopping !== mine) return
    stopping = null
    busy(false)
  }
  busy(true)
  stopping = mine
  try {
    const json = { ...wanted(), question, conversation: conversation ?? 'new', confirm }
    json.stream = !json.background
    const response = await send('POST', '/v1/answers', { json, signal: mine.signal })
    if (json.background) {
      location.assign(`/runs/${(await response.json()).id}`)
      return
    }
    for await (const [name, body] of events(response)) {
      if (name === 'delta') growing.add(body.text)
      else if (name === 'completed') { done = true; finished(place, question, body); release() }
      else if (name === 'error') { done = true; release(); failed(place, question, body) }
      else working.textContent = doing(name, body) || working.textContent
    }
    if (!done) throw new Error('the stream ended')
  } catch (error) {
    if (done) return
    growing.end()
    if (error.name === 'AbortError') {
      working.textContent = 'Stopped. What was written until then was not checked, and is not kept.'
      place.append(again(question))
    } else failed(place, question, { ...(error.code ? error : brokenOff()), detail: error.code ? error.message : brokenOff().detail })
  } finally {
    release()
  }
}

function finished(place, question, answer) {
  if (answer.conversation && !conversation) {
    conversation = answer.conversation
    window.history.replaceState(null, '', `/ask/${conversation}`)
    named(question)
    history()
  }
  answered += 1
  place.replaceChildren(...turnOf(question, answerOf(answer, () => edit(question))).childNodes)
  say(`The answer is complete: ${plural(answer.sentences.length, 'sentence')}, ${plural(answer.citations.length, 'source')}.`)
}

function failed(place, question, problem) {
  const actions = []
  if (problem.code === 'confirmation_required') {
    actions.push(el('div', { class: 'row' }, el('button', { type: 'button', class: 'main', text: 'Go ahead', onclick: () => { place.remove(); ask(question, true) } })))
  }
  place.querySelector('.working')?.remove()
  if (place.querySelector('.answer')?.hasChildNodes()) actions.push(el('p', { class: 'small', text: 'What was written until then stands above. It was not checked, and is not kept.' }))
  place.append(trouble({ message: problem.detail, hint: problem.hint, status: problem.status, requestId: problem.request_id ?? problem.requestId }, ...actions), again(question))
}

const brokenOff = () => ({ detail: 'The connection broke off before the answer was complete.', hint: 'Ask again: Leadline has stopped working on it.' })
const again = (question) => el('div', { class: 'under row' }, el('button', { type: 'button', class: 'quiet', text: 'Edit and ask again', onclick: () => edit(question) }))

// What goes on, in plain words.
function doing(name, body) {
  switch (name) {
    case 'condensed': return `Understood as: ${readable(body.question)}`
    case 'routed': return { direct: 'Reading the best passages…', table: 'Computing over tables…', recursive: 'Working through the documents…' }[body.strategy] + (body.estimate ? ` ${readable(body.estimate)}` : '')
    case 'retrieved': return `Found ${plural(body.passages, 'passage')} in ${plural(body.titles.length, 'document')}…`
    case 'reading': return `Reading ${plural(body.titles.length, 'passage')}…`
    case 'planned': return 'Computing…'
    case 'working': return `${readable(body.step)}: ${number(body.done)} of ${number(body.total)}`
    case 'cell': return 'Running code over the documents…'
    case 'checking': return `Checking ${plural(body.sentences, 'sentence')}…`
    default: return ''
  }
}

function busy(is) {
  byId('stop').hidden = !is
  byId('send').disabled = is
}

function edit(question) {
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

byId('composer')?.addEventListener('submit', (event) => {
  event.preventDefault()
  const question = byId('question').value.trim()
  if (!question || stopping) return
  byId('question').value = ''
  grow()
  ask(question)
})
byId('question')?.addEventListener('input', grow)
byId('question')?.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault()
    byId('composer').requestSubmit()
  }
})
byId('composer')?.addEventListener('change', options)
byId('share').addEventListener('click', () => openShares({ conversation }, { goesOn: true }))
document.addEventListener('visibilitychange', lookAgain)
addEventListener('pageshow', (event) => { if (event.persisted) lookAgain() })
byId('stop')?.addEventListener('click', () => stopping?.abort())
closable()
byId('show-history').addEventListener('click', (event) => {
  event.currentTarget.setAttribute('aria-expanded', String(byId('desk').classList.toggle('with-history')))
})
byId('more-conversations').addEventListener('click', () => history(true))
byId('forget').addEventListener('click', async () => {
  if (!await confirmed('Delete this conversation?', ['Its questions and answers are removed for good. Documents stay as they are.'], 'Delete')) return
  try {
    await send('DELETE', `/v1/conversations/${conversation}`)
    location.assign('/ask')
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
})

history()
prepare()
turns()
if (!conversation) byId('question')?.focus()
