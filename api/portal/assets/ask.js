// The turns of a conversation: questions, answers as they are written, and the source of each sentence beside them.
import { answerOf } from './answer.js'
import { askAgainMenu } from './ask_again.js'
import { askWith, busy, edit, onQuestion, prepare, wanted } from './composer.js'
import { conversation } from './conversation.js'
import { listConversations, showTitle } from './conversations.js'
import { byId, el, inTurns, say, trouble } from './dom.js'
import { keepInView, showAtTop } from './in_view.js'
import { LiveTurn, endedTurn } from './live_turn.js'
import { get, may, send } from './rest.js'
import { isEverything, isInAddress, pageAddress, restoreScope } from './scope.js'
import { closable } from './source.js'
import { dropSuggestions, suggestNext } from './suggestions.js'
import { t, tn } from './text.js'
import { turnOf } from './turn.js'
import { scopeLine } from './turn_scope.js'

const TURNS = 50
// Other tabs of this browser hear at once that something was asked; those of other devices see it when they are shown.
const tabs = new BroadcastChannel('leadline-turns')
// The turns on the page, by the id of the answer: its place, its state, and the turn if it is being made.
const shown = new Map()
let loading = null
let lastScope = null
let scopeKnown = null

const ends = { done: finished, ended, again: askAgain, edit }

async function load() {
  const found = []
  let cursor = null
  let page
  do {
    page = await get(`/v1/conversations/${conversation.id}`, { limit: TURNS, cursor })
    found.push(...page.turns)
    cursor = page.next_cursor
  } while (cursor)
  showTitle(page.title, page.by)
  conversation.answered = page.answered
  const turns = [...found.map((each) => ({ ...each, id: each.answer.id, state: 'answered' })), ...page.pending.map((each) => ({ ...each, scope: each.options }))]
    .sort((a, b) => new Date(a.created_at) - new Date(b.created_at))
  lastScope = turns.at(-1)?.scope ?? null
  return turns
}

// Shows what the conversation has now. What is on the page already stays as it is, with what was opened in it.
async function show() {
  const turns = await load()
  const known = new Set(turns.map((each) => each.id))
  for (const [id, { place, state }] of shown) {
    if (known.has(id) || state === 'running') continue
    place.remove()
    shown.delete(id)
  }
  let added = null
  await inTurns(turns, (each) => {
    const before = shown.get(each.id)
    if (before?.state === 'running' || before?.state === stateOf(each)) return
    const made = entryOf(each)
    shown.set(each.id, made)
    if (before) before.place.replaceWith(made.place)
    else {
      insert(made.place, each)
      added = made.place
    }
  })
  const last = turns.at(-1)
  if (added && last.answer && may('ask')) suggestNext(added, last.answer, askWith)
  return added
}

// Inserts a turn at its place. A question that was asked while the conversation was still loading comes after it.
function insert(place, turn) {
  const live = conversation.stopping?.live
  const isBefore = live?.place.isConnected && !(live.pending && new Date(live.pending.created_at) < new Date(turn.created_at))
  if (isBefore) live.place.before(place)
  else byId('turns').append(place)
}

// `answered`, `running`, or `ended` for what failed, was cancelled or was interrupted.
const stateOf = ({ state }) => (state === 'answered' || state === 'running' ? state : 'ended')

function entryOf(turn) {
  if (turn.state === 'answered') return { state: 'answered', place: turnOf(turn.question, scopeLine(turn.scope), answerOf(turn.answer, () => edit(turn.question), { given: turn.feedback, actions: [askAgainMenu(turn.question)] })) }
  if (turn.state !== 'running') return { state: 'ended', place: endedTurn(turn, { again: (changes) => askAgain(turn, changes), edit: () => edit(turn.question) }) }
  const live = new LiveTurn(turn.question, ends, turn.scope)
  work(live)
  live.follow(turn)
  return { state: 'running', place: live.place, live }
}

async function open() {
  if (!conversation.id) return
  const waiting = el('p', { class: 'waiting' }, el('span', { class: 'spinner', 'aria-hidden': 'true' }), t('Loading the conversation…'))
  byId('turns').append(waiting)
  try {
    loading = show()
    await loading
    waiting.remove()
    const last = byId('turns').lastElementChild
    if (last) showAtTop(last, { holds: true })
    await goOnInScope()
  } catch (error) {
    waiting.remove()
    byId('trouble').replaceChildren(trouble(error, el('a', { href: '/ask', text: t('Start a new conversation') })))
  } finally {
    loading = null
  }
}

