// People, their groups, links that sign them in, and who may use which collection.
import { asked, choices, labelled, select, shownOnce } from './dialog.js'
import { byId, confirmed, el, foreign, number, plural, readable, say, time, trouble } from './dom.js'
import { Pager } from './pager.js'
import { get, post, send } from './rest.js'
import { chips, inWords } from './scopes.js'

const PAGE = 50
const RIGHTS = [
  ['read ask', 'Read and ask', 'find and read documents, and ask about them'],
  ['read ask write', 'Read, ask and upload', 'and upload, change and delete documents'],
  ['read ask write admin', 'Administer', 'and manage people, keys and collections, and see every document'],
]
const HOURS = [['1', 'an hour'], ['24', 'a day'], ['72', 'three days']]
const ROLES = [['reader', 'reads'], ['writer', 'reads and uploads'], ['admin', 'decides who may use it']]

const fail = (error) => byId('trouble').replaceChildren(trouble(error))
const button = (text, whom, act) => el('button', { type: 'button', class: 'quiet', text, 'aria-label': readable(`${text}: ${whom}`), onclick: () => act().catch(fail) })

const pager = new Pager((cursor) => get('/v1/users', { limit: PAGE, cursor }), (page) => {
  byId('rows').replaceChildren(...page.users.map(row))
  byId('table').hidden = !page.users.length
  byId('empty').hidden = Boolean(page.users.length)
  byId('empty').replaceChildren(el('h2', { text: 'Nobody yet' }), el('p', { text: 'Add the first person, then make them a link that signs them in.' }))
})

function row(person) {
  return el('tr', { data: { id: person.id } },
    el('td', { class: 'named' }, el('strong', {}, foreign(person.name))),
    el('td', { 'data-label': 'Groups' }, person.groups.length ? chips(person.groups) : el('span', { class: 'soft', text: 'none' })),
    el('td', { 'data-label': 'May' }, person.keys ? inWords(person.scopes) : el('span', { class: 'soft', text: 'nothing yet: make a sign-in link' })),
    el('td', { class: 'whole', 'data-label': 'Signed in', text: person.sessions ? plural(person.sessions, 'browser') : 'nowhere' }),
    el('td', { class: 'small whole', 'data-label': 'Added', text: time(person.created_at) }),
    el('td', { class: 'act' }, el('div', { class: 'row' },
      button('Sign-in link', person.name, () => link(person)), button('Groups', person.name, () => groupsOf(person)),
      person.sessions ? button('Sign out', person.name, () => signOut(person)) : null,
      button('Remove', person.name, () => remove(person)))))
}

const written = (text) => [...new Set(text.split(',').map((each) => each.trim()).filter(Boolean))]

async function add() {
  const made = await asked('Add somebody', [
    labelled('name', 'Name', el('input', { required: true, maxlength: 200, autocomplete: 'off' }), 'Access lists name a person by it, so it stays. With an identity provider it is the name from there.'),
    labelled('groups', 'Groups', el('input', { maxlength: 2000, autocomplete: 'off', placeholder: 'none' }), 'Separated by commas.'),
  ], 'Add', (values) => post('/v1/users', { name: values.get('name'), groups: written(values.get('groups')) }))
  if (!made) return
  await Promise.all([pager.again(), groups()])
  await link(made)
}

async function link(person) {
  const current = RIGHTS.find(([scopes]) => scopes.split(' ').sort().join() === [...person.scopes].sort().join())?.[0]
  const made = await asked(`A sign-in link for ${readable(person.name)}`, [
    el('p', { text: 'Whoever opens it first is signed in, so give it to nobody else. What it allows holds in every browser of this person from now on.' }),
    choices('It allows to', 'scopes', RIGHTS, current ?? 'read ask write'),
    labelled('hours', 'Good for', select(HOURS, '24')),
  ], 'Make the link', (values) => post(`/v1/users/${person.id}/sign-in-link`, { scopes: values.get('scopes').split(' '), hours: Number(values.get('hours')) }))
  if (!made) return
  await shownOnce(`The link for ${readable(person.name)}`, made.url, `It is shown this once, and is good once, until ${time(made.expires_at)}.`)
  await pager.again()
}

async function groupsOf(person) {
  const done = await asked(`Groups of ${readable(person.name)}`, [
    labelled('groups', 'Groups', el('input', { maxlength: 2000, autocomplete: 'off', value: person.groups.join(', ') }), 'Separated by commas. What is open to a group is open to this person at once.'),
  ], 'Change', async (values) => (await send('PATCH', `/v1/users/${person.id}`, { json: { groups: written(values.get('groups')) } })).json())
  if (done) await Promise.all([pager.again(), groups()])
}

