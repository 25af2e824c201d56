// A conversation or a run that a colleague shares by a link, as far as its reader may see it.
import { answerOf } from './answer.js'
import { byId, el, inTurns, readable, time, trouble } from './dom.js'
import { loadNames } from './names.js'
import { me, ownerName } from './owners.js'
import { get } from './rest.js'
import { barsOf, stateOf, Steps } from './run_steps.js'
import { closable } from './source.js'
import { t, tn } from './text.js'
import { turnOf } from './turn.js'

const TURNS = 50
const id = byId('desk').dataset.share

function about(shared) {
  byId('title').textContent = readable(shared.title)
  document.title = `${readable(shared.title)} · Leadline`
  const name = shared.by === me() ? t('you') : shared.by.startsWith('user:') ? ownerName(shared.by) : t('a colleague')
  const until = time(shared.expires_at)
  byId('about').textContent = `${shared.kind === 'run' ? t('A run, shared by {name}. You can read it until {until}.', { name, until }) : t('A conversation, shared by {name}. You can read it until {until}.', { name, until })} ${t('You see only what your own permissions allow.')}`
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
  if (shared.run.failure) byId('turns').append(trouble(shared.run.failure))
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
  if (!shared.run.ended_at) byId('steps').append(el('li', { class: 'small soft', text: t('In progress: {calls}, {steps} so far. Reload the page to see more.', {
    calls: tn(shared.run.usage.calls, '{n} call', '{n} calls'), steps: tn(shared.run.events, '{n} step', '{n} steps'),
  }) }))
}

try {
  const shared = await get(`/v1/shared/${id}`, { limit: TURNS })
  await loadNames([shared.by])
  about(shared)
  await (shared.kind === 'run' ? run(shared) : conversation(shared))
} catch (error) {
  byId('trouble').replaceChildren(trouble(error, el('a', { href: '/', text: t('Go to your conversations') })))
}
closable()
