// API keys: created, shown once, rotated, limited, and revoked.
import { asked, choices, labelled, select, shownOnce } from './dialog.js'
import { byId, confirmed, el, foreign, readable, say, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { Pager } from './pager.js'
import { changedLimits, limitFields } from './quotas.js'
import { get, may, post, send } from './rest.js'
import { inWords, SCOPES } from './scopes.js'
import { t } from './text.js'

const PAGE = 50
const DAY = 86_400
const LIVES = [['', t('never')], ['7', t('in a week')], ['30', t('in 30 days')], ['90', t('in 90 days')], ['365', t('in a year')]]
const GRACES = [['86400', t('in a day')], ['0', t('now')], ['3600', t('in an hour')], [String(7 * DAY), t('in a week')]]
const STATES = { live: ['good', t('Valid')], expired: ['soft waiting', t('Expired')], revoked: ['bad bad-ink', t('Revoked')] }
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
  byId('empty').replaceChildren(icon('key-round'), el('h2', { text: t('No keys') }), el('p', { text: t('Create a key for a program that uploads or asks, or for a person who signs in with it.') }))
}

function row(key) {
  const [kind, state] = STATES[key.state]
  return el('tr', { data: { id: key.id } },
    el('td', { class: 'named' }, el('strong', {}, foreign(key.name)), el('div', { class: 'small soft' },
      el('code', { text: key.id }), key.user ? [' · ', foreign(t('acts as {person}', { person: key.user }))] : null, key.id === mine?.key ? ` · ${t('you are signed in with it')}` : '')),
    el('td', { 'data-label': t('Permissions'), text: inWords(key.scopes) }),
    el('td', {}, el('span', { class: `status ${kind}`, text: state }), key.successor ? el('div', { class: 'small soft', text: t('replaced by {key}', { key: key.successor }) }) : null),
    el('td', { class: 'small whole', 'data-label': t('Last used'), text: key.id === mine?.key ? t('now, by you') : key.last_used_at ? time(key.last_used_at) : t('never') }),
    el('td', { class: 'small whole', 'data-label': t('Expires'), text: key.expires_at ? time(key.expires_at) : key.revoked_at ? t('revoked {time}', { time: time(key.revoked_at) }) : t('never') }),
    el('td', { class: 'act' }, key.state === 'live' ? el('div', { class: 'row' },
      action('pencil', t('Change'), key, change), action('gauge', t('Limits'), key, limit), action('rotate-ccw', t('Rotate'), key, rotate), action('ban', t('Revoke'), key, revoke)) : null))
}

const action = (name, text, key, act) => el('button', { type: 'button', class: 'quiet', 'aria-label': readable(`${text} ${key.name}`), onclick: () => act(key).catch((error) => byId('trouble').replaceChildren(trouble(error))) }, icon(name), text)

const scopesOffered = () => SCOPES.filter(([name]) => name !== 'operator' || may('operator'))
const ends = (days) => (days ? new Date(Date.now() + Number(days) * DAY * 1000).toISOString() : null)

async function make() {
  const made = await asked(t('Create key'), [
    labelled('name', t('Name'), el('input', { required: true, maxlength: 200, autocomplete: 'off' }), t('What the key is for, such as “nightly upload”.')),
    choices(t('Permissions'), 'scopes', scopesOffered(), ['read'], { many: true }),
    labelled('user', t('Acts as'), el('input', { maxlength: 200, autocomplete: 'off', placeholder: t('nobody') }), t('The name of a person: the key then sees what this person may see.')),
    labelled('days', t('Expires'), select(LIVES, '')),
  ], t('Create key'), (values) => post('/v1/keys', {
    name: values.get('name'), scopes: values.getAll('scopes'), user: values.get('user').trim() || null, expires_at: ends(values.get('days')),
  }))
  if (made) await once(made)
}

async function once(made) {
  await shownOnce(t('The new key'), made.key, t('Copy the key now: it is shown only this once. Store it where you store passwords.'))
  await pager.again()
}

async function change(key) {
  const done = await asked(t('Change {key}', { key: readable(key.name) }), [
    labelled('name', t('Name'), el('input', { required: true, maxlength: 200, value: key.name, autocomplete: 'off' })),
    choices(t('Permissions'), 'scopes', scopesOffered(), key.scopes, { many: true }),
    labelled('days', t('Expires'), select([['keep', key.expires_at ? t('as now: {time}', { time: time(key.expires_at) }) : t('as now: never')], ...LIVES], 'keep')),
  ], t('Save'), async (values) => {
    const json = { name: values.get('name'), scopes: values.getAll('scopes') }
    if (values.get('days') !== 'keep') json.expires_at = ends(values.get('days'))
    return (await send('PATCH', `/v1/keys/${key.id}`, { json })).json()
  })
  if (done) { say(t('The key was changed.')); await pager.again() }
}

async function limit(key) {
  const path = `/v1/keys/${key.id}/quotas`
  const found = await get(path)
  const fields = limitFields(found, 'key')
  const done = await asked(t('Limits of {key}', { key: readable(key.name) }), [
    el('p', { class: 'hint' }, el('code', { text: key.id }), key.user ? [' · ', foreign(t('acts as {person}', { person: key.user }))] : null, key.id === mine?.key ? ` · ${t('you are signed in with it')}` : ''),
    el('p', { class: 'hint', text: t('The limits of the organisation apply as well.') }), fields,
  ], t('Save'), async () => {
    const changes = changedLimits(fields.closest('form'), found, 'key')
    if (!changes) throw Object.assign(new Error(t('One of the amounts is not valid.')), { hint: '' })
    return Object.keys(changes).length ? (await send('PUT', path, { json: { limits: changes } })).json() : found
  })
  if (done) say(t('The limits were saved.'))
}

async function rotate(key) {
  const made = await asked(t('Rotate {key}', { key: readable(key.name) }), [
    el('p', { text: t('A new key with the same name, permissions and limits replaces this one. Both are valid until this one expires.') }),
    labelled('grace', t('The old key expires'), select(GRACES, '86400')),
  ], t('Rotate'), (values) => post(`/v1/keys/${key.id}/rotate`, { grace_seconds: Number(values.get('grace')) }))
  if (made) await once(made)
}

async function revoke(key) {
  const own = key.id === mine?.key ? [t('You are signed in with this key: revoking it signs you out.')] : []
  if (!await confirmed(t('Revoke this key?'), [el('p', {}, foreign(key.name)), t('The key stops working immediately and for good. Everybody who signed in with it is signed out.'), ...own], t('Revoke'))) return
  await send('DELETE', `/v1/keys/${key.id}`)
  say(t('The key was revoked.'))
  await pager.again()
}

byId('make').addEventListener('click', () => make().catch((error) => byId('trouble').replaceChildren(trouble(error))))
byId('ended').addEventListener('change', () => pager.again())
pager.again()
