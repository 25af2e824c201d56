// People, their groups, links that sign them in, and who may use which collection.
import { asked, choices, labelled, select, shownOnce } from './dialog.js'
import { byId, confirmed, el, foreign, number, readable, say, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { menuButton } from './menu.js'
import { loadNames, nameOf } from './names.js'
import { Pager } from './pager.js'
import { get, post, send } from './rest.js'
import { chips, inWords } from './scopes.js'
import { t, tn } from './text.js'

const PAGE = 50
const PROVIDED = 200
const RIGHTS = [
  ['read ask', t('Read and ask'), t('find and read documents, and ask about them')],
  ['read ask write', t('Read, ask and upload'), t('and upload, change and delete documents')],
  ['read ask write admin', t('Administer'), t('and manage people, keys and collections, and see every collection')],
]
const HOURS = [['1', t('an hour')], ['24', t('a day')], ['72', t('three days')]]
const ROLES = [['reader', t('Reader: reads and asks')], ['writer', t('Writer: also uploads and changes documents')], ['admin', t('Admin: also decides who has access')]]

const fail = (error) => byId('trouble').replaceChildren(trouble(error))
const button = (name, text, whom, act) => el('button', { type: 'button', class: 'quiet', 'aria-label': readable(`${text}: ${whom}`), onclick: () => act().catch(fail) }, icon(name), text)

const pager = new Pager((cursor) => get('/v1/users', { limit: PAGE, cursor }), (page) => {
  byId('rows').replaceChildren(...page.users.map(row))
  byId('table').hidden = !page.users.length
  byId('empty').hidden = Boolean(page.users.length)
  byId('empty').replaceChildren(icon('users'), el('h2', { text: t('Nobody yet') }), el('p', { text: t('Add the first person, then create a link that signs this person in.') }))
})

function row(person) {
  const of = readable(person.name)
  return el('tr', { data: { id: person.id } },
    el('td', { class: 'named' }, el('strong', {}, foreign(person.name)), el('div', { class: 'small soft', text: t('added {time}', { time: time(person.created_at) }) })),
    el('td', { 'data-label': t('Groups') }, person.groups.length ? chips(person.groups) : el('span', { class: 'soft', text: t('none') })),
    el('td', { 'data-label': t('Permissions') }, person.keys ? inWords(person.scopes) : el('span', { class: 'soft', text: t('none yet: create a sign-in link') })),
    el('td', { 'data-label': t('Signed in') }, person.sessions ? el('span', { class: 'status good', text: tn(person.sessions, 'in {n} browser', 'in {n} browsers') }) : el('span', { class: 'soft', text: t('no') }),
      person.last_seen_at ? el('div', { class: 'small soft', text: t('last seen {time}', { time: time(person.last_seen_at) }) }) : null),
    el('td', { class: 'act' }, el('div', { class: 'row' }, button('link', t('Sign-in link'), person.name, () => link(person)),
      menuButton(t('Actions for {title}', { title: of }), () => actions(person), { class: 'quiet icon-button small' }))))
}

const actions = (person) => [
  { text: t('Groups…'), icon: 'users', act: () => groupsOf(person).catch(fail) },
  ...(person.sessions ? [{ text: t('Sign out'), icon: 'log-out', act: () => signOut(person).catch(fail) }] : []),
  null,
  { text: t('Remove'), icon: 'trash-2', danger: true, act: () => remove(person).catch(fail) },
]

const written = (text) => [...new Set(text.split(',').map((each) => each.trim()).filter(Boolean))]

async function add() {
  const made = await asked(t('Add person'), [
    labelled('name', t('Name'), el('input', { required: true, maxlength: 200, autocomplete: 'off' }), t('The name cannot be changed, because access lists refer to it. With an identity provider, use the name from there.')),
    labelled('groups', t('Groups'), el('input', { maxlength: 2000, autocomplete: 'off', placeholder: t('none') }), t('Separated by commas.')),
  ], t('Add person'), (values) => post('/v1/users', { name: values.get('name'), groups: written(values.get('groups')) }))
  if (!made) return
  await Promise.all([pager.again(), groups()])
  await link(made)
}

async function link(person) {
  const current = RIGHTS.find(([scopes]) => scopes.split(' ').sort().join() === [...person.scopes].sort().join())?.[0]
  const made = await asked(t('Sign-in link for {person}', { person: readable(person.name) }), [
    el('p', { text: t('The first person who opens the link is signed in, so give it to nobody else. This replaces their earlier permissions everywhere.') }),
    choices(t('Permissions'), 'scopes', RIGHTS, current ?? 'read ask write'),
    labelled('hours', t('Valid for'), select(HOURS, '24')),
  ], t('Create link'), (values) => post(`/v1/users/${person.id}/sign-in-link`, { scopes: values.get('scopes').split(' '), hours: Number(values.get('hours')) }))
  if (!made) return
  await shownOnce(t('The link for {person}', { person: readable(person.name) }), made.url, t('Copy the link now: it is shown only this once. It can be used once, until {time}.', { time: time(made.expires_at) }))
  await pager.again()
}

async function groupsOf(person) {
  const done = await asked(t('Groups of {person}', { person: readable(person.name) }), [
    labelled('groups', t('Groups'), el('input', { maxlength: 2000, autocomplete: 'off', value: person.groups.join(', ') }), t('Separated by commas. The person immediately sees what the groups may see.')),
  ], t('Save'), async (values) => (await send('PATCH', `/v1/users/${person.id}`, { json: { groups: written(values.get('groups')) } })).json())
  if (done) await Promise.all([pager.again(), groups()])
}

async function signOut(person) {
  const lines = [el('p', {}, foreign(person.name)), tn(person.sessions, 'Is signed out of {n} browser. Unused links stop working. Keys stay valid.', 'Is signed out of {n} browsers. Unused links stop working. Keys stay valid.')]
  if (!await confirmed(t('Sign out everywhere?'), lines, t('Sign out'))) return
  const { sessions } = await post(`/v1/users/${person.id}/sign-out`)
  say(tn(sessions, '{n} session was ended.', '{n} sessions were ended.'))
  await pager.again()
}

async function remove(person) {
  const lines = [el('p', {}, foreign(person.name)), tn(person.keys, 'The person is signed out, and {n} key is revoked.', 'The person is signed out, and {n} keys are revoked.'), t('Documents stay. If you add a person with the same name later, that person sees what this one may see.')]
  if (!await confirmed(t('Remove this person?'), lines, t('Remove'))) return
  await send('DELETE', `/v1/users/${person.id}`)
  say(t('The person was removed.'))
  await Promise.all([pager.again(), groups()])
}

async function groups() {
  const found = (await get('/v1/groups')).groups
  byId('groups').replaceChildren(...found.map((each) => el('li', {}, foreign(each.name), ` ${number(each.members)}`)))
  byId('no-groups').hidden = Boolean(found.length)
}

// Those who sign in with the identity provider, as it calls them. Their groups and rights are changed there.
async function provided() {
  const query = byId('find-provided').value.trim()
  const { people, next_cursor: more } = await get('/v1/people', { query, limit: PROVIDED })
  byId('provided-part').hidden = !people.length && !query
  byId('provided').replaceChildren(...people.map((each) => el('tr', { data: { user: each.user } },
    el('td', { class: 'named' }, el('strong', {}, foreign(each.name)), el('div', { class: 'small soft' }, mailOf(each))),
    el('td', { 'data-label': t('Groups') }, each.groups.length ? chips(each.groups) : el('span', { class: 'soft', text: t('none') })),
    el('td', { 'data-label': t('Last sign-in'), text: time(each.signed_in_at) }),
    el('td', { 'data-label': t('Id') }, el('code', { text: each.user })))))
  byId('provided-note').textContent = more ? t('There are more. Enter a part of a name or the beginning of an address.') : people.length ? '' : t('Nobody has this name or address.')
}

const mailOf = ({ mail, mail_verified: isVerified }) => (!mail ? t('no mail address') : isVerified ? foreign(mail) : foreign(t('{mail} (not verified)', { mail })))

async function collections() {
  const found = (await get('/v1/collections')).collections
  byId('collections').replaceChildren(...found.map(collection))
  if (!found.length) byId('collections').append(el('p', { class: 'hint', text: t('No collections yet: the first upload creates one.') }))
}

function collection(each) {
  const body = el('div', {}, el('p', { class: 'hint', text: t('Loading…') }))
  const show = () => grants(each, body).catch((error) => body.replaceChildren(trouble(error)))
  return el('details', { class: 'collection', ontoggle: (event) => { if (event.target.open) show() } },
    el('summary', {}, el('strong', {}, foreign(each.name)), el('span', { class: 'soft small', text: tn(each.documents, '{n} document', '{n} documents') }),
      el('span', { class: 'small', text: each.restricted ? t('only those with a role') : t('open to everybody') })),
    body)
}

async function grants(of, body) {
  const path = `/v1/collections/${encodeURIComponent(of.name)}/grants`
  const found = (await get(path)).grants
  await loadNames(found.map(({ subject }) => subject))
  const again = () => grants(of, body)
  body.replaceChildren(
    found.length ? el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col', text: t('Who') }), el('th', { scope: 'col', text: t('Role') }), el('th', { scope: 'col' }, el('span', { class: 'unseen', text: t('Actions') })))),
      el('tbody', {}, found.map((grant) => el('tr', {},
        el('td', {}, subjectOf(grant)), el('td', { text: new Map(ROLES).get(grant.role) ?? grant.role }),
        el('td', { class: 'right' }, button('x', t('Remove'), grant.subject, () => revoke(path, grant, found.length === 1, again))))))) : '',
    el('div', { class: 'row end pages' }, el('button', { type: 'button', text: t('Give a role'), 'aria-label': readable(t('Give a role on {collection}', { collection: of.name })), onclick: () => give(of, path, found.length === 0, again).catch(fail) })))
}

