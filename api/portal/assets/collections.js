// Collections: their titles, a dialog to create, rename, describe and delete them, and a choice of one.
import { asked, labelled } from './dialog.js'
import { confirmed, el, foreign, readable, say, trouble } from './dom.js'
import { icon } from './icons.js'
import { menuButton } from './menu.js'
import { get, post, send } from './rest.js'
import { t, tn } from './text.js'

const NAME = '[\\w.\\-]+'
const known = new Map()

// Loads all collections that the session may use.
export async function loadCollections() {
  const found = []
  let cursor = null
  do {
    const page = await get('/v1/collections', { cursor })
    found.push(...page.collections)
    cursor = page.next_cursor
  } while (cursor)
  known.clear()
  for (const each of found) known.set(each.name, each)
  return found
}

// The title of a collection, or its name where it has none.
export const collectionLabel = (name) => known.get(name)?.title || name
export const isRestricted = (name) => Boolean(known.get(name)?.restricted)
export const writableCollections = () => [...known.values()].filter((each) => each.role !== 'reader')

// Asks for the title, the name and the description of a new collection, and returns the collection or null.
export function createCollection() {
  const title = el('input', { maxlength: 256, required: true, autofocus: true })
  const name = el('input', { maxlength: 128, required: true, pattern: NAME, autocapitalize: 'none', spellcheck: 'false', title: t('Letters, digits, dots, dashes and underscores') })
  title.addEventListener('input', () => { if (!name.dataset.edited) name.value = shortName(title.value) })
  name.addEventListener('input', () => { name.dataset.edited = 'yes' })
  return asked(t('New collection'), [
    labelled('title', t('Title'), title),
    labelled('name', t('Short name'), name, t('For programs and filters. It cannot be changed later; the title can.')),
    labelled('description', t('Description (optional)'), el('textarea', { rows: 2, maxlength: 2000 })),
  ], t('Create'), async (values) => {
    const body = { name: values.get('name').trim(), title: values.get('title').trim() }
    const description = values.get('description').trim()
    const made = await post('/v1/collections', description ? { ...body, description } : body)
    known.set(made.name, made)
    say(t('Collection “{title}” created', { title: readable(made.title) }))
    return made
  })
}

const shortName = (text) => text.normalize('NFC').toLowerCase().trim().replace(/[^\p{L}\p{N}._]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 128)

async function changeCollection(each) {
  const response = await send('GET', `/v1/collections/${encodeURIComponent(each.name)}`)
  const title = el('input', { maxlength: 256, placeholder: each.name, autofocus: true })
  const description = el('textarea', { rows: 3, maxlength: 2000 })
  title.value = each.title ?? ''
  description.value = each.description ?? ''
  return asked(t('Rename or describe the collection'), [
    labelled('title', t('Title'), title, t('Documents, permissions and links stay as they are.')),
    labelled('description', t('Description (optional)'), description),
  ], t('Save'), async (values) => {
    const text = (field) => values.get(field).trim() || null
    const json = { title: text('title'), description: text('description') }
    await send('PATCH', `/v1/collections/${encodeURIComponent(each.name)}`, { json, more: { 'If-Match': response.headers.get('ETag') } })
    return true
  })
}

async function deleteCollection(each) {
  if (!await confirmed(t('Delete this empty collection?'), [el('p', {}, foreign(collectionLabel(each.name))), t('Its permissions and sources are deleted with it. An audit entry remains.')], t('Delete'))) return false
  await send('DELETE', `/v1/collections/${encodeURIComponent(each.name)}?only_if_empty=true`)
  return true
}

// Shows the collections, with what can be done with each. Resolves when the dialog is closed; true if one has changed.
export function manageCollections() {
  return new Promise((resolve) => {
    let changed = false
    const list = el('ul', { class: 'collection-list' })
    const problem = el('div')
    const dialog = el('dialog', { class: 'wide', 'aria-labelledby': 'collections-title' },
      el('h2', { id: 'collections-title', text: t('Collections') }),
      el('p', { class: 'hint', text: t('A collection groups documents that belong together, and can have permissions of its own.') }),
      problem, list,
      el('div', { class: 'row end' },
        el('button', { type: 'button', onclick: () => attempt(createCollection) }, icon('folder-plus'), t('New collection')),
        el('button', { type: 'button', class: 'main', text: t('Close'), onclick: () => dialog.close() })))
    async function attempt(act, each) {
      problem.replaceChildren()
      try {
        if (await act(each)) { changed = true; await show() }
      } catch (error) {
        problem.replaceChildren(trouble(error))
      }
    }
    const show = async () => list.replaceChildren(...(await loadCollections()).map((each) => line(each, attempt)))
    dialog.addEventListener('close', () => { dialog.remove(); resolve(changed) }, { once: true })
    document.body.append(dialog)
    dialog.showModal()
    attempt(async () => { await show(); return false })
  })
}

function line(each, attempt) {
  const title = collectionLabel(each.name)
  const mayChange = each.restricted ? each.role === 'admin' : each.role !== 'reader'
  const notEmpty = each.documents > 0
  return el('li', {},
    el('div', { class: 'grow' },
      el('a', { href: `/library?collection=${encodeURIComponent(each.name)}` }, foreign(title)),
      each.title ? el('span', { class: 'soft small' }, ' ', foreign(each.name)) : null,
      each.restricted ? el('span', { class: 'badge' }, icon('lock'), t('Restricted')) : null,
      each.description ? el('div', { class: 'small soft' }, foreign(each.description)) : null),
    el('span', { class: 'small soft count', text: tn(each.documents, '{n} document', '{n} documents') }),
    mayChange ? menuButton(t('Actions for {title}', { title: readable(title) }), [
      { text: t('Rename or describe…'), icon: 'pencil', act: () => attempt(changeCollection, each) },
      notEmpty
        ? { text: t('Delete (move its documents first)'), icon: 'trash-2', disabled: true, act: () => {} }
        : { text: t('Delete'), icon: 'trash-2', danger: true, act: () => attempt(deleteCollection, each) },
    ]) : null)
}

// A field with the collections in which the session may write, other than `from`.
export function collectionField(from) {
  const others = writableCollections().filter((each) => each.name !== from)
  return el('select', { required: true }, others.map((each) => el('option', { value: each.name, text: readable(collectionLabel(each.name)) })))
}
