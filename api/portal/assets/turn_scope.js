// The scope of a question, as a line below it: all documents, or some documents or collections.
import { el, foreign } from './dom.js'
import { icon } from './icons.js'
import { get } from './rest.js'
import { t, tn, tp } from './text.js'

const MOST_NAMED = 3
const names = new Map()

// `scope` is null where it is not known, as for answers of earlier releases.
export function scopeLine(scope) {
  if (!scope) return null
  const { documents = [], collections = [] } = scope
  const place = el('p', { class: 'asked-about' })
  const show = (sign, ...parts) => place.replaceChildren(icon(sign), el('span', {}, ...parts))
  if (documents.length) {
    show('file-text', tn(documents.length, 'Asked about {n} document', 'Asked about {n} documents'))
    if (documents.length <= MOST_NAMED) {
      Promise.all(documents.map(nameOf)).then((found) => show('file-text', ...tp('Asked about {names}', { names: joined(found) })), () => {})
    }
  } else if (collections.length) show('folder', ...tp('Asked about {names}', { names: joined(collections.map((name) => foreign(name))) }))
  else {
    show('files', t('Asked about all documents'))
    place.classList.add('everything')
  }
  return place
}

const joined = (parts) => el('span', {}, parts.flatMap((part, at) => (at ? [', ', part] : [part])))

// A document that was deleted, or that may no longer be read, has no name.
async function nameOf(id) {
  if (!names.has(id)) {
    names.set(id, get(`/v1/documents/${encodeURIComponent(id)}`).then((found) => found.title || found.name, (error) => {
      if (error.status === 404) return null
      names.delete(id)
      throw error
    }))
  }
  const name = await names.get(id)
  return name ? el('a', { href: `/library/${id}` }, foreign(name)) : el('span', { text: t('a document that is not available') })
}