// A person by the name, with the id that the role is for.
const subjectOf = ({ subject }) => (nameOf(subject) ? [foreign(nameOf(subject)), el('div', { class: 'small soft' }, foreign(subject))] : foreign(subject))

async function give(of, path, first, again) {
  const { people: known } = await get('/v1/people', { limit: PROVIDED })
  const done = await asked(t('Role on {collection}', { collection: readable(of.name) }), [
    first ? el('p', { class: 'notice warn', text: t('This is the first role of the collection: from now on, only administrators and those with a role can use it.') }) : el('p', { text: t('The role takes effect immediately.') }),
    labelled('kind', t('For'), select([['group', t('a group')], ['user', t('a person')], ['key', t('a key')]], 'group')),
    labelled('name', t('Name, mail address, or id of the key'), el('input', { required: true, maxlength: 200, autocomplete: 'off', list: 'known-people' })),
    el('datalist', { id: 'known-people' }, known.map(({ name, mail, mail_verified: isVerified }) => (isVerified ? el('option', { value: mail, label: name }) : el('option', { value: name })))),
    labelled('role', t('Role'), select(ROLES, 'reader')),
  ], t('Give role'), (values) => giveRole(path, values.get('kind'), values.get('name').trim(), values.get('role')))
  if (done) await again()
}

// A person can be named by name or mail address. Whoever is not known yet is named by id, as in the API.
async function giveRole(path, kind, name, role) {
  const put = async (subject) => (await send('PUT', `${path}/${encodeURIComponent(subject)}`, { json: { role } })).json()
  if (kind !== 'user' || name.includes(':')) return put(`${kind}:${name}`)
  return put(name).catch((error) => {
    if (error.code === 'person_unknown') return put(`user:${name}`)
    throw error
  })
}

async function revoke(path, grant, last, again) {
  const lines = [el('p', {}, subjectOf(grant)), ...(last ? [t('This is the last role: without it, everybody can use the collection.')] : [])]
  if (!await confirmed(t('Remove this role?'), lines, t('Remove'))) return
  await send('DELETE', `${path}/${encodeURIComponent(grant.subject)}${last ? '?open_to_all=true' : ''}`)
  await again()
}

let typing
byId('find-provided').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(() => provided().catch(fail), 250) })
byId('add').addEventListener('click', () => add().catch(fail))
pager.again()
Promise.all([groups(), provided(), collections()]).catch(fail)
