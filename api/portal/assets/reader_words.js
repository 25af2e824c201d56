// Readers of a document in words: `user:ann` is the person ann, and `group:hr` the group hr. Names must be loaded before.
import { collectionLabel, isRestricted } from './collections.js'
import { readable } from './dom.js'
import { LOCALE } from './locale.js'
import { nameOf } from './names.js'
import { t, tn } from './text.js'

const all = new Intl.ListFormat(LOCALE, { type: 'conjunction' })
export const SUBJECT = /^(user|group):(\S(?:.{0,198}\S)?)$/u

export function partsOf(subject) {
  const [, kind, name] = SUBJECT.exec(subject) ?? [null, 'user', subject]
  return { kind, name: readable(nameOf(subject) ?? name) }
}

// A person by the name alone, and a group as a group.
export function readerName(subject) {
  const { kind, name } = partsOf(subject)
  return kind === 'group' ? t('the group “{name}”', { name }) : name
}

export const readerNames = (readers) => all.format([...readers].sort(peopleFirst).map(readerName))

const peopleFirst = (one, other) => partsOf(other).kind.localeCompare(partsOf(one).kind) || one.localeCompare(other, LOCALE)

// Says in a word or two who can read a document with a list of readers: who it is, or how many.
export function countReaders(readers) {
  if (!readers.length) return t('Nobody')
  if (readers.length === 1) {
    const { kind, name } = partsOf(readers[0])
    return kind === 'group' ? t('Group {name}', { name }) : name
  }
  const groups = readers.filter((each) => partsOf(each).kind === 'group').length
  const people = readers.length - groups
  return all.format([people ? tn(people, '{n} person', '{n} people') : '', groups ? tn(groups, '{n} group', '{n} groups') : ''].filter(Boolean))
}

// Says who can read a document, in a sentence.
export function whoCanRead({ readers, collection }) {
  const title = readable(collectionLabel(collection))
  const restricted = isRestricted(collection)
  if (readers === null) return restricted ? t('Everyone with a role on the collection “{title}” can read this, and administrators.', { title }) : t('Everyone in your organisation can read this.')
  if (!readers.length) return t('No person can read this.')
  const names = readerNames(readers)
  return restricted ? t('Of those with a role on the collection “{title}”, only {names} can read this.', { names, title }) : t('Only {names} can read this.', { names })
}
