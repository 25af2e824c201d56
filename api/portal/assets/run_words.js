// Runs in plain words: states, budgets, the title of a step, and what a call of the model does.
import { el, money, number, readable } from './dom.js'
import { duration } from './durations.js'
import { t, tn } from './text.js'

const TITLE_CHARS = 140
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
  classify: t('Sorts records by label'), filter: t('Selects the records that match'), extract: t('Extracts values from records'), probe: t('Checks that the model can be reached'), 'given up': t('Was interrupted'),
}
// The tools in a cell of code, in the order in which a title names them.
const TOOLS = [
  ['submit', t('Writes the answer')], ['draft', t('Keeps a draft of the answer')], ['rlm_query', t('Researches a part on its own')], ['classify', t('Sorts records by label')],
  ['filter_records', t('Selects the records that match')], ['extract', t('Extracts values from records')], ['map_records', t('Has a model read records')], ['pairs', t('Compares pairs of records')],
  ['llm_query_batched', t('Has a model read parts of the text')], ['llm_query', t('Has a model read a part of the text')], ['search', t('Searches the documents')], ['grep', t('Looks for words in the text')],
  ['count', t('Counts matches in the text')], ['read', t('Reads passages')], ['records', t('Cuts the text into records')], ['outline', t('Looks at the outline')],
]

export const stateOf = (run) => el('span', { class: `status ${STATES[run.state]?.[0] ?? 'soft'}`, text: STATES[run.state]?.[1] ?? run.state })
export const goesOn = (run) => run.state === 'queued' || run.state === 'running' || run.state === 'paused'
export const purposeOf = (body) => PURPOSES[body.purpose] ?? readable(body.purpose || t('Calls the model'))

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

// The title of a step: the model's own first sentence, the comment at the top of its code, or what its tools do.
export function titleOf(reply, cell) {
  const prose = sentenceOf((reply ?? '').replace(/<think>[^]*?<\/think>/gi, '').split(/```|~~~/)[0])
  if (prose && prose !== sentenceOf(cell.code ?? '')) return prose
  const comment = []
  for (const line of (cell.code ?? '').split('\n')) {
    if (!line.trim() && !comment.length) continue
    const [, words] = /^\s*#+\s?(.*)$/.exec(line) ?? []
    if (words === undefined) break
    comment.push(words)
  }
  return sentenceOf(comment.join(' ')) || toolsOf(cell.code ?? '') || (cell.code ? t('Runs code') : t('Replies without code'))
}

function sentenceOf(text) {
  const plain = readable(text).replace(/\*\*|__|`|^#+\s/gm, '').replace(/\s+/g, ' ').trim()
  const [first] = /^.+?[.!?:。！？](?=\s|$)/u.exec(plain) ?? [plain]
  const sentence = first.replace(/:$/, '')
  return sentence.length > TITLE_CHARS ? `${sentence.slice(0, TITLE_CHARS).replace(/\s+\S*$/, '')}…` : sentence
}

const toolsOf = (code) => TOOLS.filter(([name]) => new RegExp(`(?<![\\w.])${name}\\(`).test(code)).slice(0, 2).map(([, words]) => words).join(' · ')
