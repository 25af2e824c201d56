// The states of a document in plain words: waiting, reading, "can be asked now", ready.
import { bytes, el, percent, span } from './dom.js'
import { t, tn } from './text.js'

export const UNDER_WAY = new Set(['accepted', 'parsing', 'chunking', 'indexing', 'searchable', 'embedding'])
const ASKABLE = new Set(['searchable', 'embedding'])

// The service says whether the same file may succeed the next time. Otherwise only another file helps.
export const canRetry = ({ state, failure }) => state === 'failed' && failure?.retryable !== false
export const needsNewFile = ({ failure }) => failure?.retryable === false

export function words(document) {
  const { state, progress } = document
  const replaced = document.active_version && document.active_version !== document.version
  if (replaced && UNDER_WAY.has(state)) return t('Reading the new version, {share}. Answers use the old one', { share: percent(progress.fraction) })
  if (replaced && state === 'failed') return t('The new version failed. Answers use the old one')
  if (state === 'accepted' && progress.queue_position) return tn(progress.queue_position, 'Waiting, {n} file before it', 'Waiting, {n} files before it')
  if (ASKABLE.has(state)) return t('Can be asked now, search by meaning {share}', { share: percent(progress.chunks ? progress.chunks_embedded / progress.chunks : 0) })
  return named(state)
}

function named(state) {
  switch (state) {
    case 'accepted': return t('Waiting')
    case 'ready': return t('Ready')
    case 'failed': return t('Failed')
    case 'cancelled': return t('Cancelled')
    case 'deleted': return t('Deleted')
    default: return t('Reading…')
  }
}

export function kind(document) {
  if (document.state === 'ready') return 'good'
  if (document.state === 'failed') return 'bad bad-ink'
  if (ASKABLE.has(document.state)) return 'good waiting'
  return 'soft waiting'
}

export function status(document) {
  const left = span(document.progress.seconds_left)
  const shown = el('span', { class: `status ${kind(document)}`, text: words(document) })
  if (!UNDER_WAY.has(document.state)) return [shown]
  return [shown, el('progress', { max: 1, value: document.progress.fraction, 'aria-label': left ? `${words(document)}, ${left}` : words(document), title: left })]
}

// Lists the effects of deleting a document.
export function removes(each) {
  return [
    t('The file ({size}), its text and its passages in the index are deleted permanently. Searches and answers no longer find them.', { size: bytes(each.size_bytes) }),
    t('Stored answers and runs that quote the document keep their questions; what depended on it is withheld. An audit entry remains.'),
  ]
}

// Omissions that lose nothing, so that they are no warning. Documents of earlier releases have details and no kind.
const HARMLESS = new Set([
  'running headers and footers after the first, and page numbers',
  'navigation, banners, footers and other parts around the content',
  'headers and footers',
])
const isHarmless = ({ kind: what, detail }) => what === 'boilerplate' || (what === 'other' && HARMLESS.has(detail))

function omitted({ kind: what, count }) {
  switch (what) {
    case 'page_without_text': return tn(count, '{n} page without text', '{n} pages without text')
    case 'image': return tn(count, '{n} image', '{n} images')
    case 'formula': return tn(count, '{n} formula', '{n} formulas')
    case 'hidden': return tn(count, '{n} hidden part', '{n} hidden parts')
    case 'entry': return tn(count, '{n} file inside it', '{n} files inside it')
    case 'invisible_character': return tn(count, '{n} invisible character', '{n} invisible characters')
    case 'embedded_object': return tn(count, '{n} embedded object', '{n} embedded objects')
    case 'unreadable_character': return tn(count, '{n} unreadable character', '{n} unreadable characters')
    case 'macro': return tn(count, '{n} macro', '{n} macros')
    case 'table': return tn(count, '{n} table whose rows are no records', '{n} tables whose rows are no records')
    case 'row': return tn(count, '{n} row that only questions about the table find', '{n} rows that only questions about the table find')
    default: return tn(count, '{n} other part', '{n} other parts')
  }
}

// The line below a name about what is not in the text: a warning where content is lost, and a hint otherwise.
export function omissionLine(omissions) {
  const lost = omissions.filter((each) => !isHarmless(each))
  if (!omissions.length) return null
  if (!lost.length) return el('div', { class: 'small soft', text: t('Page headers and footers skipped') })
  const first = lost.slice(0, 2).map(omitted).join(', ')
  return el('div', { class: 'small warn-ink', text: lost.length > 2 ? t('Not in the text: {parts} and more', { parts: first }) : t('Not in the text: {parts}', { parts: first }) })
}

const TYPES = {
  'application/pdf': 'PDF', 'text/markdown': 'Markdown', 'text/csv': 'CSV', 'text/tab-separated-values': 'TSV',
  'application/json': 'JSON', 'application/x-ndjson': 'JSON Lines', 'application/jsonl': 'JSON Lines', 'application/geo+json': 'GeoJSON',
  'application/epub+zip': 'EPUB', 'application/rtf': 'RTF', 'text/rtf': 'RTF', 'application/xml': 'XML',
  'application/msword': 'Word (DOC)', 'application/vnd.ms-excel': 'Excel (XLS)', 'application/vnd.ms-powerpoint': 'PowerPoint (PPT)',
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document': 'Word',
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': 'Excel',
  'application/vnd.openxmlformats-officedocument.presentationml.presentation': 'PowerPoint',
  'text/javascript': 'JavaScript', 'text/typescript': 'TypeScript', 'text/tsx': 'TSX', 'text/x-c': 'C', 'text/x-c++': 'C++', 'text/x-go': 'Go',
  'text/x-java': 'Java', 'text/x-python': 'Python', 'text/x-rust': 'Rust',
}

export function typeName(type) {
  if (TYPES[type]) return TYPES[type]
  const [family, name] = type.split('/')
  if (family === 'image') return t('{format} image', { format: name.toUpperCase() })
  switch (type) {
    case 'text/plain': return t('Text')
    case 'text/html': case 'application/xhtml+xml': return t('Web page')
    case 'message/rfc822': return t('Mail')
    case 'application/vnd.ms-outlook': return t('Outlook mail')
    case 'application/mbox': return t('Mailbox')
    case 'application/zip': return t('ZIP archive')
    case 'application/vnd.oasis.opendocument.text': return t('OpenDocument text')
    case 'application/vnd.oasis.opendocument.spreadsheet': return t('OpenDocument sheet')
    case 'application/vnd.oasis.opendocument.presentation': return t('OpenDocument slides')
    default: return name.replace(/^(x-|vnd\.)/, '')
  }
}