// The next question looks where the last one did, unless the address of the page says otherwise.
async function goOnInScope() {
  if (!byId('composer') || !lastScope || isInAddress() || !isEverything()) return
  const lost = await restoreScope(lastScope)
  if (lost) {
    byId('trouble').replaceChildren(el('p', { class: 'notice warn' }, el('strong', { text: tn(lost, '{n} document or collection of the last question is not available', '{n} documents or collections of the last question are not available') }),
      isEverything() ? t('It was deleted, or you have no access to it. Your next question looks in all documents.') : t('It was deleted, or you have no access to it. Your question looks in the rest.')))
  }
}

// People ask in several tabs and on several devices: turns from elsewhere are added when this page is looked at again.
async function lookAgain() {
  if (document.hidden || loading || !conversation.id) return
  try {
    loading = show()
    const added = await loading
    if (added) showAtTop(added)
  } catch { /* asking says what is wrong */ } finally {
    loading = null
  }
}

// A turn that is being made keeps the composer busy until it ends.
function work(live) {
  conversation.stopping = { abort: () => live.stop(), live }
  busy(true)
}

function rest(live) {
  if (conversation.stopping?.live !== live) return
  const other = [...shown.values()].find((each) => each.live?.isRunning && each.live !== live)
  conversation.stopping = null
  if (other) work(other.live)
  else busy(false)
}

async function ask(question, changes = {}, key = crypto.randomUUID()) {
  byId('empty').hidden = true
  dropSuggestions()
  byId('trouble').replaceChildren()
  const live = new LiveTurn(question, ends)
  live.asked = changes
  byId('turns').append(live.place)
  showAtTop(live.place)
  work(live)
  // Sent any earlier, the question would look in all documents.
  await scopeKnown
  const json = { ...wanted(), ...changes, question, conversation: conversation.id ?? 'new' }
  json.detach = !json.background
  live.showScope(json)
  try {
    // With the same key, a request that is sent once more gets the answer of the first one.
    const more = { 'Idempotency-Key': key }
    const begun = await (await send('POST', '/v1/answers', { json, more })).json()
    if (json.background) {
      location.assign(`/runs/${begun.id}`)
      return false
    }
    begin(live, begun)
    return true
  } catch (error) {
    // The service may have the question without this page knowing it.
    if (error.status === 0) live.key = key
    live.fail(error)
    return false
  }
}

function begin(live, pending) {
  shown.set(pending.id, { state: 'running', place: live.place, live })
  if (!conversation.id) {
    conversation.id = pending.conversation
    window.history.replaceState(null, '', pageAddress())
    showTitle(live.question)
    listConversations()
  }
  tabs.postMessage(conversation.id)
  live.follow(pending)
}

function finished(live, answer) {
  rest(live)
  conversation.answered += 1
  shown.set(live.id, { state: 'answered', place: live.place })
  if (live.place === byId('turns').lastElementChild) suggestNext(live.place, answer, askWith)
  say(tn(answer.citations.length, 'The answer is complete, with {n} source.', 'The answer is complete, with {n} sources.'))
}

function ended(live) {
  rest(live)
  if (live.id) shown.set(live.id, { state: 'ended', place: live.place })
}

// Asks a question that has no answer again, in the way in which it was asked, in place of the earlier attempt.
async function askAgain(turn, changes) {
  const options = turn.pending?.options ?? turn.options ?? {}
  const place = shown.get(turn.id)?.place ?? turn.place
  place.remove()
  shown.delete(turn.id)
  const isBegun = await ask(turn.question, { ...options, ...turn.asked, ...changes }, turn.key)
  // Only now, so that the question is stored at every moment.
  if (isBegun && turn.id) await send('DELETE', `/v1/answers/${turn.id}`).catch(() => {})
}

onQuestion(ask)
document.addEventListener('visibilitychange', lookAgain)
addEventListener('pageshow', (event) => { if (event.persisted) lookAgain() })
tabs.addEventListener('message', ({ data }) => { if (data === conversation.id) lookAgain() })
byId('stop')?.addEventListener('click', () => conversation.stopping?.abort())
closable()
keepInView()

listConversations()
scopeKnown = Promise.all([prepare(), open()])
if (!conversation.id) byId('question')?.focus()
