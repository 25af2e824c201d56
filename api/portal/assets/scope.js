// Where a question looks: all documents, the chosen documents or the chosen collections. What is chosen is shown as
// chips above the question, and is in the address of the page.
import { conversation } from './conversation.js'
import { byId, el, foreign, readable, say } from './dom.js'
import { icon } from './icons.js'
import { get } from './rest.js'
import { t, tn } from './text.js'

const MOST_NAMED = 50
const documents = new Map()
const collections = new Map()
const listeners = new Set()
const chips = new Map()

export const onScope = (listener) => listeners.add(listener)
export const isChosen = ({ kind, id }) => (kind === 'collection' ? collections : documents).has(id)
export const isEverything = () => !documents.size && !collections.size
export const inScope = () => ({ collections: [...collections.keys()], documents: [...documents.keys()] })

// A question looks either in documents or in collections: choosing one kind ends the choice of the other.
export function choose({ kind, id, name }) {
  if (kind === 'collection') {
    documents.clear()
    collections.set(id, name)
  } else {
    collections.clear()
    documents.set(id, name)
  }
  changed()
}

export function remove({ kind, id }) {
  (kind === 'collection' ? collections : documents).delete(id)
  changed()
}

export function chooseEverything() {
  documents.clear()
  collections.clear()
  changed()
}

function changed() {
  history.replaceState(null, '', pageAddress())
  for (const listener of listeners) listener()
}

// The address of the conversation with what was chosen, so that it is still chosen after a reload.
export function pageAddress() {
  const query = new URLSearchParams([...[...documents.keys()].map((id) => ['document', id]), ...[...collections.keys()].map((name) => ['collection', name])])
  return `${conversation.id ? `/ask/${conversation.id}` : '/ask'}${query.size ? `?${query}` : ''}`
}

const inAddress = () => new URLSearchParams(location.search)
export const isInAddress = () => inAddress().has('document') || inAddress().has('collection')

// Chooses what the last question of the conversation was asked about. Returns how many are not available.
export async function restoreScope({ documents: ids = [], collections: names = [] }) {
  const known = names.length ? (await get('/v1/collections')).collections : []
  return readScope(known, new URLSearchParams([...ids.map((id) => ['document', id]), ...names.map((name) => ['collection', name])]))
}

// Reads what the address of the page chooses. A document that cannot be read is left out, and the page says so.
export async function readScope(known, query = inAddress()) {
  const ids = [...new Set(query.getAll('document'))]
  const named = await Promise.all(ids.slice(0, MOST_NAMED).map((id) => get(`/v1/documents/${encodeURIComponent(id)}`).catch((error) => {
    if (error.status === 404) return null
    throw error
  })))
  for (const each of named) if (each) documents.set(each.id, each.title || each.name)
  for (const id of ids.slice(MOST_NAMED)) documents.set(id, t('A document'))
  if (!documents.size) {
    for (const name of query.getAll('collection')) {
      const found = known.find((each) => each.name === name)
      if (found) collections.set(name, found.title || name)
    }
  }
  const lost = named.filter((each) => !each).length + (documents.size ? 0 : query.getAll('collection').length - collections.size)
  for (const listener of listeners) listener()
  return lost
}

export function describeScope() {
  const names = [...documents.values(), ...collections.values()]
  if (!names.length) return t('All documents')
  if (names.length === 1) return readable(names[0])
  return documents.size ? tn(documents.size, '{n} document', '{n} documents') : tn(collections.size, '{n} collection', '{n} collections')
}

export function drawChips() {
  const entries = [...[...documents].map(([id, name]) => ({ kind: 'document', id, name })), ...[...collections].map(([id, name]) => ({ kind: 'collection', id, name }))]
  return entries.map((each) => {
    const key = `${each.kind} ${each.id}`
    if (!chips.has(key)) chips.set(key, drawChip(each))
    return chips.get(key)
  })
}

const drawChip = (each) => el('li', { title: readable(each.name) }, icon(each.kind === 'collection' ? 'folder' : 'file-text'), foreign(each.name, 'span', { class: 'name' }),
  el('button', { type: 'button', class: 'quiet', 'aria-label': t('Remove {name}', { name: readable(each.name) }), onclick: () => {
    remove(each)
    say(t('Removed'))
    byId('question').focus()
  } }, icon('x')))
