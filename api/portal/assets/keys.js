// API keys: made, shown once, rotated, limited in time, and revoked.
import { asked, choices, labelled, select, shownOnce } from './dialog.js'
import { byId, confirmed, el, foreign, readable, say, time, trouble } from './dom.js'
import { Pager } from './pager.js'
import { get, may, post, send } from './rest.js'
import { inWords, SCOPES } from './scopes.js'

const PAGE = 50
const DAY = 86_400
const LIVES = [['', 'never'], ['7', 'in a week'], ['30', 'in 30 days'], ['90', 'in 90 days'], ['365', 'in a year']]
const GRACES = [['86400', 'in a day'], ['0', 'at once'], ['3600', 'in an hour'], [String(7 * DAY), 'in a week']]
const STATES = { live: ['good', 'Live'], expired: ['soft waiting', 'Expired'], revoked: ['bad bad-ink', 'Revoked'] }
let mine = null

const pager = new Pager(async (cursor) => {
  const [page, me] = await Promise.all([get('/v1/keys', { limit: PAGE, cursor }), mine ?? get('/v1/me')])
  mine = me
  return page
}, draw)

function draw({ keys }) {
  const shown = byId('ended').checked ? keys : keys.filter((each) => each.state === 'live')
  byId('rows').replaceChildren(...shown.map(row))
  byId('table').hidden = !shown.length
  byId('empty').hidden = Boolean(shown.length)
  byId('empty').replaceChildren(el('h2', { text: 'No keys here' }), el('p', { text: 'Make one for a program that uploads or asks, or for a person who signs in with it.' }))
}

function row(key) {
  const [kind, state] = STATES[key.state]
  return el('tr', { data: { id: key.id } },
    el('td', { class: 'named' }, el('strong', {}, foreign(key.name)), el('div', { class: 'small soft' },
      el('code', { text: key.id }), key.user ? [' of ', foreign(key.user)] : null, key.id === mine?.key ? ' (you are signed in with it)' : '')),
    el('td', { 'data-label': 'May', text: inWords(key.scopes) }),
    el('td', {}, el('span', { class: `status ${kind}`, text: state }), key.successor ? el('div', { class: 'small soft', text: `followed by ${key.successor}` }) : null),
    el('td', { class: 'small', 'data-label': 'Last used', text: key.id === mine?.key ? 'now, by you' : key.last_used_at ? time(key.last_used_at) : 'not yet' }),
    el('td', { class: 'small', 'data-label': 'Ends', text: key.expires_at ? time(key.expires_at) : key.revoked_at ? time(key.revoked_at) : 'never' }),
    el('td', { class: 'act' }, key.state === 'live' ? el('div', { class: 'row' },
      action('Change', key, change), action('Rotate', key, rotate), action('Revoke', key, revoke)) : null))
}

const action = (text, key, act) => el('button', { type: 'button', class: 'quiet', text, 'aria-label': readable(`${text} ${key.name}`), onclick: () => act(key).catch((error) => byId('trouble').replaceChildren(trouble(error))) })

const scopesOffered = () => SCOPES.filter(([name]) => name !== 'operator' || may('operator'))
const ends = (days) => (days ? new Date(Date.now() + Number(days) * DAY * 1000).toISOString() : null)

async function make() {
  const made = await asked('Make a key', [
    labelled('name', 'Name', el('input', { required: true, maxlength: 200, autocomplete: 'off' }), 'What it is for, such as “nightly upload”.'),
    choices('It may', 'scopes', scopesOffered(), ['read'], { many: true }),
    labelled('user', 'In the name of', el('input', { maxlength: 200, autocomplete: 'off', placeholder: 'nobody' }), 'A person’s name: the key then sees what that person may see.'),
    labelled('days', 'Ends', select(LIVES, '')),
  ], 'Make', (values) => post('/v1/keys', {
    name: values.get('name'), scopes: values.getAll('scopes'), user: values.get('user').trim() || null, expires_at: ends(values.get('days')),
  }))
  if (made) await once(made)
}

async function once(made) {
  await shownOnce('The new key', made.key, 'This is the only time that it is shown. Keep it where secrets are kept.')
  await pager.again()
}

async function change(key) {
  const done = await asked(`Change ${readable(key.name)}`, [
    labelled('name', 'Name', el('input', { required: true, maxlength: 200, value: key.name, autocomplete: 'off' })),
    choices('It may', 'scopes', scopesOffered(), key.scopes, { many: true }),
    labelled('days', 'Ends', select([['keep', key.expires_at ? `as now, ${time(key.expires_at)}` : 'as now, never'], ...LIVES], 'keep')),
  ], 'Change', async (values) => {
    const json = { name: values.get('name'), scopes: values.getAll('scopes') }
    if (values.get('days') !== 'keep') json.expires_at = ends(values.get('days'))
    return (await send('PATCH', `/v1/keys/${key.id}`, { json })).json()
  })
  if (done) { say('Changed'); await pager.again() }
}

async function rotate(key) {
  const made = await asked(`Rotate ${readable(key.name)}`, [
    el('p', { text: 'A new key takes its place, with the same name, rights and limits. Until the old one ends, both are valid.' }),
    labelled('grace', 'The old one ends', select(GRACES, '86400')),
  ], 'Rotate', (values) => post(`/v1/keys/${key.id}/rotate`, { grace_seconds: Number(values.get('grace')) }))
  if (made) await once(made)
}

async function revoke(key) {
  const own = key.id === mine?.key ? ['You are signed in with this key: revoking it signs you out.'] : []
  if (!await confirmed('Revoke this key?', [el('p', {}, foreign(key.name)), 'It is worthless at once and for good, and everybody who signed in with it is signed out.', ...own], 'Revoke')) return
  await send('DELETE', `/v1/keys/${key.id}`)
  say('Revoked')
  await pager.again()
}

byId('make').addEventListener('click', () => make().catch((error) => byId('trouble').replaceChildren(trouble(error))))
byId('ended').addEventListener('change', () => pager.again())
pager.again()
