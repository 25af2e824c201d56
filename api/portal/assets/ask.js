// The turns of a conversation: questions, answers as they are written, and the source of each sentence beside them.
import { answerOf } from './answer.js'
import { busy, edit, onQuestion, prepare, wanted } from './composer.js'
import { conversation } from './conversation.js'
import { listConversations, showTitle } from './conversations.js'
import { byId, el, inTurns, number, plural, readable, say, trouble } from './dom.js'
import { Growing } from './markdown.js'
import { events, get, send } from './rest.js'
import { closable } from './source.js'
import { turnOf } from './turn.js'

const TURNS = 50

async function turns() {
  if (!conversation.id) return
  let cursor = null
  const found = []
  if (!byId('turns').hasChildNodes()) byId('turns').append(el('p', { class: 'working', text: 'Loading…' }))
  try {
    do {
      const page = await get(`/v1/conversations/${conversation.id}`, { limit: TURNS, cursor })
      showTitle(page.title)
      conversation.answered = page.answered
      await inTurns(page.turns, (each) => found.push(turnOf(each.question, answerOf(each.answer, () => edit(each.question), { given: each.feedback }))))
      cursor = page.next_cursor
    } while (cursor)
    if (conversation.stopping) found.push(byId('turns').lastElementChild)  // what was asked meanwhile
    byId('turns').replaceChildren(...found)
    byId('turns').lastElementChild?.scrollIntoView({ block: 'start' })
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error, el('a', { href: '/ask', text: 'Begin a new conversation' })))
  }
}

// What another tab has asked in this conversation is shown when somebody comes back to this one.
async function lookAgain() {
  if (document.hidden || conversation.stopping || !conversation.id) return
  try {
    const page = await get(`/v1/conversations/${conversation.id}`, { limit: 1 })
    if (page.answered !== conversation.answered && !conversation.stopping) await turns()
  } catch { /* asking says what is wrong */ }
}

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
    if (conversation.stopping !== mine) return
    conversation.stopping = null
    busy(false)
  }
  busy(true)
  conversation.stopping = mine
  try {
    const json = { ...wanted(), question, conversation: conversation.id ?? 'new', confirm }
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
  if (answer.conversation && !conversation.id) {
    conversation.id = answer.conversation
    window.history.replaceState(null, '', `/ask/${conversation.id}`)
    showTitle(question)
    listConversations()
  }
  conversation.answered += 1
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

onQuestion(ask)
document.addEventListener('visibilitychange', lookAgain)
addEventListener('pageshow', (event) => { if (event.persisted) lookAgain() })
byId('stop')?.addEventListener('click', () => conversation.stopping?.abort())
closable()

listConversations()
prepare()
turns()
if (!conversation.id) byId('question')?.focus()
