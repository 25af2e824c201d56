// Answers that are made in the background: a list of them, and one with each step as it happens.
import { answerOf } from './answer.js'
import { byId, el, foreign, number, plural, readable, say, span, time, trouble } from './dom.js'
import { get, post } from './rest.js'
import { closeSource } from './source.js'

const LOOK_MS = 3000
const SHOWN_CALLS = 200
const id = byId('desk').dataset.run
const STATES = {
  queued: ['soft waiting', 'Waiting'], running: ['soft waiting', 'Working'], completed: ['good', 'Complete'],
  partial: ['warn-ink', 'Not complete'], failed: ['bad bad-ink', 'Failed'], cancelled: ['soft', 'Cancelled'],
}
const KINDS = ['start', 'resume', 'condensed', 'routed', 'retrieved', 'reading', 'planned', 'working', 'cell', 'checking', 'call', 'lost']
const BUDGETS = { calls: ['calls', 'calls of the model'], prompt_tokens: ['prompt_tokens', 'tokens read'], completion_tokens: ['completion_tokens', 'tokens written'], tokens: ['tokens', 'tokens'], seconds: ['seconds', 'seconds'] }

let calls = []
let looking = null

const fail = (error) => byId('trouble').replaceChildren(trouble(error))
const state = (run) => el('span', { class: `status ${STATES[run.state]?.[0] ?? 'soft'}`, text: STATES[run.state]?.[1] ?? run.state })
const goesOn = (run) => run.state === 'queued' || run.state === 'running'

async function list() {
  try {
    const page = await get('/v1/runs', { limit: 100 })
    byId('list').hidden = !page.runs.length
    byId('empty').hidden = Boolean(page.runs.length)
    byId('rows').replaceChildren(...page.runs.map((run) => el('tr', {},
      el('td', {}, el('a', { href: `/runs/${run.id}` }, foreign(run.question))), el('td', {}, state(run)),
      el('td', { class: 'small', text: time(run.created_at) }),
      el('td', { class: 'right', text: number(run.usage.prompt_tokens + run.usage.completion_tokens) }))))
    byId('empty').replaceChildren(el('h2', { text: 'Nothing works in the background' }),
      el('p', { text: 'A question that may take minutes can go on while this page is closed: choose “Go on in the background” where you ask.' }),
      el('a', { class: 'button', href: '/ask', text: 'Ask' }))
    if (page.runs.some(goesOn)) setTimeout(list, LOOK_MS)
  } catch (error) {
    fail(error)
  }
}

function show(run) {
  byId('title').textContent = readable(run.question)
  document.title = `${readable(run.question)} · Leadline`
  byId('state').replaceChildren(state(run))
  const cancel = byId('cancel')
  if (cancel) cancel.hidden = !goesOn(run)
  const used = { ...run.usage, tokens: run.usage.prompt_tokens + run.usage.completion_tokens, seconds: run.seconds }
  const limited = Object.entries(BUDGETS).filter(([name]) => run.budget[name])
  byId('bars').replaceChildren(
    ...limited.map(([name, [key, words]]) => bar(`${number(Math.round(used[key]))} of ${number(run.budget[name])} ${words}`, used[key] / run.budget[name])),
    ...(run.coverage ? coverage(run.coverage) : []),
    limited.length ? '' : el('p', { class: 'small soft', text: `${plural(used.calls, 'call')} of the model (${number(used.cached)} kept ones), ${number(used.tokens)} tokens, ${span(used.seconds).replace('about ', '')}` }))
  if (run.queue_position) byId('state').append(el('span', { class: 'small soft', text: ` ${number(run.queue_position)} before it` }))
  if (run.failure) byId('answer').replaceChildren(trouble({ message: run.failure.detail, hint: run.failure.hint }))
  if (run.answer && !byId('answer').hasChildNodes()) byId('answer').append(answerOf(run.answer, null))
}

const bar = (words, share) => el('div', {}, el('p', { class: 'small', text: words }), el('progress', { max: 1, value: Math.min(1, share), 'aria-label': words }))

// Read by a model, searched by code, and not opened: three numbers, as they are counted.
function coverage(found) {
  const whole = found.tokens_in_scope || 1
  return [['read by a model', found.tokens_read], ['searched by code', found.tokens_searched], ['not opened', found.tokens_unopened]]
    .map(([words, count]) => bar(`${number(count)} tokens ${words}`, count / whole))
}

