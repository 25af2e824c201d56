// What somebody of the tenant shows by a link: a conversation, or a run, as far as it is open to whoever reads it.
import { answerOf } from './answer.js'
import { byId, el, inTurns, number, plural, readable, time, trouble } from './dom.js'
import { get } from './rest.js'
import { barsOf, stateOf, Steps } from './run_steps.js'
import { closable } from './source.js'
import { turnOf } from './turn.js'

const TURNS = 50
const id = byId('desk').dataset.share

function about(shared, what) {
  byId('title').textContent = readable(shared.title)
  document.title = `${readable(shared.title)} · Leadline`
  byId('about').textContent = `${what} of ${shared.by.startsWith('user:') ? readable(shared.by.slice(5)) : 'somebody with an API key'}, which you can read until ${time(shared.expires_at)}. What rests on documents that are closed to you is withheld.`
}

async function conversation(first) {
  let page = first
  while (true) {
    await inTurns(page.turns, (each) => byId('turns').append(turnOf(each.question, answerOf(each.answer, null, { reads: true }))))
    if (!page.next_cursor) return
    page = await get(`/v1/shared/${id}`, { limit: TURNS, cursor: page.next_cursor })
  }
}

async function run(shared) {
  byId('state').replaceChildren(stateOf(shared.run))
  byId('bars').replaceChildren(...barsOf(shared.run))
  if (shared.run.failure) byId('turns').append(trouble({ message: shared.run.failure.detail, hint: shared.run.failure.hint }))
  if (shared.run.answer) byId('turns').append(answerOf(shared.run.answer, null, { reads: true }))
  const steps = new Steps(byId('steps'))
  let cursor = null
  byId('steps-part').hidden = false
  do {
    const page = await get(`/v1/shared/${id}/events`, { limit: 1000, cursor })
    for (const each of page.events) steps.add(each.kind, () => each.body)
    if (!page.events.length) break
    cursor = page.next_cursor
  } while (cursor)
  await steps.end()
  if (!shared.run.ended_at) byId('steps').append(el('li', { class: 'small soft', text: `It goes on: ${plural(shared.run.usage.calls, 'call')} so far, ${number(shared.run.events)} steps. Load the page again to see more.` }))
}

try {
  const shared = await get(`/v1/shared/${id}`, { limit: TURNS })
  about(shared, shared.kind === 'run' ? 'Background work' : 'A conversation')
  await (shared.kind === 'run' ? run(shared) : conversation(shared))
} catch (error) {
  byId('trouble').replaceChildren(trouble(error, el('a', { href: '/', text: 'To your own conversations' })))
}
closable()