async function signOut(person) {
  const lines = [el('p', {}, foreign(person.name), ` is signed out of ${plural(person.sessions, 'browser')}, and links that were not used end. Keys stay valid.`)]
  if (!await confirmed('Sign out everywhere?', lines, 'Sign out')) return
  const { sessions } = await post(`/v1/users/${person.id}/sign-out`)
  say(`${number(sessions)} ended`)
  await pager.again()
}

async function remove(person) {
  const lines = [el('p', {}, foreign(person.name), ` is signed out, and ${plural(person.keys, 'key')} revoked, at once. Documents stay, and what is open to this name stays so for another of the same name.`)]
  if (!await confirmed('Remove this person?', lines, 'Remove')) return
  await send('DELETE', `/v1/users/${person.id}`)
  say('Removed')
  await Promise.all([pager.again(), groups()])
}

async function groups() {
  const found = (await get('/v1/groups')).groups
  byId('groups').replaceChildren(...found.map((each) => el('li', {}, foreign(each.name), ` ${number(each.members)}`)))
  byId('no-groups').hidden = Boolean(found.length)
}

async function collections() {
  const found = (await get('/v1/collections')).collections
  byId('collections').replaceChildren(...found.map(collection))
  if (!found.length) byId('collections').append(el('p', { class: 'hint', text: 'There are no collections yet: the first upload makes one.' }))
}

function collection(each) {
  const body = el('div', {}, el('p', { class: 'hint', text: 'Loading…' }))
  const show = () => grants(each, body).catch((error) => body.replaceChildren(trouble(error)))
  return el('details', { class: 'collection', ontoggle: (event) => { if (event.target.open) show() } },
    el('summary', {}, el('strong', {}, foreign(each.name)), el('span', { class: 'soft small', text: plural(each.documents, 'document') }),
      el('span', { class: 'small', text: each.restricted ? 'only those with a role' : 'open to everybody' })),
    body)
}

async function grants(of, body) {
  const path = `/v1/collections/${encodeURIComponent(of.name)}/grants`
  const found = (await get(path)).grants
  const again = () => grants(of, body)
  body.replaceChildren(
    found.length ? el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col', text: 'Who' }), el('th', { scope: 'col', text: 'Role' }), el('th', { scope: 'col' }, el('span', { class: 'unseen', text: 'Actions' })))),
      el('tbody', {}, found.map((grant) => el('tr', {},
        el('td', {}, foreign(grant.subject)), el('td', { text: new Map(ROLES).get(grant.role) ?? grant.role }),
        el('td', { class: 'right' }, button('Take away', grant.subject, () => revoke(path, grant, found.length === 1, again))))))) : null,
    el('div', { class: 'row end pages' }, el('button', { type: 'button', text: 'Give a role', 'aria-label': readable(`Give a role on ${of.name}`), onclick: () => give(of, path, found.length === 0, again).catch(fail) })))
}

async function give(of, path, first, again) {
  const done = await asked(`A role on ${readable(of.name)}`, [
    first ? el('p', { class: 'notice warn', text: 'This is its first role: from then on, it is closed to everybody else but admins.' }) : el('p', { text: 'It holds at once.' }),
    labelled('kind', 'To', select([['group', 'a group'], ['user', 'a person'], ['key', 'a key']], 'group')),
    labelled('name', 'Name, or id of the key', el('input', { required: true, maxlength: 200, autocomplete: 'off' })),
    labelled('role', 'Who', select(ROLES, 'reader')),
  ], 'Give', async (values) => (await send('PUT', `${path}/${encodeURIComponent(`${values.get('kind')}:${values.get('name').trim()}`)}`, { json: { role: values.get('role') } })).json())
  if (done) await again()
}

async function revoke(path, grant, last, again) {
  const lines = [el('p', {}, foreign(grant.subject)), ...(last ? ['It is the last role: without it, the collection is open to everybody.'] : [])]
  if (!await confirmed('Take this role away?', lines, 'Take away')) return
  await send('DELETE', `${path}/${encodeURIComponent(grant.subject)}${last ? '?open_to_all=true' : ''}`)
  await again()
}

byId('add').addEventListener('click', () => add().catch(fail))
pager.again()
Promise.all([groups(), collections()]).catch(fail)
