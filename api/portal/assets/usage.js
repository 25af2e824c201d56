// What was used by day and key, what is left of quotas, and what goes on now.
import { byId, bytes, day, el, foreign, money, number, plural, time, trouble } from './dom.js'
import { csv, download } from './record_table.js'
import { get, may } from './rest.js'

const MOST_ROWS = 20_000
const QUOTAS = {
  requests_per_minute: 'Requests in a minute', tokens_per_day: 'Tokens today', tokens_per_month: 'Tokens this month',
  dollars_per_day: 'Dollars today', dollars_per_month: 'Dollars this month', answers_at_once: 'Answers at once',
  runs_at_once: 'Runs at once', documents: 'Documents', bytes: 'Bytes',
}
const COLUMNS = [
  ['questions', 'Questions'], ['calls', 'Calls of the model'], ['prompt_tokens', 'Tokens read'], ['completion_tokens', 'Tokens written'],
  ['dollars', 'Cost'], ['documents', 'Documents added'], ['bytes', 'Bytes added'],
]
const BY_COLLECTION = COLUMNS.filter(([column]) => ['questions', 'prompt_tokens', 'completion_tokens', 'dollars'].includes(column))
const BY_CHANNEL = [['questions', 'Questions'], ['answers', 'Answers'], ['files', 'Files shared'], ...COLUMNS.filter(([column]) => ['prompt_tokens', 'completion_tokens', 'dollars'].includes(column))]
const HOW = {
  channel: 'Channels of Slack by their ids; U… is what a user asked with /ask.',
  collection: 'A question counts in each collection of which it was given documents, with all of its tokens. Only what is kept is counted: answers and runs that were deleted, or are older than they are kept, are not.',
  day: 'Days are those of UTC. What answers under way have spent is counted when they end.',
}
const PARTS = { catalog: 'Catalog', search: 'Search', language_model: 'Language model', upkeep: 'Upkeep' }
const STATES = {
  ready: ['good', 'Ready'], loading: ['warn-ink waiting', 'Loading'], none: ['soft waiting', 'None is set up'],
  stopped: ['bad bad-ink', 'Stopped: leadline doctor says why'], unavailable: ['bad bad-ink', 'Does not answer'], away: ['bad bad-ink', 'Does not answer'],
}
let used = []
let asked = []
let inSlack = []
let names = new Map()

const shown = (name, value) => (name === 'dollars' ? money(value) : name === 'bytes' ? bytes(value) : number(value))

async function quotas() {
  const found = (await get('/v1/quotas')).quotas
  byId('no-quotas').hidden = Boolean(found.length)
  byId('quotas').replaceChildren(...found.map((each) => {
    const kind = each.quota.startsWith('dollars') ? 'dollars' : each.quota === 'bytes' ? 'bytes' : ''
    const name = QUOTAS[each.quota] ?? each.quota
    return el('li', {}, el('strong', { text: name }), el('p', { class: 'hint', text: each.of === 'key' ? 'of your key' : 'of everybody together' }),
      el('progress', { max: Math.max(1e-9, each.limit), value: Math.min(each.used, each.limit), 'aria-label': `${name}: used` }),
      el('p', { class: each.left ? null : 'bad-ink', text: `${shown(kind, each.left)} of ${shown(kind, each.limit)} left` }),
      each.renews_at ? el('p', { class: 'hint', text: `all of it again ${time(each.renews_at)}` }) : null)
  }))
}

async function now() {
  const [state, ready] = await Promise.all([get('/v1/status'), readiness()])
  const count = (...states) => states.reduce((sum, each) => sum + (state.documents[each] ?? 0), 0)
  const waiting = count('accepted')
  const queue = [
    waiting ? `${number(waiting)} waiting` : '', count('parsing', 'chunking', 'indexing') ? `${number(count('parsing', 'chunking', 'indexing'))} being read` : '',
    count('searchable', 'embedding') ? `${number(count('searchable', 'embedding'))} found by words, not yet by meaning` : '', count('failed') ? `${number(count('failed'))} failed` : '',
  ].filter(Boolean)
  byId('now').replaceChildren(
    el('li', {}, el('strong', { text: 'Documents' }), el('p', { text: `${number(count('ready'))} ready` }), el('p', { class: 'hint', text: queue.join(', ') || 'nothing waits' })),
    el('li', {}, el('strong', { text: 'Index' }), el('p', { text: plural(state.chunks, 'passage') }), el('p', { class: 'hint', text: `${number(state.chunks_embedded)} of them with their meaning` })),
    ...Object.entries(ready).map(([part, { state: each }]) => {
      const [kind, text] = STATES[each] ?? ['soft waiting', each]
      return el('li', {}, el('strong', { text: PARTS[part] ?? part }), el('p', {}, el('span', { class: `status ${kind}`, text })))
    }))
}

// A service that is not ready says so with 503, and in the same words.
async function readiness() {
  const response = await fetch('/health/ready')
  return (await response.json()).parts ?? {}
}

