// An answer: a line that says how it was checked, its sentences with their marks, its table, its sources and its details.
import { el, foreign, number, readable, say } from './dom.js'
import { details } from './answer_details.js'
import { chartOf } from './chart.js'
import { citeButton, sourceCards } from './citations.js'
import { feedbackOf } from './feedback.js'
import { icon } from './icons.js'
import { blocks, showInTurns } from './markdown.js'
import { kindsOf, markOf, nameOf, reasonOf, styleOf, verdictLine, verdictOf } from './marks.js'
import { placeInWords } from './places.js'
import { citeRecords } from './record_chips.js'
import { csv, download, tableOf } from './record_table.js'
import { figures } from './records_behind.js'
import { remarksOf } from './remarks.js'
import { unitsOf } from './spans.js'
import { t, tn, tp } from './text.js'

export { citeButton }

// `again` asks the question again, and `actions` are more buttons beside it; `given` is the reader's feedback, and a
// person who only `reads` somebody else's answer gives none.
export function answerOf(answer, again, { given = null, reads = false, actions = [] } = {}) {
  const made = el('div', { class: 'answer-part' })
  made.append(...[...heading(answer), verdictLine(answer, made), text(answer, reads), ...computed(answer, reads), sourceCards(answer), notes(answer),
    under(answer, again, { given, reads, actions })].filter(Boolean))
  return made
}

function heading(answer) {
  const notice = (kind, line) => [el('div', { class: `notice ${kind}` }, el('strong', { text: line[0] }), line.slice(1).join(' '))]
  const gap = gapOf(answer)
  if (answer.status === 'not_found') return notice('', [...gap, t('Ask in other words, or add documents. “Details” shows what was searched.')])
  if (gap.length) return notice('warn', gap)
  if (answer.status === 'extractive') return notice('', [t('Quotations'), t('No language model is set up. These passages fit your question best, word for word.')])
  return []
}

// What is missing in an answer, as a title and a sentence, as `api/answers/verdicts.py` says it.
function gapOf(answer) {
  if (answer.status === 'not_found') {
    return [t('Not in these documents'), tn(answer.searched.read, 'The language model read {n} passage and found no answer in it.', 'The language model read {n} passages and found no answer in them.')]
  }
  if (!answer.finished) return [t('Not complete'), t('The work reached a limit of time or cost before it was finished. This is what was found until then.')]
  if (answer.status !== 'partial') return []
  // Only strategies that work through all of the documents or records count them.
  return [t('Not complete'), answer.coverage ? t('Some documents or records could not be read, so the answer leaves them out.') : t('These documents answer only a part of the question.')]
}

// The sentences with the kind of their mark and their places in units of a string.
function placed(answer) {
  const units = unitsOf(answer.text)
  return kindsOf(answer).map((kind, at) => ({ kind, sentence: answer.sentences[at], start: units(answer.sentences[at].start), end: units(answer.sentences[at].end) }))
    .filter(({ sentence }) => !(answer.table && sentence.text.trimStart().startsWith('|')))
    .sort((a, b) => a.start - b.start || a.end - b.end)
}

function text(answer, reads) {
  const cited = new Map(answer.citations.map((each) => [each.number, each]))
  const made = el('div', { class: 'answer' })
  const sentences = placed(answer).map(({ kind, sentence, start, end }) => ({
    start, end, kind, sentence, quotes: sentence.quotes, style: styleOf(kind), mark: () => kind && markOf(kind, sentence),
  }))
  // A number opens the words for its own sentence.
  const cite = (of, at) => {
    const own = sentences.find((each) => each.start <= at && at < each.end)
    return cited.has(of) && citeButton(cited.get(of), (own?.quotes ?? []).filter((each) => each.number === of), { sql: answer.table?.sql, cited: own ? [own] : [] })
  }
  // The rows of a computed table stand below the text, where each figure can be pressed.
  showInTurns(made, blocks(answer.text).filter((block) => !answer.table || block.kind !== 'table'), {
    sentences,
    cite: reads ? cite : citeRecords(answer, cite),
  })
  return made
}

