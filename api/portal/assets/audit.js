// The audit log: filtered, a page at a time, verified, and exported.
import { byId, el, foreign, money, number, plural, time, trouble } from './dom.js'
import { Pager } from './pager.js'
import { get } from './rest.js'

const PAGE = 50
const ACTIONS = [
  'document.uploaded', 'document.replaced', 'document.changed', 'document.cancelled', 'document.deleted', 'document.entries_taken',
  'document.entries_deleted', 'batch.cancelled', 'collection.changed', 'run.deleted', 'answer.deleted', 'conversation.deleted',
  'replies.forgotten', 'tenant.created', 'tenant.changed', 'tenant.exported', 'user.created', 'user.changed', 'user.deleted',
  'key.created', 'key.changed', 'key.rotated', 'key.revoked', 'session.begun', 'sessions.ended', 'quota.changed',
]
const ANCHOR = 'audit-head'
const NANODOLLARS = 1e9

const day = (value, more) => {
  if (!value) return ''
  const [year, month, date] = value.split('-').map(Number)
  return new Date(year, month - 1, date + more).toISOString()
}

function filters() {
  return {
    action: byId('action').value, by: byId('by').value.trim(), object: byId('object').value.trim(),
    since: day(byId('since').value, 0), until: day(byId('until').value, 1),
  }
}

const pager = new Pager((cursor) => get('/v1/audit', { ...filters(), limit: PAGE, cursor }), (page) => {
  byId('rows').replaceChildren(...page.entries.map(row))
  byId('table').hidden = !page.entries.length
  byId('empty').hidden = Boolean(page.entries.length)
  byId('empty').replaceChildren(el('h2', { text: 'No entries' }), el('p', { text: 'Nothing in the log has all of this. Take a filter away.' }))
  const kept = Object.entries(filters()).filter(([, value]) => value)
  byId('export').href = `/v1/audit/export?${new URLSearchParams(kept)}`
})

function row(entry) {
  const { actor } = entry
  const id = entry.object.startsWith('document:') ? entry.object.slice(9) : null
  return el('tr', {},
    el('td', { class: 'small whole', text: time(entry.at) }),
    el('td', { 'data-label': 'by' }, actor.user ? foreign(actor.user) : actor.kind === 'caller' ? 'key ' : actor.kind, actor.key ? [actor.user ? ' with ' : '', el('code', { text: actor.key })] : null),
    el('td', { class: 'whole' }, el('span', { text: entry.action }), entry.result === 'done' ? null : el('span', { class: 'small bad-ink' }, ' ', foreign(entry.result))),
    el('td', { 'data-label': 'to' }, id && entry.action !== 'document.deleted' ? el('a', { href: `/library/${id}`, text: entry.object }) : foreign(entry.object)),
    el('td', { class: 'details' }, Object.entries(entry.details).filter(([, value]) => value !== null).flatMap(([name, value], at) => [at ? ', ' : '', `${name.replaceAll('_', ' ')}: `, foreign(plain(name, value))])))
}

// A value of an entry's details as people read it.
function plain(name, value) {
  if (name.endsWith('_at') && typeof value === 'number') return time(new Date(value * 1000).toISOString())
  if (name.startsWith('dollars') && typeof value === 'number') return money(value / NANODOLLARS)
  if (Array.isArray(value)) return value.map((each) => plain('', each)).join(', ') || 'none'
  if (typeof value === 'object' && value !== null) return Object.entries(value).map(([key, each]) => `${key} ${plain(key, each)}`).join(', ') || 'none'
  return typeof value === 'number' ? number(value) : String(value)
}

async function verify(button) {
  button.disabled = true
  byId('verified').replaceChildren(el('p', { class: 'soft', text: 'Checking every entry…' }))
  let noted = null
  try {
    noted = localStorage.getItem(ANCHOR)
  } catch { /* storage is switched off */ }
  try {
    const found = await get('/v1/audit/verification', { anchor: noted })
    const since = noted ? ' The end that this browser noted at the last check is there.' : ''
    byId('verified').replaceChildren(found.faults.length
      ? el('div', { class: 'notice bad' }, el('strong', { text: 'The log is not as it was written' }), el('ul', {}, found.faults.map((each) => el('li', { text: `${each.sequence}: ${each.detail}` }))), 'Compare it with an earlier export, and ask who could write to the database.')
      : el('div', { class: 'notice' }, el('strong', { text: `${plural(found.entries, 'entry', 'entries')} follow one from another` }), `Nothing was changed or taken out.${since} To find a cut end later, note this head where nobody can change it: `, el('code', { text: found.head })))
    try {
      if (!found.faults.length) localStorage.setItem(ANCHOR, found.head)
    } catch { /* storage is switched off */ }
  } catch (error) {
    byId('verified').replaceChildren(trouble(error))
  }
  button.disabled = false
}

let typing
byId('action').append(...ACTIONS.map((each) => el('option', { value: each, text: each })))
byId('filters').addEventListener('submit', (event) => event.preventDefault())
byId('filters').addEventListener('change', () => { clearTimeout(typing); pager.first() })
byId('filters').addEventListener('input', (event) => { if (event.target.matches('input:not([type="date"])')) { clearTimeout(typing); typing = setTimeout(() => pager.first(), 250) } })
byId('filters').addEventListener('reset', () => setTimeout(() => pager.first()))
byId('verify').addEventListener('click', (event) => verify(event.currentTarget))
pager.again()
