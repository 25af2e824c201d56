// The audit log: filtered, a page at a time, verified, and exported.
import { actionOf, ACTIONS, actorOf, factsOf, objectOf } from './audit_words.js'
import { byId, el, foreign, number, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { Pager } from './pager.js'
import { remarkOf } from './remarks.js'
import { get } from './rest.js'
import { t, tn } from './text.js'

const PAGE = 50
const MOST_ACTORS = 500
const ANCHOR = 'audit-head'
const keys = new Map()  // the ids of keys by what the list of actors calls them

const day = (value, more) => {
  if (!value) return ''
  const [year, month, date] = value.split('-').map(Number)
  return new Date(year, month - 1, date + more).toISOString()
}

function filters() {
  const by = byId('by').value.trim()
  return {
    action: byId('action').value, by: keys.get(by) ?? by, object: byId('object').value.trim(),
    since: day(byId('since').value, 0), until: day(byId('until').value, 1),
  }
}

const pager = new Pager((cursor) => get('/v1/audit', { ...filters(), limit: PAGE, cursor }), (page) => {
  byId('rows').replaceChildren(...page.entries.map((entry) => row(entry, page.names)))
  byId('table').hidden = !page.entries.length
  byId('empty').hidden = Boolean(page.entries.length)
  byId('empty').replaceChildren(icon('shield-check'), el('h2', { text: t('No entries') }), el('p', { text: t('No entry matches all filters. Remove one of them.') }))
  const kept = Object.entries(filters()).filter(([, value]) => value)
  byId('export').href = `/v1/audit/export?${new URLSearchParams(kept)}`
})

function row(entry, names) {
  const facts = factsOf(entry, names)
  return el('tr', {},
    el('td', { class: 'small whole', text: time(entry.at) }),
    el('td', { 'data-label': t('Who') }, actorOf(entry, names)),
    el('td', { 'data-label': t('What') }, el('span', { text: actionOf(entry) }), entry.result === 'done' ? null : el('div', { class: 'small bad-ink' }, foreign(entry.result))),
    el('td', { 'data-label': t('Object') }, objectOf(entry, names)),
    el('td', { class: 'about' }, facts.length ? el('div', { class: 'facts-line' }, facts) : null, more(entry)))
}

const more = (entry) => el('details', { class: 'small' }, el('summary', { text: t('Codes') }), el('dl', { class: 'codes' },
  [[t('Entry'), String(entry.sequence)], [t('Action'), entry.action], [t('Object'), entry.object], [t('Request'), entry.request], [t('Details'), JSON.stringify(entry.details)], [t('Hash'), entry.hash]]
    .filter(([, value]) => value).flatMap(([name, value]) => [el('dt', { text: name }), el('dd', {}, el('code', { text: value }))])))

async function verify(button) {
  button.disabled = true
  byId('verified').replaceChildren(el('p', { class: 'soft', text: t('Checking every entry…') }))
  let noted = null
  try {
    noted = localStorage.getItem(ANCHOR)
  } catch { /* storage is switched off */ }
  try {
    const found = await get('/v1/audit/verification', { anchor: noted })
    byId('verified').replaceChildren(found.faults.length
      ? el('div', { class: 'notice bad' }, el('strong', { text: t('The log was changed after it was written') }), el('ul', {}, found.faults.map((each) => el('li', { text: `${number(each.sequence)}: ${remarkOf(each.coded_detail, each.detail)}` }))), t('Compare it with an earlier export, and find out who could write to the database.'))
      : el('div', { class: 'notice good' }, el('strong', { text: tn(found.entries, 'The log is intact: {n} entry', 'The log is intact: {n} entries') }),
        t('No entry was changed or removed.'), ' ', noted ? t('The last entry of this browser’s previous check is still there.') : '', ' ',
        t('To detect later that entries were cut off at the end, store this value where nobody can change it:'), ' ', el('code', { text: found.head })))
    try {
      if (!found.faults.length) localStorage.setItem(ANCHOR, found.head)
    } catch { /* storage is switched off */ }
  } catch (error) {
    byId('verified').replaceChildren(trouble(error))
  }
  button.disabled = false
}

// People and keys to choose from; others can be typed in.
async function actors() {
  const [{ users }, found] = await Promise.all([get('/v1/users', { limit: MOST_ACTORS }), get('/v1/keys', { limit: MOST_ACTORS })])
  for (const key of found.keys) keys.set(t('key “{name}” ({id})', { name: key.name, id: key.id }), key.id)
  byId('actors').replaceChildren(...users.map((each) => el('option', { value: each.name })), ...[...keys.keys()].map((value) => el('option', { value })))
}

let typing
byId('action').append(...Object.entries(ACTIONS).sort((a, b) => a[1].localeCompare(b[1])).map(([value, text]) => el('option', { value, text })))
byId('filters').addEventListener('submit', (event) => event.preventDefault())
byId('filters').addEventListener('change', () => { clearTimeout(typing); pager.first() })
byId('filters').addEventListener('input', (event) => { if (event.target.matches('input:not([type="date"])')) { clearTimeout(typing); typing = setTimeout(() => pager.first(), 250) } })
byId('filters').addEventListener('reset', () => setTimeout(() => pager.first()))
byId('verify').addEventListener('click', (event) => verify(event.currentTarget))
pager.again()
actors().catch(() => { /* names can be typed in */ })
