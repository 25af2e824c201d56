// An answer: its sentences with how each was checked, its sources, its table, and what was searched for it.
import { el, foreign, money, number, onDemand, plural, readable, say, trouble } from './dom.js'
import { chartOf } from './chart.js'
import { feedbackOf } from './feedback.js'
import { blocks, showInTurns } from './markdown.js'
import { csv, download, tableOf } from './record_table.js'
import { behind, figures } from './records_behind.js'
import { openSource } from './source.js'
import { addressOf, pointsIn, unitsAt } from './spans.js'

const CHECKS = {
  verified: ['✓', 'Verified', 'A model compared this sentence with the cited text, which supports it.'],
  quoted: ['❝', 'Quoted', 'The cited words are in the source; whether they support the whole sentence was not judged, or they support a part.'],
  computed: ['ƒ', 'Computed', 'Code counted or computed this from the records that are cited.'],
  unsupported: ['!', 'Not supported', 'The cited text does not support this sentence.'],
  unchecked: ['○', 'Not checked', 'Nothing is cited for this sentence.'],
}

// `again` asks the question again; `given` is what the reader said of it, and who `reads` another's answer says nothing.
export function answerOf(answer, again, { given = null, reads = false } = {}) {
  const made = el('div', { class: 'answer-part' })
  made.append(...heading(answer), text(answer), ...computed(answer, reads), under(answer, again, { given, reads }))
  return made
}

function heading(answer) {
  const notice = (kind, title, ...lines) => [el('div', { class: `notice ${kind}` }, el('strong', { text: title }), ...lines)]
  if (answer.status === 'not_found') {
    return notice('', 'Not in these documents', `The model read ${plural(answer.searched.read, 'passage')} of ${plural(answer.searched.documents.length, 'document')} and says that they do not answer this. What was searched is listed below; other words, or more documents, may help.`)
  }
  if (!answer.finished) return notice('warn', 'Not complete', 'A limit ended the work before it was done. What was found until then stands below.')
  if (answer.status === 'partial') return notice('warn', 'Not complete', 'These documents do not answer a part of the question, or a part of them could not be judged. What was found stands below.')
  if (answer.status === 'extractive') return notice('', 'Quotations', 'No language model is set up, so these are the passages that fit best, word for word.')
  return []
}

function text(answer) {
  const cited = new Map(answer.citations.map((each) => [each.number, each]))
  const made = el('div', { class: 'answer' })
  // Spans count code points; where all are of the basic plane, as mostly, these are the units of a string.
  const basic = answer.text.length === pointsIn(answer.text)
  const units = (points) => (basic ? points : unitsAt(answer.text, points))
  const sentences = said(answer).map((each) => ({ ...each, start: units(each.start), end: units(each.end) }))
    .sort((a, b) => a.start - b.start)
    .map((each) => ({
      start: each.start, end: each.end, quotes: each.quotes, style: each.check === 'unsupported' ? 'unsupported-text' : '',
      mark: () => (isTitle(each) ? null : mark(each)),
    }))
  // A marker opens what its own sentence rests on.
  const quotes = (number, at) => (sentences.find((each) => each.start <= at && at < each.end)?.quotes ?? []).filter((each) => each.number === number)
  showInTurns(made, blocks(answer.text).filter((block) => !answer.table || block.kind !== 'table'), {
    sentences,
    cite: (number, at) => cited.has(number) && citeButton(cited.get(number), quotes(number, at)),
  })
  return made
}

// The rows of a computed table stand below the text, where each figure can be pressed, and not in it, too.
const said = (answer) => answer.sentences.filter((each) => !answer.table || !each.text.startsWith('|'))

