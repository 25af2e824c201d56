// The states of a document in plain words. Searchable and ready are told apart.
import { bytes, el, percent, plural, span } from './dom.js'

export const UNDER_WAY = new Set(['accepted', 'parsing', 'chunking', 'indexing', 'searchable', 'embedding'])
const SEARCHABLE = new Set(['searchable', 'embedding'])

const WORDS = {
  accepted: 'Waiting',
  parsing: 'Reading the file',
  chunking: 'Dividing the text',
  indexing: 'Indexing words',
  searchable: 'Can be asked',
  embedding: 'Can be asked',
  ready: 'Ready',
  failed: 'Failed',
  cancelled: 'Cancelled',
  deleted: 'Deleted',
}

export function words(document) {
  const { state, progress } = document
  const replaced = document.active_version && document.active_version !== document.version
  if (replaced && UNDER_WAY.has(state)) return `New content ${percent(progress.fraction)}; the old one is searchable`
  if (replaced && state === 'failed') return 'Replacing it failed; the old content is searchable'
  if (state === 'accepted' && progress.queue_position !== null) return `Waiting, ${progress.queue_position} before it`
  if (SEARCHABLE.has(state)) return `${WORDS[state]}, search by meaning ${percent(progress.fraction)}`
  return WORDS[state] ?? state
}

export function kind(document) {
  if (document.state === 'ready') return 'good'
  if (document.state === 'failed') return 'bad bad-ink'
  if (SEARCHABLE.has(document.state)) return 'good waiting'
  return 'soft waiting'
}

export function status(document) {
  const left = span(document.progress.seconds_left)
  const shown = el('span', { class: `status ${kind(document)}`, text: words(document) })
  if (!UNDER_WAY.has(document.state)) return [shown]
  return [shown, el('progress', { max: 1, value: document.progress.fraction, 'aria-label': left ? `${words(document)}, ${left}` : words(document), title: left })]
}

export function removes(each) {
  return [
    `Removed for good: the file (${bytes(each.size_bytes)}), its text and ${plural(each.progress.chunks ?? 0, 'passage')} of the index. Searches and answers find nothing of it from then on.`,
    'Kept answers and runs that quote it keep their questions; what rested on it is withheld. A receipt stays.',
  ]
}

export const OMITTED = {
  page_without_text: ['page without text', 'pages without text'],
  image: ['image', 'images'],
  formula: ['formula', 'formulas'],
  hidden: ['hidden part', 'hidden parts'],
  entry: ['file inside it', 'files inside it'],
  invisible_character: ['invisible character', 'invisible characters'],
  embedded_object: ['embedded object', 'embedded objects'],
  unreadable_character: ['unreadable character', 'unreadable characters'],
  macro: ['macro', 'macros'],
  table: ['table that is text and no records', 'tables that are text and no records'],
  row: ['row that only questions about the table find', 'rows that only questions about the table find'],
  other: ['other thing', 'other things'],
}

// What was left out, in a few words: the first two kinds, and how many more there are.
export function leftOut(omissions) {
  const words = omissions.slice(0, 2).map((each) => plural(each.count, ...(OMITTED[each.kind] ?? OMITTED.other)))
  return omissions.length > 2 ? `${words.join(', ')} and more` : words.join(', ')
}

const TYPES = {
  'application/pdf': 'PDF', 'text/plain': 'Text', 'text/markdown': 'Markdown', 'text/html': 'Web page', 'text/csv': 'CSV',
  'text/tab-separated-values': 'TSV', 'application/json': 'JSON', 'application/x-ndjson': 'JSON lines', 'application/epub+zip': 'EPUB',
  'application/rtf': 'RTF', 'message/rfc822': 'Mail', 'application/vnd.ms-outlook': 'Outlook mail', 'application/mbox': 'Mailbox',
  'application/zip': 'ZIP archive', 'application/vnd.ms-excel': 'Excel (XLS)',
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document': 'Word', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': 'Excel',
  'application/vnd.openxmlformats-officedocument.presentationml.presentation': 'PowerPoint', 'application/vnd.oasis.opendocument.text': 'OpenDocument text',
  'application/vnd.oasis.opendocument.spreadsheet': 'OpenDocument sheet', 'application/vnd.oasis.opendocument.presentation': 'OpenDocument slides',
}

export const typeName = (type) => TYPES[type] ?? type.replace(/^(text|application)\/(x-)?/, '')
