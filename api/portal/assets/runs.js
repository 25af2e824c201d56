// One answer that is made in the background: its answer first, then each step as it happens, and its budget.
import { answerOf } from './answer.js'
import { byId, el, number, readable, say, trouble } from './dom.js'
import { duration } from './durations.js'
import { icon } from './icons.js'
import { get, may, post } from './rest.js'
import { barsOf, goesOn, KINDS, stateOf, STATES, Steps } from './run_steps.js'
import { BUDGETS, spentOf } from './run_words.js'
import { openShares } from './shares.js'
import { closable } from './source.js'
import { t, tn } from './text.js'

const LOOK_MS = 3000
const TICK_MS = 1000
// The amounts offered for each limit: about as much again as people usually give.
const OFFERED = { calls: 100, prompt_tokens: 100_000, completion_tokens: 20_000, tokens: 100_000, dollars: 1, seconds: 600 }
const UNITS = { seconds: t('More time, in seconds'), dollars: t('More dollars'), calls: t('More model calls'), tokens: t('More tokens'), prompt_tokens: t('More tokens to read'), completion_tokens: t('More tokens to write') }
const id = byId('desk').dataset.run
let looking = null
let ticking = null
let doing = ''

const fail = (error) => byId('trouble').replaceChildren(trouble(error))

function show(run) {
  byId('title').textContent = readable(run.question)
  document.title = `${readable(run.question)} · Leadline`
  if (byId('cancel')) byId('cancel').hidden = !goesOn(run)
  if (byId('share')) byId('share').hidden = false
  state(run)
  byId('bars-part').hidden = false
  byId('bars').replaceChildren(...barsOf(run))
  waiting(run)
  if (run.failure) byId('answer').replaceChildren(trouble(run.failure))
  if (run.answer && !byId('answer').hasChildNodes()) answered(run)
  if (!goesOn(run)) exported(run)
}

// The state with the time, which goes on by the second, and the step that the run is at.
function state(run) {
  clearInterval(ticking)
  const seen = performance.now()
  const clock = el('span', {})
  const tick = () => {
    const now = { ...run, seconds: run.seconds + (run.state === 'running' ? (performance.now() - seen) / 1000 : 0) }
    clock.textContent = ` · ${run.budget.seconds && goesOn(run) ? spentOf(now, 'seconds') : duration(now.seconds)}`
  }
  tick()
  if (run.state === 'running') ticking = setInterval(tick, TICK_MS)
  byId('state').replaceChildren(...[stateOf(run), run.state === 'queued' ? null : clock,
    run.usage.calls ? ` · ${tn(run.usage.calls, '{n} model call', '{n} model calls')}` : null,
    run.queue_position ? ` · ${tn(run.queue_position, '{n} run is ahead of it', '{n} runs are ahead of it')}` : null,
    run.state === 'running' ? el('span', { id: 'doing', class: 'soft', text: doing ? ` · ${doing}` : '' }) : null].filter(Boolean))
}

// The title of the latest step, beside the state while the run goes on.
function progressed(count, title) {
  doing = title
  byId('steps-count').textContent = number(count)
  const place = byId('doing')
  if (place) place.textContent = ` · ${title}`
}

async function answered(run) {
  const place = byId('answer')
  place.append(el('p', { class: 'soft', text: t('Loading…') }))
  let given = null
  try {
    if (may('ask')) given = (await get(`/v1/answers/${run.id}/feedback`)).feedback.find((each) => each.mine) ?? null
  } catch { /* the answer is shown all the same */ }
  place.replaceChildren(answerOf(run.answer, null, { given }))
}

function exported(run) {
  byId('export').hidden = false
  byId('export').replaceChildren(
    el('a', { class: 'button small', href: `/v1/runs/${run.id}/export?form=markdown`, download: '' }, icon('download'), t('Download to read (Markdown)')),
    el('a', { class: 'button small', href: `/v1/runs/${run.id}/export?form=json`, download: '' }, icon('download'), t('Download for programs (JSON)')))
}

// A run that has used up its budget: what is added to it, or that it is to answer with what it has.
function waiting(run) {
  const place = byId('waiting')
  if (run.state !== 'paused') { place.replaceChildren(); return }
  if (place.hasChildNodes()) return
  const met = run.progress?.resource
  const fields = Object.keys(BUDGETS).filter((name) => Number(run.budget[name]) > 0).map((name) => el('label', { class: 'amount' }, UNITS[name],
    el('input', { type: 'number', name, min: 0, step: 'any', value: name === met || (!met && name === 'calls') ? OFFERED[name] : '', placeholder: '0' })))
  const act = async (work) => {
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
    el('strong', { text: t('The budget is used up') }),
    run.budget[met] ? el('p', { text: t('{resource}: {spent}. The next step needs more.', { resource: BUDGETS[met], spent: spentOf(run, met) }) }) : null,
    el('p', { text: t('The run waits for you: add to the budget, or let it answer with what it has found so far.') }),
    may('ask') ? el('div', { class: 'row amounts' }, fields) : null,
    may('ask') ? el('div', { class: 'row end' },
      el('button', { type: 'button', text: t('Answer with what it has'), onclick: () => act(() => post(`/v1/runs/${id}/finish`)) }),
      el('button', { type: 'submit', class: 'main', text: t('Add and continue') })) : null)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const added = Object.fromEntries([...form.querySelectorAll('input')].filter((each) => Number(each.value) > 0).map((each) => [each.name, Number(each.value)]))
    act(() => post(`/v1/runs/${id}/continue`, added))
  })
  place.replaceChildren(form)
  say(t('The budget of the run is used up, and it waits for you.'))
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

// Steps are open while the run goes on, so that they are seen as they happen, and closed once there is an answer.
function follow(run) {
  const source = new EventSource(`/v1/runs/${id}/events`)
  const steps = new Steps(byId('steps'), progressed)
  byId('steps-part').hidden = false
  byId('steps-details').open = goesOn(run) || !run.answer
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      steps.add(kind, () => JSON.parse(event.data).body ?? {})
      if (kind === 'paused') look()
    })
  }
  source.addEventListener('end', async () => {
    source.close()
    steps.end()
    const after = await look()
    if (goesOn(run) && after?.answer) byId('steps-details').open = false
  })
}

closable()
byId('share')?.addEventListener('click', () => openShares({ run: id }))
byId('cancel')?.addEventListener('click', async (event) => {
  event.currentTarget.disabled = true
  try {
    show(await post(`/v1/runs/${id}/cancel`))
  } catch (error) {
    fail(error)
  } finally {
    byId('cancel').disabled = false
  }
})

const run = await look()
if (run) follow(run)
