// Shows omissions from a document's text, its facts, and its versions.
import { byId, bytes, el, foreign, number, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { explain } from './problems.js'
import { remarkOf } from './remarks.js'
import { get } from './rest.js'
import { readerNames } from './reader_words.js'
import { needsNewFile, typeName, UNDER_WAY } from './status.js'
import { t, tn } from './text.js'

// Omissions that lose nothing, so that they are no warning.
const HARMLESS = new Set(['boilerplate'])
const HEADERS = 'running headers and footers after the first, and page numbers'
const isHarmless = (each) => HARMLESS.has(each.kind) || (each.kind === 'other' && each.detail === HEADERS)

const LOST = {
  page_without_text: (n) => tn(n, '{n} page without text', '{n} pages without text'),
  image: (n) => tn(n, '{n} image', '{n} images'),
  formula: (n) => tn(n, '{n} formula', '{n} formulas'),
  hidden: (n) => tn(n, '{n} hidden part', '{n} hidden parts'),
  entry: (n) => tn(n, '{n} file inside it', '{n} files inside it'),
  invisible_character: (n) => tn(n, '{n} invisible character', '{n} invisible characters'),
  embedded_object: (n) => tn(n, '{n} embedded object', '{n} embedded objects'),
  unreadable_character: (n) => tn(n, '{n} unreadable character', '{n} unreadable characters'),
  macro: (n) => tn(n, '{n} macro', '{n} macros'),
  table: (n) => tn(n, '{n} table whose rows are no records', '{n} tables whose rows are no records'),
  row: (n) => tn(n, '{n} row that only questions about the table find', '{n} rows that only questions about the table find'),
  other: (n) => tn(n, '{n} other part', '{n} other parts'),
}

// The parts of an omission's detail in the language of the page; a document of an earlier release has English ones.
const detailOf = ({ detail, coded_details: coded }) => (coded.length ? coded.map((each) => remarkOf(each)).join('; ') : foreign(detail))

// A file inside an archive or a mailbox is replaced with it.
export const containerLine = ({ container }) => (container ? el('a', { class: 'contains', href: `/library/${container}`, text: t('Replace the file that contains it') }) : null)

export function noticesOf(found) {
  const made = []
  if (found.failure) {
    const { message, hint } = explain(found.failure)
    made.push(el('div', { class: 'notice bad' }, el('strong', { text: message }), hint, needsNewFile(found) ? [' ', t('The same file would fail again.'), found.source ? null : containerLine(found)] : null))
  } else if (!found.active_version && UNDER_WAY.has(found.state)) {
    made.push(el('div', { class: 'notice' }, el('strong', { text: t('Not searchable yet') }), t('The text appears here when the file has been read. You do not need to do anything.')))
  }
  const lost = found.omissions.filter((each) => !isHarmless(each))
  if (lost.length) {
    made.push(el('div', { class: 'notice warn' }, el('strong', {}, icon('triangle-alert'), t('Not in the text')),
      el('ul', {}, lost.map((each) => el('li', {}, (LOST[each.kind] ?? LOST.other)(each.count), each.detail ? [': ', detailOf(each)] : null))),
      el('span', { class: 'hint', text: t('Answers cannot use these parts of the file.') })))
  }
  if (found.omissions.some(isHarmless)) {
    made.push(el('p', { class: 'hint skipped' }, icon('info'), found.media_type === 'text/html' ? t('Navigation and page footers skipped') : t('Page headers skipped')))
  }
  return made
}

export function factsOf(found) {
  const rows = [
    [t('File'), foreign(found.name)],
    [t('Type'), typeName(found.media_type)],
    [t('Size'), bytes(found.size_bytes)],
    [t('Pages'), number(found.pages)],
    [t('Characters'), number(found.characters)],
    [t('Passages'), number(found.progress.chunks)],
    [t('Collection'), found.collection],
    [t('Readers'), found.readers === null ? t('everyone who can see the collection') : found.readers.length ? readerNames(found.readers) : t('Nobody')],
    [t('Added'), time(found.created_at)],
    [t('Searchable since'), time(found.searchable_at)],
    [t('Ready since'), time(found.ready_at)],
    [t('Version'), el('code', { text: found.version })],
  ]
  for (const [name, value] of Object.entries(found.metadata)) rows.push([name, foreign(typeof value === 'string' ? value : JSON.stringify(value))])
  return rows.flatMap(([name, value]) => [el('dt', {}, foreign(name)), el('dd', {}, value)])
}

const stateOf = (state) => ({
  ready: t('Ready'), failed: t('Failed'), cancelled: t('Cancelled'), retired: t('Replaced'), deleted: t('Deleted'),
})[state] ?? t('In progress')

export async function showVersions(id) {
  try {
    const list = (await get(`/v1/documents/${id}/versions`)).versions
    byId('versions').replaceChildren(el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': t('Versions') }, el('table', { class: 'figures' },
      el('thead', {}, el('tr', {}, [t('Uploaded'), t('File'), t('Status'), t('Size'), t('Pages')].map((name) => el('th', { scope: 'col', text: name })))),
      el('tbody', {}, list.map((each) => el('tr', {},
        el('td', { class: 'small', text: time(each.created_at) }),
        el('td', { class: 'named' }, foreign(each.name || '–')),
        el('td', {}, stateOf(each.state), each.active ? el('strong', {}, ' · ', t('searches find this one')) : '', each.failure ? el('div', { class: 'small bad-ink' }, foreign(explain(each.failure).message)) : ''),
        el('td', { text: bytes(each.size_bytes) }),
        el('td', { text: number(each.pages) })))))))
  } catch (error) {
    byId('versions').replaceChildren(trouble(error))
  }
}

// The receipt of a deletion.
export const receiptOf = (receipt) => el('div', { class: 'notice', role: 'status' }, el('strong', { text: t('Deleted') }),
  el('dl', { class: 'facts' }, [
    [t('Receipt'), el('code', { text: receipt.receipt })], [t('Versions'), number(receipt.versions)],
    [t('Passages'), number(receipt.chunks_removed)], [t('Bytes'), bytes(receipt.bytes_removed)],
    [t('Answers withheld'), number(receipt.answers_redacted)], [t('Runs withheld'), number(receipt.runs_redacted)],
  ].flatMap(([name, value]) => [el('dt', { text: name }), el('dd', {}, value)])),
  el('a', { href: '/library', text: t('Back to the library') }))
