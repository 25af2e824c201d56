// Runs in plain words: states, budgets, the title of a step, and what a call of the model does. `api/answers/steps.py`
// says the same where there is no page.
import { el, foreign, money, number } from './dom.js'
import { duration } from './durations.js'
import { remarkOf } from './remarks.js'
import { t, tn } from './text.js'

export const STATES = {
  queued: ['soft waiting', t('Waiting')], running: ['soft waiting', t('Working')], paused: ['warn-ink', t('Waiting for you')],
  completed: ['good', t('Complete')], partial: ['warn-ink', t('Not complete')], failed: ['bad bad-ink', t('Failed')], cancelled: ['soft', t('Cancelled')],
}
export const KINDS = ['start', 'resume', 'condensed', 'routed', 'retrieved', 'reading', 'planned', 'working', 'cell', 'checking', 'call', 'lost', 'paused', 'budget', 'raised']
export const BUDGETS = { calls: t('Model calls'), prompt_tokens: t('Tokens read'), completion_tokens: t('Tokens written'), tokens: t('Tokens'), dollars: t('Cost'), seconds: t('Time') }
export const STRATEGIES = { direct: t('Answers from the best passages'), table: t('Computes over tables'), recursive: t('Works through the documents with code'), extractive: t('Quotes the closest sentences') }
// The purposes of calls. `root` writes the next step of the code.
const PURPOSES = {
  root: t('Decides on the next step'), llm_query: t('Reads a part of the text'), judge: t('Checks sentences against their sources'), route: t('Decides how to answer'),
  condense: t('Understands the follow-up question'), rewrite: t('Thinks of other words to search for'), plan: t('Plans the computation'), answer: t('Writes the answer'),
  classify: t('Sorts records by label'), filter: t('Selects the records that match'), extract: t('Extracts values from records'), format: t('Puts the answer into the requested form'), probe: t('Checks that the model can be reached'), 'given up': t('Was interrupted'),
}
export const stateOf = (run) => el('span', { class: `status ${STATES[run.state]?.[0] ?? 'soft'}`, text: STATES[run.state]?.[1] ?? run.state })
export const goesOn = (run) => run.state === 'queued' || run.state === 'running' || run.state === 'paused'
export const purposeOf = (body) => PURPOSES[body.purpose] ?? t('Calls the model')

const usedOf = (run) => ({ ...run.usage, tokens: run.usage.prompt_tokens + run.usage.completion_tokens, seconds: run.seconds })
const amountOf = (name, value) => (name === 'dollars' ? money(Number(value)) : name === 'seconds' ? duration(value) : number(Math.round(value)))

// How much of a limit is used, in words.
export const spentOf = (run, name) => t('{used} of {limit}', { used: amountOf(name, usedOf(run)[name]), limit: amountOf(name, run.budget[name]) })

// An amount that was added to a limit, in words.
export const addedOf = (name, amount) => `${BUDGETS[name] ?? name}: ${amountOf(name, Number(amount))}`

const bar = (name, words, share) => el('div', { class: 'meter' }, el('p', { class: 'small' }, el('span', { class: 'soft', text: name }), el('span', { text: words })), el('progress', { max: 1, value: Math.min(1, share), 'aria-label': `${name}: ${words}` }))

// Meters of what is spent of each limit, and of what was read, searched and not opened; without limits what was spent.
export function barsOf(run) {
  const used = usedOf(run)
  const limited = Object.keys(BUDGETS).filter((name) => Number(run.budget[name]) > 0)
  return [
    ...limited.map((name) => bar(BUDGETS[name], spentOf(run, name), used[name] / run.budget[name])),
    ...(run.coverage ? coverage(run.coverage) : []),
    limited.length ? null : el('p', { class: 'small soft', text: [
      tn(used.calls, '{n} model call', '{n} model calls'), used.cached ? tn(used.cached, '{n} of them was stored before and costs nothing', '{n} of them were stored before and cost nothing') : '', tn(used.tokens, '{n} token', '{n} tokens'), duration(used.seconds),
    ].filter(Boolean).join(' · ') }),
  ].filter(Boolean)
}

function coverage(found) {
  const whole = found.tokens_in_scope || 1
  return [[t('Read by a model'), found.tokens_read], [t('Searched by code'), found.tokens_searched], [t('Not opened'), found.tokens_unopened]]
    .map(([name, count]) => bar(name, tn(count, '{n} token', '{n} tokens'), count / whole))
}

// What a step of the program is for, in the model's own words or, without any, in what its tools do.
export const titleOf = (body) => (body.coded_title ? remarkOf(body.coded_title) : foreign(body.title || t('Runs code')))