async function paged(path, since) {
  const found = []
  let cursor = null
  do {
    const page = await get(path, { since, limit: 500, cursor })
    found.push(...page.usage)
    cursor = page.next_cursor
  } while (cursor && found.length < MOST_ROWS)
  return found
}

async function usage() {
  const since = new Date(Date.now() - (Number(byId('period').value) - 1) * 86_400_000).toISOString().slice(0, 10)
  const found = await paged('/v1/usage', since)
  inSlack = may('admin') ? await paged('/v1/usage/slack', since) : []
  byId('by-channel').hidden = !inSlack.length
  if (!inSlack.length && byId('by').value === 'channel') byId('by').value = 'day'
  asked = (await get('/v1/usage/collections', { since })).collections
  used = found.map((each) => ({ ...each, questions: each.answers + each.runs }))
  draw()
}

function grouped() {
  const by = byId('by').value
  if (by === 'collection') return asked.map((each) => [each.collection, each])
  const sums = new Map()
  for (const each of by === 'channel' ? inSlack : used) {
    const name = by === 'day' ? each.day : by === 'channel' ? each.channel : each.key_id ?? ''
    const sum = sums.get(name) ?? Object.fromEntries(columns().map(([column]) => [column, 0]))
    for (const [column] of columns()) sum[column] += each[column]
    sums.set(name, sum)
  }
  const rows = [...sums].map(([name, sum]) => [name, sum])
  return by === 'day' ? rows : rows.sort((a, b) => b[1].prompt_tokens + b[1].completion_tokens - a[1].prompt_tokens - a[1].completion_tokens)
}

const columns = () => ({ collection: BY_COLLECTION, channel: BY_CHANNEL }[byId('by').value] ?? COLUMNS)
const title = (name) => (byId('by').value === 'day' ? day(name) : byId('by').value !== 'key' ? name : names.get(name) ?? (name || 'without a key'))

function draw() {
  const rows = grouped()
  const most = Math.max(1, ...rows.map(([, sum]) => sum.prompt_tokens + sum.completion_tokens))
  const total = (column) => used.reduce((sum, each) => sum + each[column], 0)
  byId('how').textContent = HOW[byId('by').value] ?? HOW.day
  byId('table').hidden = !rows.length
  byId('empty').hidden = Boolean(rows.length)
  byId('download').disabled = !rows.length
  byId('sums').textContent = used.length ? `${plural(total('questions'), 'question')}, ${number(total('prompt_tokens') + total('completion_tokens'))} tokens, ${money(total('dollars'))}, ${plural(total('documents'), 'document')} added` : ''
  byId('columns').replaceChildren(el('th', { scope: 'col', text: { day: 'Day', key: 'Key', collection: 'Collection', channel: 'Channel' }[byId('by').value] }), el('th', { scope: 'col', class: 'bar-cell' }, el('span', { class: 'unseen', text: 'Share of tokens' })), ...columns().map(([, text]) => el('th', { scope: 'col', class: 'right', text })))
  byId('rows').replaceChildren(...rows.map(([name, sum]) => el('tr', {},
    el('th', { scope: 'row' }, foreign(title(name))),
    el('td', { class: 'middle' }, el('progress', { max: most, value: sum.prompt_tokens + sum.completion_tokens, 'aria-label': 'Share of tokens' })),
    ...columns().map(([column]) => el('td', { class: 'right', text: shown(column, sum[column]) })))))
}

async function stored() {
  const found = (await get('/v1/collections')).collections
  byId('stored').replaceChildren(...found.map((each) => el('tr', {}, el('th', { scope: 'row' }, foreign(each.name)),
    ...[number(each.documents), bytes(each.bytes)].map((text) => el('td', { class: 'right', text })))))
}

async function keyNames() {
  if (!may('admin')) return
  let cursor = null
  do {
    const page = await get('/v1/keys', { limit: 500, cursor })
    for (const key of page.keys) names.set(key.id, `${key.name}${key.user ? ` of ${key.user}` : ''}`)
    cursor = page.next_cursor
  } while (cursor && names.size < MOST_ROWS)
  draw()
}

const fail = (error) => byId('trouble').replaceChildren(trouble(error, el('button', { type: 'button', text: 'Try again', onclick: all })))
const all = () => Promise.all([quotas(), now(), usage(), stored(), keyNames()]).then(() => byId('trouble').replaceChildren(), fail)

byId('choices').addEventListener('submit', (event) => event.preventDefault())
byId('period').addEventListener('change', () => usage().catch(fail))
byId('by').addEventListener('change', draw)
byId('download').addEventListener('click', () => download('usage.csv', csv([byId('by').value, ...columns().map(([column]) => column)], grouped().map(([name, sum]) => [byId('by').value === 'day' ? name : title(name), ...columns().map(([column]) => sum[column])])), 'text/csv;charset=utf-8'))
all()