// A heading, or the bold words that begin a paragraph or an item of a list: they state nothing by themselves.
const isTitle = ({ text, check }) => check === 'unchecked' && /^(#{1,6}\s|(?:[-*+]\s+|\d{1,9}[.)]\s+)?(\*\*|__)[^*_]+\2[.:]?$)/.test(text.trim())

export function citeButton(citation, quotes, { name = 'Source', hint } = {}) {
  const title = citation.deleted ? 'no longer shown' : [citation.title, citation.place].filter(Boolean).join(', ')
  const button = el('button', { type: 'button', class: 'cite', text: citation.number, 'aria-label': readable(`${name} ${citation.number}: ${title}`), title: readable(title), 'aria-pressed': 'false' })
  button.addEventListener('click', () => {
    for (const each of document.querySelectorAll('.cite[aria-pressed="true"]')) each.setAttribute('aria-pressed', 'false')
    button.setAttribute('aria-pressed', 'true')
    openSource(citation, quotes, { name, hint })
  })
  return button
}

function mark(sentence) {
  const [sign, name, meaning] = CHECKS[sentence.check] ?? CHECKS.unchecked
  const button = el('button', { type: 'button', class: `check ${sentence.check}`, text: sign, 'aria-label': name, title: name, 'aria-expanded': 'false' })
  button.addEventListener('click', () => {
    const open = button.nextElementSibling?.classList.contains('why') ? button.nextElementSibling : null
    button.setAttribute('aria-expanded', String(!open))
    if (open) open.remove()
    else button.after(el('span', { class: 'why', role: 'note' }, `${name}. `, sentence.reason ? foreign(sentence.reason) : meaning))
  })
  return button
}

function computed(answer, reads) {
  const { table } = answer
  if (!table) return []
  const shown = table.rows.length < table.total_rows ? `The first ${number(table.rows.length)} of ${plural(table.total_rows, 'row')}` : plural(table.total_rows, 'row')
  const filled = Object.entries(table.semantic_columns)
  return [el('section', { 'aria-label': 'Computed table' },
    tableOf(table.columns, table.rows, { caption: 'Rows of the computed table', quantities: table.quantities ?? [], opens: reads || !answer.id ? null : figures(answer) }),
    el('p', { class: 'small soft', text: !reads && table.records?.length ? `${shown}. Press a figure to see the records behind it.` : shown }),
    table.rows.length === table.total_rows ? chartOf(table.columns, table.rows) : null,
    filled.length ? el('p', { class: 'small' }, 'A model filled in ', filled.flatMap(([name, how], at) => [at ? ', ' : '', foreign(name), ': ', foreign(how)]), '.') : null,
    el('div', { class: 'row' },
      el('button', { type: 'button', text: 'Download this table (CSV)', onclick: () => download('table.csv', csv(table.columns, table.rows), 'text/csv;charset=utf-8') })),
    el('details', {}, el('summary', { text: 'How it was computed' }), el('pre', { tabindex: 0 }, el('code', { text: readable(table.sql) }))))]
}

function under(answer, again, { given, reads }) {
  const sentences = said(answer).filter((each) => !isTitle(each))
  const counts = Object.entries(CHECKS).map(([check, [, name]]) => [name.toLowerCase(), sentences.filter((each) => each.check === check).length]).filter(([, count]) => count)
  return el('div', { class: 'under' },
    counts.length ? el('p', { text: `${plural(sentences.length, 'sentence')}: ${counts.map(([name, count]) => `${number(count)} ${name}`).join(', ')}` }) : null,
    answer.notes.map((note) => el('p', {}, foreign(note))),
    el('div', { class: 'row' },
      el('button', { type: 'button', class: 'quiet', text: 'Copy with sources', onclick: () => copy(answer) }),
      again ? el('button', { type: 'button', class: 'quiet', text: 'Edit and ask again', onclick: again }) : null),
    reads ? null : feedbackOf(answer, given),
    answer.citations.length ? onDemand(titled(plural(answer.citations.length, 'source')), () => sources(answer), answer.citations.length <= 5) : null,
    reads ? null : behind(answer),
    answer.searched.read_passages?.length ? onDemand(titled(`${plural(answer.searched.read_passages.length, 'passage')} that the model read`), () => passages(answer.searched.read_passages)) : null,
    onDemand(titled('What was searched'), () => searched(answer), answer.status === 'not_found'))
}

const titled = (text) => el('summary', { text })

function passages(read) {
  return el('div', {},
    el('p', { class: 'hint', text: read.some((each) => each.rank) ? 'In the order in which the model saw them, each with its rank in the search that found it.' : 'Everything that was asked about was read, so nothing was ranked.' }),
    el('ol', { class: 'sources' }, read.map((each, at) => el('li', {},
      citeButton({ ...each, number: at + 1, heading_path: [], quote: '' }, [], { name: 'Passage', hint: 'The marked text is what the model read.' }),
      foreign(each.title || 'Untitled'), each.place ? el('span', { class: 'soft', text: each.place }) : null,
      each.rank ? el('span', { class: 'soft', text: `rank ${number(each.rank)}` }) : null))))
}

function sources(answer) {
  const spans = (each) => (each.quotes.length ? each.quotes : [each]).map(({ start, end }) => [start, end])
  return el('ul', { class: 'sources' }, answer.citations.map((each) => el('li', {},
    citeButton(each, each.quotes),
    each.deleted ? el('span', { text: 'No longer shown' }) : el('a', { href: addressOf(each.document_id, spans(each)) }, foreign(each.title || 'Untitled')),
    each.place ? el('span', { class: 'soft', text: each.place }) : null)))
}

function searched(answer) {
  const { searched: found, coverage } = answer
  return el('div', {},
    found.queries.length ? el('p', {}, 'Searched for ', found.queries.flatMap((query, at) => [at ? ', ' : '', '“', foreign(query), '”']), '.') : null,
    el('p', { text: `${plural(found.passages, 'passage')} found, ${number(found.read)} read${answer.model ? ` by ${answer.model}` : ''}.` }),
    found.documents.length ? el('ul', {}, found.documents.map((each) => el('li', {},
      each.title ? el('a', { href: `/library/${each.document_id}` }, foreign(each.title)) : 'A document that is no longer shown',
      `: ${plural(each.passages, 'passage')}, ${number(each.read)} read`))) : null,
    coverage ? el('p', { text: `Of about ${number(coverage.tokens_in_scope)} tokens, a model read ${number(coverage.tokens_read)}, code searched ${number(coverage.tokens_searched)}, and ${number(coverage.tokens_unopened)} were not opened.` }) : null,
    answer.reasons.map((reason) => el('p', {}, foreign(reason))),
    el('p', { text: `${plural(answer.usage.calls, 'call')} of the model, ${number(answer.usage.prompt_tokens + answer.usage.completion_tokens)} tokens${answer.dollars ? `, ${money(answer.dollars)}` : ''}.` }))
}

async function copy(answer) {
  const sources = answer.citations.map((each) => `[${each.number}] ${each.deleted ? 'no longer shown' : [each.title, each.place].filter(Boolean).join(', ')}`)
  const checks = answer.sentences.some((each) => each.check === 'unsupported') ? '\n\nSome sentences are not supported by their sources.' : ''
  try {
    await navigator.clipboard.writeText(`${answer.text}\n\nSources\n${sources.join('\n')}${checks}\n`)
    say('Copied')
  } catch {
    say('The browser does not allow copying here: select the text instead.')
  }
}
