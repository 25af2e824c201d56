// Who can read a document: in a sentence and, for administrators, a check of one person.
import { collectionLabel, loadCollections } from './collections.js'
import { byId, el, readable, trouble } from './dom.js'
import { icon } from './icons.js'
import { loadNames, nameOf } from './names.js'
import { readerNames, whoCanRead } from './reader_words.js'
import { get, may } from './rest.js'
import { t } from './text.js'

const NAMES = 500
const PEOPLE = 200

// Shows who can read a document. The sentence needs the titles and the roles of collections.
export async function showAccess(found) {
  await Promise.all([loadCollections().catch(() => {}), loadNames(found.readers ?? [])])
  byId('access').replaceChildren(icon(found.readers ? 'lock' : 'users'), el('span', { text: whoCanRead(found) }),
    may('admin') ? el('button', { type: 'button', class: 'link small', text: t('Check a person…'), onclick: () => openCheck(found) }) : null)
}

async function openCheck(found) {
  const [users, people] = await Promise.all([get('/v1/users', { limit: NAMES }).then(({ users }) => users.map(({ name }) => name), () => []), get('/v1/people', { limit: PEOPLE }).then((page) => page.people, () => [])])
  const names = [...people.map(({ name, mail, mail_verified: isVerified }) => (isVerified ? mail : name)), ...users]
  const field = el('input', { id: 'checked-person', required: true, maxlength: 200, list: 'checked-people', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' })
  const result = el('div', { 'aria-live': 'polite' })
  const dialog = el('dialog', { 'aria-labelledby': 'check-title' }, el('h2', { id: 'check-title', text: t('Who can read this document?') }), el('p', { text: whoCanRead(found) }),
    el('form', { class: 'stacked' },
      el('div', {}, el('label', { for: 'checked-person', text: t('Person') }), field, el('datalist', { id: 'checked-people' }, names.map((value) => el('option', { value })))),
      result,
      el('div', { class: 'row end' }, el('button', { type: 'button', text: t('Close'), onclick: () => dialog.close() }), el('button', { type: 'submit', class: 'main', text: t('Check') }))))
  field.addEventListener('input', () => result.replaceChildren())
  dialog.addEventListener('close', () => dialog.remove(), { once: true })
  dialog.addEventListener('submit', async (event) => {
    event.preventDefault()
    try {
      const access = await get(`/v1/documents/${found.id}/access`, { user: field.value.trim() })
      await loadNames([`user:${access.user}`])
      result.replaceChildren(verdict(found, access))
    } catch (error) {
      result.replaceChildren(trouble(error))
    }
  })
  document.body.append(dialog)
  dialog.showModal()
  field.focus()
}

const verdict = (found, access) => el('p', { class: `notice ${access.can_read ? 'good' : 'warn'}` }, el('strong', {}, access.can_read ? t('Yes') : t('No')), reason(found, access))

function reason({ collection }, { user, through, denied_by: denied }) {
  const person = readable(nameOf(`user:${user}`) ?? user)
  if (denied === 'readers') return t('{person} is not on the list, and in no group that is on it.', { person })
  if (denied) return t('{person} has no role on the collection “{title}”.', { person, title: readable(collectionLabel(collection)) })
  if (!through) return t('{person} can read it like everyone who can see the collection.', { person })
  if (through.includes(`user:${user}`)) return t('{person} is on the list.', { person })
  return t('{person} belongs to {groups}.', { person, groups: readerNames(through) })
}
