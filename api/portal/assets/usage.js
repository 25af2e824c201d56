// Usage by day and key, the remaining quotas, and the work in progress.
import { byId, bytes, day, el, foreign, money, number, time, trouble } from './dom.js'
import { amountOf, QUOTAS } from './quotas.js'
import { csv, download } from './record_table.js'
import { get, may } from './rest.js'
import { t, tn, tp } from './text.js'

const MOST_ROWS = 20_000
const COLUMNS = [
  ['questions', t('Questions')], ['calls', t('Model calls')], ['prompt_tokens', t('Tokens read')], ['completion_tokens', t('Tokens written')],
  ['dollars', t('Cost')], ['documents', t('Documents added')], ['bytes', t('Size added')],
]
const choose = (names) => COLUMNS.filter(([column]) => names.includes(column))
const BY_COLLECTION = choose(['questions', 'prompt_tokens', 'completion_tokens', 'dollars'])
const BY_CHANNEL = [['questions', t('Questions')], ['answers', t('Answers')], ['files', t('Files shared')], ...choose(['prompt_tokens', 'completion_tokens', 'dollars'])]
const HOW = {
  channel: t('Channels are shown by their Slack ids. An id that begins with U is a person who asked with /ask.'),
  collection: t('A question counts, with all its tokens, for each collection whose documents it used. Deleted and expired answers are not counted.'),
  day: t('Days in UTC. An answer is counted when it is complete.'),
}
const PARTS = { catalog: t('Catalog'), search: t('Search'), copies: t('Copies of the index'), files: t('Stored files'), disk: t('Disk'), language_model: t('Language model'), upkeep: t('Maintenance') }
const STATES = {
  ready: ['good', t('Ready')], loading: ['warn-ink waiting', t('Loading')], none: ['soft waiting', t('Not set up')],
  stopped: ['bad bad-ink', t('Stopped')], unavailable: ['bad bad-ink', t('Not reachable')], away: ['bad bad-ink', t('Not reachable')],
  full: ['bad bad-ink', t('Full: uploads are rejected')], lost: ['bad bad-ink', t('Must be rebuilt')], degraded: ['warn-ink', t('Fewer copies than configured')],
}
// These states are normal for a service that does not have the part.
const OPTIONAL = ['copies']
let used = []
let asked = []
let inSlack = []
let names = new Map()

const shown = (name, value) => (name === 'dollars' ? money(value) : name === 'bytes' ? bytes(value) : number(value))

async function quotas() {
  const found = (await get('/v1/quotas')).quotas
  byId('no-quotas').hidden = Boolean(found.length)
  byId('quotas').replaceChildren(...found.map((each) => {
    const name = QUOTAS[each.quota] ?? each.quota
    const [left, limit] = [amountOf(each.quota, each.left), amountOf(each.quota, each.limit)]
    return el('li', {}, el('strong', { text: name }), el('p', { class: 'hint', text: each.of === 'key' ? t('for your key') : t('shared by the organisation') }),
      el('progress', { max: Math.max(1e-9, each.limit), value: Math.min(each.used, each.limit), 'aria-label': t('{quota}: used', { quota: name }) }),
      el('p', { class: each.left ? null : 'bad-ink', text: remaining(each.quota, left, limit) }),
      each.renews_at ? el('p', { class: 'hint', text: t('resets {time}', { time: time(each.renews_at) }) }) : null)
  }))
}

function remaining(quota, left, limit) {
  if (quota.endsWith('_per_day')) return t('{left} of {limit} remaining today', { left, limit })
  if (quota.endsWith('_per_month')) return t('{left} of {limit} remaining this month', { left, limit })
  return t('{left} of {limit} remaining', { left, limit })
}

