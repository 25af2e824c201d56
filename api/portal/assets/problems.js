// Explains errors in words for people: one text for each error code (`problem_texts.js`), with the next step for a
// reader or for an administrator. The API's own words are for programs and stay behind "Details".
import { LANGUAGE, LOCALE } from './locale.js'
import { TEXTS } from './problem_texts.js'
import { remarkOf } from './remarks.js'
import { t, tn } from './text.js'

// Codes whose own words name the file, the field or the state at fault.
const SPECIFIC = new Set([
  'bad_request', 'corpus_error', 'destination_refused', 'document_damaged', 'document_encrypted', 'document_state',
  'empty_file', 'feedback_invalid', 'file_too_large', 'filter_invalid', 'invalid_request', 'key_needs_user', 'key_state',
  'metadata_invalid', 'name_invalid', 'name_taken', 'no_text', 'not_uploader', 'parse_failed', 'parser_limit',
  'pattern_invalid', 'query_invalid', 'role_missing', 'run_state', 'source_error', 'source_folder_missing', 'source_folder_not_permitted', 'source_item_refused', 'source_loader_not_permitted',
  'source_not_permitted', 'source_options_invalid', 'source_refused', 'source_unavailable', 'step_timeout',
  'unauthorized', 'unsupported_type', 'upload_refused',
])
// Words that only programmers understand.
const JARGON = /[`{}]|\b(GET|POST|PUT|PATCH|DELETE|HEAD|JSON|UTF-8)\b|Retry-After|If-Match|Authorization|LEADLINE_|\/v1\/|\b(body|query|path)\.\w|leadline \w/
const DAY_MS = 86_400_000

const isAdmin = () => (document.body?.dataset.scopes ?? '').split(' ').includes('admin')

// Returns the API's own words in the language of the page; nothing if they have no code or are for programmers.
function sayPlainly(coded, text) {
  const said = LANGUAGE === 'en' ? text : remarkOf(coded)
  return said && !JARGON.test(said) ? said : ''
}

/* An error to show: `message` and `hint` for people, `details` with the API's own words, `code`, `status`, `requestId`, and
   `links` as pairs of a text and an address. `body` is the API's problem; `retryAfter` counts seconds. */
export class Problem extends Error {
  constructor(body, status = body.status ?? 0, { retryAfter = null } = {}) {
    const { message, hint } = explain(body, retryAfter)
    super(message)
    this.code = body.code || 'unknown'
    this.hint = hint
    this.details = [body.detail, body.hint].filter(Boolean).join(' ')
    this.status = status
    this.quota = body.quota
    this.requestId = body.request_id || body.requestId || ''
    this.links = links(this.code)
  }
}

export const isKnown = (code) => code in TEXTS

// Explains a problem of the API, or the failure of a document or run, which has the same `code`, `detail` and `hint`.
export function explain(problem, retryAfter = null) {
  const code = isKnown(problem.code) ? problem.code : 'unknown'
  const [message, reader, admin = reader] = code === 'quota_exceeded' ? quota(problem.quota, retryAfter) : TEXTS[code]()
  const hint = isAdmin() ? admin : reader
  // A code that has no text yet has at least its own words.
  if (!SPECIFIC.has(code) && code !== 'unknown') return { message, hint: [hint, wait(code, retryAfter)].filter(Boolean).join(' ') }
  const said = sayPlainly(problem.coded_detail, problem.detail)
  // A file of a source must be corrected there, whatever is wrong with it.
  if (problem.coded_hint?.code.startsWith('hint_change_in_')) return { message: said || message, hint: remarkOf(problem.coded_hint) }
  return { message: said || message, hint: (said && sayPlainly(problem.coded_hint, problem.hint)) || hint }
}

const wait = (code, seconds) => (code === 'backlog_full' && seconds ? t('There will be room at about {time}.', { time: moment(Date.now() + seconds * 1000) }) : '')

function quota(found, retryAfter) {
  const [fallback, reader, admin] = TEXTS.quota_exceeded()
  if (!found) return [fallback, reader, admin]
  const renews = found.renews_at ? new Date(found.renews_at).getTime() : retryAfter ? Date.now() + retryAfter * 1000 : null
  const when = renews ? { time: moment(renews) } : null
  const [message, next] = limit(found, when)
  return [message, [next, reader].filter(Boolean).join(' '), [next, admin].filter(Boolean).join(' ')]
}

// Says which limit is used up, and when it resets.
function limit({ quota: name, limit: most, of }, when) {
  const own = of === 'key'
  switch (name) {
    case 'requests_per_minute': return [t('Too many requests were sent within a minute.'), when ? t('Try again at {time}.', when) : t('Try again in a minute.')]
    case 'tokens_per_day': case 'dollars_per_day':
      return [own ? t('Your questions for today are used up.') : t('Today’s questions are used up.'), when && t('They renew at {time}.', when)]
    case 'tokens_per_month': case 'dollars_per_month':
      return [own ? t('Your questions for this month are used up.') : t('This month’s questions are used up.'), when && t('They renew on {time}.', when)]
    case 'answers_at_once':
      return [tn(most, '{n} answer is already being generated, which is the limit.', '{n} answers are already being generated, which is the limit.'), t('Ask again when one of them is complete.')]
    case 'runs_at_once': return [tn(most, '{n} run is already in progress, which is the limit.', '{n} runs are already in progress, which is the limit.'), t('Wait until one of them has ended, or cancel one.')]
    case 'documents': return [tn(most, 'The limit of {n} document is reached.', 'The limit of {n} documents is reached.'), t('Delete documents that are no longer needed.')]
    case 'bytes': return [t('The limit for the size of all files is reached.'), t('Delete documents that are no longer needed.')]
    default: return [t('A limit is reached.'), when && t('It renews at {time}.', when)]
  }
}

// A time of day within the next day; a date and time later.
function moment(at) {
  const near = at - Date.now() < DAY_MS
  return new Intl.DateTimeFormat(LOCALE, near ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' }).format(at)
}

function links(code) {
  switch (code) {
    case 'document_not_found': case 'table_not_found': return [[t('Library'), '/library']]
    case 'conversation_not_found': case 'answer_not_found': return [[t('Ask a question'), '/ask']]
    case 'run_not_found': return [[t('Runs'), '/runs']]
    case 'share_not_found': return [[t('Ask a question'), '/ask'], [t('Library'), '/library']]
    default: return []
  }
}

// Describes a reply that is not from the API: from a proxy, or of a connection that broke off.
export function foreignProblem(status, text = '') {
  const code = { 413: 'proxy_too_large', 502: 'proxy_unreachable', 503: 'proxy_unreachable', 504: 'proxy_timeout' }[status] ?? 'proxy'
  const title = /<title>([^<]*)<\/title>/i.exec(text)?.[1].trim() ?? ''
  return { code, detail: [String(status), title].filter(Boolean).join(' · ') }
}

// The body of a finished XMLHttpRequest: the API's, or the problem of whatever answered instead.
export function bodyOf(request) {
  try {
    return JSON.parse(request.responseText)
  } catch {
    return foreignProblem(request.status, request.responseText)
  }
}