function computed(answer, reads) {
  const { table } = answer
  if (!table) return []
  const shown = table.rows.length < table.total_rows
    ? tn(table.total_rows, 'The first {shown} of {n} row', 'The first {shown} of {n} rows', { shown: number(table.rows.length) })
    : tn(table.total_rows, '{n} row', '{n} rows')
  return [el('section', { 'aria-label': t('Computed table') },
    tableOf(table.columns, table.rows, { caption: t('Rows of the computed table'), quantities: table.quantities ?? [], opens: reads || !answer.id ? null : figures(answer) }),
    el('p', { class: 'small soft' }, shown, !reads && table.records?.length ? ` · ${t('Press a figure to see its records.')}` : null),
    table.rows.length === table.total_rows ? chartOf(table.columns, table.rows) : null,
    Object.entries(table.semantic_columns).map(([name, how]) => el('p', { class: 'small' }, tp('A language model filled in {column}: {instruction}', { column: foreign(name), instruction: foreign(how) }))),
    el('div', { class: 'row' },
      el('button', { type: 'button', onclick: () => download('table.csv', csv(table.columns, table.rows), 'text/csv;charset=utf-8') }, icon('download'), t('Download this table (CSV)'))),
    el('details', {}, el('summary', { text: t('How it was computed') }), el('pre', { tabindex: 0 }, el('code', { text: readable(table.sql) }))))]
}

const notes = (answer) => (answer.notes.length ? el('div', { class: 'notes' }, remarksOf(answer.coded_notes, answer.notes).map((note) => el('p', {}, foreign(note)))) : null)

function under(answer, again, { given, reads, actions }) {
  const more = details(answer, reads)
  more.hidden = answer.status !== 'not_found'
  const opens = el('button', { type: 'button', class: 'quiet', 'aria-expanded': String(!more.hidden), onclick: () => {
    more.hidden = !more.hidden
    opens.setAttribute('aria-expanded', String(!more.hidden))
  } }, t('Details'), icon('chevron-down'))
  return el('div', { class: 'under' },
    el('div', { class: 'actions' },
      action('copy', t('Copy with sources'), () => copy(answer)),
      again ? action('pencil', t('Edit and ask again'), again) : null,
      actions,
      reads ? null : feedbackOf(answer, given),
      opens),
    more)
}

const action = (name, label, onclick) => el('button', { type: 'button', class: 'quiet', 'aria-label': label, title: label, onclick }, icon(name))

async function copy(answer) {
  try {
    await navigator.clipboard.writeText(copied(answer))
    say(t('Copied'))
  } catch {
    say(t('The browser does not allow copying here: select the text instead.'))
  }
}

// The answer as text, with the mark of each sentence in words behind it, and its sources.
export function copied(answer) {
  let said = answer.text
  for (const { kind, sentence, end } of placed(answer).reverse()) {
    if (!kind) continue
    const words = kind === 'proven' || kind === 'computed' ? nameOf(kind) : `${nameOf(kind)}. ${reasonOf(kind, sentence)}`
    // Within a row of a table, the words go before its last bar.
    const at = /\|\s*$/.test(said.slice(0, end)) ? said.slice(0, end).lastIndexOf('|') : end
    said = `${said.slice(0, at).trimEnd()} (${words})${at < end ? ' ' : ''}${said.slice(at)}`
  }
  const sources = answer.citations.map((each) => `[${each.number}] ${each.deleted ? t('No longer shown') : [each.title, placeInWords(each.place ?? '')].filter(Boolean).join(', ')}`)
  const [title, gap] = gapOf(answer)
  return [title ? `${title}. ${gap}` : '', said, verdictOf(answer), sources.length ? [t('Sources'), ...sources].join('\n') : ''].filter(Boolean).join('\n\n') + '\n'
}