function step(kind, body) {
  if (body.withheld) return note('A step that is no longer shown, because a document of it was closed to you')
  switch (kind) {
    case 'call':
    case 'lost': calls.push(call(kind, body)); return null
    case 'cell': return cell(body)
    case 'condensed': return note(`Understood as: ${readable(body.question)}`)
    case 'routed': return note(`${{ direct: 'Reads passages', table: 'Computes over tables', recursive: 'Works through the documents' }[body.strategy] ?? body.strategy}. ${readable(body.reason ?? '')} ${readable(body.estimate ?? '')}`)
    case 'retrieved': return note(`Found ${plural(body.passages, 'passage')}: ${readable((body.titles ?? []).slice(0, 5).join(', '))}`)
    case 'reading': return note(`Reads ${plural((body.titles ?? []).length, 'passage')}`)
    case 'planned': return el('li', {}, el('details', {}, el('summary', { text: 'Planned a computation' }), ...(body.steps ?? []).map((each) => el('p', {}, foreign(each))), code(body.sql)))
    case 'working': return note(`${readable(body.step)}: ${number(body.done)} of ${number(body.total)}`)
    case 'checking': return note(`Checks ${plural(body.sentences, 'sentence')}`)
    case 'resume': return note('Went on after an interruption')
    default: return null
  }
}

const note = (text) => el('li', { class: 'small', text })
const code = (text) => (text ? el('pre', { tabindex: 0 }, el('code', { class: 'foreign', dir: 'auto', text: readable(text) })) : null)

function cell(body) {
  const mine = calls
  calls = []
  return el('li', {}, el('details', {},
    el('summary', {}, `Code ${number(body.number)}${body.depth ? `, level ${number(body.depth)}` : ''}${body.part ? ` (${readable(body.part)})` : ''}: `,
      body.error ? el('span', { class: 'bad-ink', text: 'an error, which the model sees' }) : plural(body.sub_calls ?? mine.length, 'sub-call'), ` in ${number(Math.round(body.seconds))} s`),
    body.note ? el('p', {}, foreign(body.note)) : null, code(body.code), body.output ? [el('p', { class: 'small soft', text: 'Output' }), code(body.output)] : null,
    body.error ? code(body.error) : null, mine.length ? el('ol', { class: 'calls' }, mine.slice(-SHOWN_CALLS)) : null,
    mine.length > SHOWN_CALLS ? el('p', { class: 'hint', text: `and ${plural(mine.length - SHOWN_CALLS, 'earlier one')}` }) : null))
}

function call(kind, body) {
  const tokens = (body.usage?.prompt_tokens ?? 0) + (body.usage?.completion_tokens ?? 0)
  return el('li', {}, el('details', {},
    el('summary', {}, foreign(body.purpose ?? 'A call'), ` · ${body.cached ? 'kept, costs nothing' : plural(tokens, 'token')}`, kind === 'lost' || body.code ? el('span', { class: 'bad-ink', text: ' · came to nothing' }) : null),
    code(body.prompt), body.text ? [el('p', { class: 'small soft', text: 'Reply' }), code(body.text)] : null, body.detail ? el('p', {}, foreign(body.detail)) : null))
}

async function look() {
  clearTimeout(looking)
  try {
    const run = await get(`/v1/runs/${id}`)
    byId('trouble').replaceChildren()
    show(run)
    if (goesOn(run)) looking = setTimeout(look, LOOK_MS)
    else say(STATES[run.state]?.[1] ?? run.state)
    return run
  } catch (error) {
    fail(error)
    if (error.status !== 404) looking = setTimeout(look, 2 * LOOK_MS)
    return null
  }
}

function follow() {
  const source = new EventSource(`/v1/runs/${id}/events`)
  byId('steps-part').hidden = false
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      const made = step(kind, JSON.parse(event.data).body ?? {})
      if (made) byId('steps').append(made)
    })
  }
  source.addEventListener('end', () => {
    source.close()
    if (calls.length) byId('steps').append(el('li', {}, el('ol', { class: 'calls' }, calls.slice(-SHOWN_CALLS))))
    calls = []
    look()
  })
}

byId('close-beside').addEventListener('click', closeSource)
byId('cancel')?.addEventListener('click', async () => {
  try {
    show(await post(`/v1/runs/${id}/cancel`))
  } catch (error) {
    fail(error)
  }
})

if (id) {
  if (await look()) follow()
} else list()