async function now() {
  const [state, ready] = await Promise.all([get('/v1/status'), readiness()])
  const count = (...states) => states.reduce((sum, each) => sum + (state.documents[each] ?? 0), 0)
  const parts = [
    [count('accepted'), t('{count} waiting', { count: number(count('accepted')) })],
    [count('parsing', 'chunking', 'indexing'), t('{count} being read', { count: number(count('parsing', 'chunking', 'indexing')) })],
    [count('searchable', 'embedding'), t('{count} found by words, not yet by meaning', { count: number(count('searchable', 'embedding')) })],
    [count('failed'), t('{count} failed', { count: number(count('failed')) })],
  ].filter(([amount]) => amount)
  const { chunks, chunks_embedded: embedded } = state
  byId('now').replaceChildren(
    el('li', {}, el('strong', { text: t('Documents') }), el('p', { text: t('{count} ready', { count: number(count('ready')) }) }), el('p', { class: 'hint', text: parts.map(([, text]) => text).join(', ') || t('nothing waits') })),
    el('li', {}, el('strong', { text: t('Index') }), el('p', { text: tn(chunks, '{n} passage', '{n} passages') }),
      chunks ? el('p', { class: 'hint', text: embedded === chunks ? t('All can be found by meaning') : t('{count} can be found by meaning', { count: number(embedded) }) }) : null),
    ...Object.entries(ready).filter(([part, { state: each }]) => each !== 'none' || !OPTIONAL.includes(part)).map(([part, { state: each }]) => {
      const [kind, text] = STATES[each] ?? ['soft waiting', each]
      return el('li', {}, el('strong', { text: PARTS[part] ?? part }), el('p', {}, el('span', { class: `status ${kind}`, text })), each === 'stopped' ? el('p', { class: 'hint' }, tp('{command} says why.', { command: el('code', { text: 'leadline doctor' }) })) : null)
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
const title = (name) => (byId('by').value === 'day' ? day(name) : byId('by').value !== 'key' ? name : names.get(name) ?? (name || t('without a key')))

function draw() {
  const rows = grouped()
  const most = Math.max(1, ...rows.map(([, sum]) => sum.prompt_tokens + sum.completion_tokens))
  const total = (column) => used.reduce((sum, each) => sum + each[column], 0)
  byId('how').textContent = HOW[byId('by').value] ?? HOW.day
  byId('table').hidden = !rows.length
  byId('empty').hidden = Boolean(rows.length)
  byId('download').disabled = !rows.length
  byId('sums').textContent = used.length ? [
    tn(total('questions'), '{n} question', '{n} questions'), tn(total('prompt_tokens') + total('completion_tokens'), '{n} token', '{n} tokens'),
    money(total('dollars')), tn(total('documents'), '{n} document added', '{n} documents added'),
  ].join(' · ') : ''
  byId('columns').replaceChildren(el('th', { scope: 'col', text: { day: t('Day'), key: t('Key'), collection: t('Collection'), channel: t('Channel') }[byId('by').value] }), el('th', { scope: 'col', class: 'bar-cell' }, el('span', { class: 'unseen', text: t('Share of tokens') })), ...columns().map(([, text]) => el('th', { scope: 'col', class: 'right', text })))
  byId('rows').replaceChildren(...rows.map(([name, sum]) => el('tr', {},
    el('th', { scope: 'row' }, foreign(title(name))),
    el('td', { class: 'middle' }, el('progress', { max: most, value: sum.prompt_tokens + sum.completion_tokens, 'aria-label': t('Share of tokens') })),
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
    for (const key of page.keys) names.set(key.id, key.user ? t('{key} of {person}', { key: key.name, person: key.user }) : key.name)
    cursor = page.next_cursor
  } while (cursor && names.size < MOST_ROWS)
  draw()
}

const fail = (error) => byId('trouble').replaceChildren(trouble(error, el('button', { type: 'button', text: t('Try again'), onclick: all })))
const all = () => Promise.all([quotas(), now(), usage(), stored(), keyNames()]).then(() => byId('trouble').replaceChildren(), fail)

byId('choices').addEventListener('submit', (event) => event.preventDefault())
byId('period').addEventListener('change', () => usage().catch(fail))
byId('by').addEventListener('change', draw)
byId('download').addEventListener('click', () => download('usage.csv', csv([byId('by').value, ...columns().map(([column]) => column)], grouped().map(([name, sum]) => [byId('by').value === 'day' ? name : title(name), ...columns().map(([column]) => sum[column])])), 'text/csv;charset=utf-8'))
all()
