// Answers that are made in the background: a list of them, and one with each step as it happens.
import { answerOf } from './answer.js'
import { byId, el, foreign, number, readable, say, time, trouble } from './dom.js'
import { whenReleased } from './drawing.js'
import { get, may, post } from './rest.js'
import { barsOf, BUDGETS, goesOn, KINDS, spentOf, STATES, stateOf, Steps } from './run_steps.js'
import { openShares } from './shares.js'
import { closable } from './source.js'

const LOOK_MS = 3000
const AT_ONCE = 50
// What is offered to be added to each limit: about as much again as people give.
const OFFERED = { calls: 100, prompt_tokens: 100_000, completion_tokens: 20_000, tokens: 100_000, dollars: 1, seconds: 600 }
const id = byId('desk').dataset.run
let looking = null
let older = null

const fail = (error) => byId('trouble').replaceChildren(trouble(error))

const row = (run) => el('tr', {},
  el('td', { class: 'named' }, el('a', { href: `/runs/${run.id}` }, foreign(run.question))), el('td', {}, stateOf(run)),
  el('td', { class: 'small', text: time(run.created_at) }),
  el('td', { class: 'right', 'data-label': 'Tokens', text: number(run.usage.prompt_tokens + run.usage.completion_tokens) }))

async function list() {
  try {
    const page = await get('/v1/runs', { limit: AT_ONCE })
    byId('list').hidden = !page.runs.length
    byId('empty').hidden = Boolean(page.runs.length)
    whenReleased(() => {
      const rest = [...byId('rows').children].slice(AT_ONCE)  // pages that were asked for besides
      byId('rows').replaceChildren(...page.runs.map(row), ...rest)
      if (!rest.length) more(page.next_cursor)
    })
    byId('empty').replaceChildren(el('h2', { text: 'Nothing works in the background' }),
      el('p', { text: 'A question that may take minutes can go on while this page is closed: choose “Go on in the background” where you ask.' }),
      el('a', { class: 'button', href: '/ask', text: 'Ask' }))
    if (page.runs.some((run) => goesOn(run) && run.state !== 'paused')) setTimeout(list, LOOK_MS)
  } catch (error) {
    fail(error)
  }
}

function more(cursor) {
  older = cursor
  byId('more').hidden = !cursor
}

byId('more').addEventListener('click', async () => {
  try {
    const page = await get('/v1/runs', { limit: AT_ONCE, cursor: older })
    byId('rows').append(...page.runs.map(row))
    more(page.next_cursor)
  } catch (error) {
    fail(error)
  }
})

function show(run) {
  byId('title').textContent = readable(run.question)
  document.title = `${readable(run.question)} · Leadline`
  byId('state').replaceChildren(stateOf(run))
  if (byId('cancel')) byId('cancel').hidden = !goesOn(run)
  if (byId('share')) byId('share').hidden = false
  byId('bars').replaceChildren(...barsOf(run))
  if (run.queue_position) byId('state').append(el('span', { class: 'small soft', text: ` ${number(run.queue_position)} before it` }))
  waiting(run)
  if (run.failure) byId('answer').replaceChildren(trouble({ message: run.failure.detail, hint: run.failure.hint }))
  if (run.answer && !byId('answer').hasChildNodes()) answered(run)
  if (!goesOn(run)) exported(run)
}

async function answered(run) {
  const place = byId('answer')
  place.append(el('p', { class: 'soft', text: 'Loading…' }))
  let given = null
  try {
    if (may('ask')) given = (await get(`/v1/answers/${run.id}/feedback`)).feedback.find((each) => each.mine) ?? null
  } catch { /* the answer is shown all the same */ }
  place.replaceChildren(answerOf(run.answer, null, { given }))
}

function exported(run) {
  byId('export').hidden = false
  byId('export').replaceChildren('Download this run:',
    el('a', { class: 'button', href: `/v1/runs/${run.id}/export?form=markdown`, download: '', text: 'to read (Markdown)' }),
    el('a', { class: 'button', href: `/v1/runs/${run.id}/export?form=json`, download: '', text: 'for programs (JSON)' }))
}

// A run that has met its budget: what is added to it, or that it is to end with what it has.
function waiting(run) {
  const place = byId('waiting')
  if (run.state !== 'paused') { place.replaceChildren(); return }
  if (place.hasChildNodes()) return
  const met = run.progress?.resource
  const fields = Object.keys(BUDGETS).filter((name) => run.budget[name]).map((name) => el('label', { class: 'amount' }, `More ${BUDGETS[name]}`,
    el('input', { type: 'number', name, min: 0, step: 'any', value: name === met || (!met && name === 'calls') ? OFFERED[name] : '', placeholder: '0' })))
  const act = async (event, work) => {
    const buttons = place.querySelectorAll('button')
    for (const each of buttons) each.disabled = true
    byId('trouble').replaceChildren()
    try {
      const after = await work()
      place.replaceChildren()
      show(after)
      look()
    } catch (error) {
      fail(error)
      for (const each of buttons) each.disabled = false
    }
  }
  const form = el('form', { class: 'notice warn' },
    el('strong', { text: 'Its budget is met' }),
    el('p', { text: `${run.budget[met] ? `${spentOf(run, met)} are spent, and the next step needs more. ` : ''}It waits: add to the budget, or let it answer with what it has found so far.` }),
    may('ask') ? el('div', { class: 'row amounts' }, fields) : null,
    may('ask') ? el('div', { class: 'row end' },
      el('button', { type: 'button', text: 'End with what it has', onclick: (event) => act(event, () => post(`/v1/runs/${id}/finish`)) }),
      el('button', { type: 'submit', class: 'main', text: 'Add and go on' })) : null)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const added = Object.fromEntries([...form.querySelectorAll('input')].filter((each) => Number(each.value) > 0).map((each) => [each.name, Number(each.value)]))
    act(event, () => post(`/v1/runs/${id}/continue`, added))
  })
  place.replaceChildren(form)
  say('The run has met its budget, and waits for you.')
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
  const steps = new Steps(byId('steps'))
  byId('steps-part').hidden = false
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      steps.add(kind, () => JSON.parse(event.data).body ?? {})
      if (kind === 'paused') look()
    })
  }
  source.addEventListener('end', () => {
    source.close()
    steps.end()
    look()
  })
}

closable()
byId('share')?.addEventListener('click', () => openShares({ run: id }))
byId('cancel')?.addEventListener('click', async (event) => {
  event.target.disabled = true
  try {
    show(await post(`/v1/runs/${id}/cancel`))
  } catch (error) {
    fail(error)
  } finally {
    event.target.disabled = false
  }
})

if (id) {
  if (await look()) follow()
} else list()
