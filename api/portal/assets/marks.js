// How well each sentence of an answer is proven, as a mark beside it, as one line above the answer, and in a legend.
// `rlm/checking/levels.py` derives the same levels for the command line and for Slack.
import { el, foreign, number } from './dom.js'
import { icon } from './icons.js'
import { t, tn } from './text.js'
import { isWithheld } from './withheld.js'

const TITLE = /^[>\s]*(?:#{1,6}\s|(?:[-*+]\s+|\d{1,9}[.)]\s+)?(\*\*|__)[^*_]+\1[.:]?\s*$|\$\$[^$]*\$\$[.,\s]*$)/
const PARTLY = /^Supported in part: /
const ABOUT_ALL = 'This is about all of the documents'
const JUDGED = new Set(['verified', 'computed', 'unsupported'])

// The kinds of marks: the class of the mark, its level, its name, what it means, and what the panel of its source adds.
// A mark is a sign, words, or both: a sign alone is only for what people read correctly without help.
const KINDS = {
  proven: { sign: '✓', level: 'proven', name: () => t('Proven'), means: () => t('A language model compared this sentence with its source, and the source says the same.'), beside: () => t('The source supports the sentence.') },
  computed: { sign: '✓', words: () => t('calculated'), level: 'proven', name: () => t('Proven: calculated'), means: () => t('Code counted or computed this from the records.') },
  partly: { sign: '~', level: 'partly proven', name: () => t('Partly proven'), means: () => t('The source proves only part of this sentence.'), beside: () => t('The source supports only a part of the sentence.') },
  found: { words: () => t('not checked'), level: 'found', name: () => t('Not checked'), means: () => t('This sentence was not checked against its source. Compare the two.'), beside: () => t('Nobody has checked whether the source supports the sentence.') },
  lost: { words: () => t('quotation not found'), level: 'lost', name: () => t('Quotation not found'), means: () => t('The words that the model quoted for this sentence are not in the source.'), beside: () => t('The words that the model quoted for this sentence are not in the source.') },
  contradicted: { sign: '!', level: 'unsupported', name: () => t('Not supported'), means: () => t('The source does not support this sentence.'), beside: () => t('The source does not support the sentence.') },
  uncited: { words: () => t('no source'), level: 'uncited', name: () => t('No source'), means: () => t('No source is given for this sentence.') },
}

// Chips beside a sentence, which people press to see where it comes from.
const CHIPS = [
  { sign: () => '1', name: () => t('Source'), means: () => t('Press the number to see the exact words in the document.') },
  { sign: () => icon('table'), name: () => t('Records'), means: () => t('Press it to see the records from which the value was computed.') },
]

// The reasons that the service itself gives; all others are a judge's words.
const REASONS = new Map([
  ['This sentence cites nothing, so it could not be checked.', () => t('No source is given for this sentence.')],
  ['This sentence cites nothing, because no passage can show what the documents do not say.', () => t('No source can show what the documents do not say.')],
  ['The words that the model quoted for this sentence are not in the passage.', () => t('The words that the model quoted for this sentence are not in the source.')],
  ['Code computed this from values that the model read in the records.', () => t('Code computed this from values that the language model read in the records.')],
  ['A passage that was read says it after all.', () => t('A passage that was read says it after all.')],
  ['The cited passage does not say this.', () => t('The source does not say this.')],
])

// Returns the kind of each sentence's mark, or null for a sentence that needs none: headings, introductions of lists,
// rows of a computed table, and all sentences of an answer that no language model judged. No passage proves what the
// documents do not say, so an answer that was not found has marks only where a language model contradicts it.
export function kindsOf(answer) {
  const checked = isChecked(answer)
  return answer.sentences.map((each) => (states(answer, each) && (checked || isLost(each)) ? kindOf(each) : null))
}

export const levelsOf = (answer) => kindsOf(answer).map((kind) => kind && KINDS[kind].level)

export const nameOf = (kind) => KINDS[kind].name()

// The class of a sentence's text.
export const styleOf = (kind) => ({ partly: 'partly-text', contradicted: 'contradicted-text' })[kind] ?? ''

// Says whether a language model judged a statement or code computed one; without any source there is nothing to judge.
export function isChecked(answer) {
  const statements = answer.sentences.filter((each) => states(answer, each))
  return statements.some((each) => JUDGED.has(each.check) || each.support) || !statements.some((each) => each.citations.length)
}

function states(answer, { text, citations, check }) {
  if (answer.table && text.trimStart().startsWith('|')) return false
  if (answer.status === 'not_found' && check !== 'unsupported') return false
  return citations.length > 0 || !(statesNothing(text) || isWithheld(text))
}

// A heading, the introduction of the next lines, or signs alone. A loop takes time in proportion to the text, and a
// regular expression would not: a model can write many colons.
function statesNothing(text) {
  const sign = TITLE.test(text) ? ':' : [...text].findLast((each) => /[:：\p{L}\p{N}_]/u.test(each))
  return sign === undefined || sign === ':' || sign === '：'
}

const isLost = (sentence) => kindOf(sentence) === 'lost'

function kindOf({ check, support, citations, reason }) {
  if (check === 'quoted' && support === 'partial') return 'partly'
  const kind = { verified: 'proven', computed: 'computed', unsupported: 'contradicted' }[check]
  // The check itself gives a reason only for quotations that it did not find.
  if (!kind && citations.length && reason) return 'lost'
  return kind ?? (check === 'quoted' ? 'found' : 'uncited')
}

export function reasonOf(kind, sentence) {
  const reason = sentence.reason?.replace(PARTLY, '')
  if (!reason) return KINDS[kind].means()
  if (reason.startsWith(ABOUT_ALL)) return t('This is about all of the documents, and not all of them were read.')
  if (REASONS.has(reason)) return REASONS.get(reason)()
  return kind === 'partly' ? t('The source proves only part of this: {reason}', { reason }) : reason
}

// Says beside a source how far it supports the sentences that cite it. It says nothing where they differ.
export function supportOf(cited) {
  const kinds = new Set(cited.map(({ kind }) => kind))
  const [{ kind, sentence } = {}] = cited
  const said = kinds.size === 1 && KINDS[kind]?.beside?.()
  if (!said) return []
  const reason = cited.length === 1 && kind !== 'lost' ? sentence.reason?.replace(PARTLY, '') : ''
  return [' ', said, ...(reason ? [' ', REASONS.get(reason)?.() ?? foreign(reason)] : [])]
}

export function markOf(kind, sentence) {
  const name = nameOf(kind)
  const button = el('button', { type: 'button', class: classOf(kind), 'aria-label': name, title: name, 'aria-expanded': 'false' }, signOf(kind))
  button.addEventListener('click', () => {
    const open = button.nextElementSibling?.classList.contains('why') ? button.nextElementSibling : null
    button.setAttribute('aria-expanded', String(!open))
    if (open) open.remove()
    else button.after(el('span', { class: 'why', role: 'note' }, el('strong', { text: name }), ' ', foreign(reasonOf(kind, sentence))))
  })
  return button
}

const classOf = (kind) => ['check', kind, KINDS[kind].sign ? '' : 'words'].join(' ').trim()

const signOf = (kind) => [KINDS[kind].sign, KINDS[kind].words && el('span', { class: 'word', text: KINDS[kind].words() })].filter(Boolean)

// The parts of the verdict, each with the kinds of marks that it counts.
function countsOf(answer) {
  const kinds = kindsOf(answer).filter(Boolean)
  const count = (...wanted) => kinds.filter((kind) => wanted.includes(kind)).length
  const parts = [
    [['proven', 'computed'], tn(kinds.length, '{proven} of {n} statement proven', '{proven} of {n} statements proven', { proven: number(count('proven', 'computed')) })],
    [['partly'], tn(count('partly'), '{n} partly proven', '{n} partly proven')],
    [['found'], tn(count('found'), '{n} not checked', '{n} not checked')],
    [['lost'], tn(count('lost'), '{n} quotation not found', '{n} quotations not found')],
    [['contradicted'], tn(count('contradicted'), '{n} not supported', '{n} not supported')],
    [['uncited'], tn(count('uncited'), '{n} with no source', '{n} with no source')],
  ]
  // Beside “Not in these documents”, a count of proven statements would say the opposite.
  const begins = kinds.length && answer.status !== 'not_found'
  return kinds.length ? parts.filter(([wanted], at) => (at === 0 ? begins : count(...wanted))).map(([wanted, text]) => ({ wanted, text, count: count(...wanted) })) : []
}

// The verdict in words, for the clipboard.
export function verdictOf(answer) {
  if (!isChecked(answer)) return notChecked()
  const counts = countsOf(answer)
  if (counts.length) return counts.map((each) => each.text).join(', ')
  return answer.table && answer.status !== 'not_found' ? t('Computed from the records') : ''
}

const notChecked = () => t('This answer was not checked: no language model compared it with its sources. Open the sources to check.')

// The line above an answer, whose counts lead to the first sentence of their kind in `place`.
export function verdictLine(answer, place) {
  if (!isChecked(answer)) return answer.status === 'extractive' ? null : el('div', { class: 'notice unchecked' }, icon('info'), el('span', { text: notChecked() }))
  const counts = countsOf(answer)
  if (!counts.length) return null
  const legend = legendOf()
  legend.hidden = true
  const help = el('button', { type: 'button', class: 'quiet help', 'aria-expanded': 'false', 'aria-label': t('What the marks mean'), title: t('What the marks mean') }, icon('circle-help'))
  help.addEventListener('click', () => {
    legend.hidden = !legend.hidden
    help.setAttribute('aria-expanded', String(!legend.hidden))
  })
  const shown = counts.map(({ wanted, text, count }) => {
    const { sign } = KINDS[wanted[0]]
    const inner = [sign && count ? el('span', { class: `check ${wanted[0]}`, 'aria-hidden': 'true', text: sign }) : null, text]
    return count ? el('button', { type: 'button', class: 'quiet', onclick: () => goTo(place, wanted) }, inner) : el('span', { class: 'none' }, inner)
  })
  return el('div', { class: 'verdict-part' }, el('div', { class: 'verdict', role: 'group', 'aria-label': t('How this answer was checked') }, shown.slice(0, -1), el('span', { class: 'last' }, shown.at(-1), help)), legend)
}

function goTo(place, wanted) {
  const mark = place.querySelector(wanted.map((kind) => `.answer .check.${kind}`).join())
  mark?.scrollIntoView({ block: 'center' })
  mark?.focus({ preventScroll: true })
}

// What each mark means. A mark that has words says its name itself.
export function legendOf() {
  return el('dl', { class: 'legend' }, Object.entries(KINDS).map(([kind, { words, means }]) => el('div', {},
    el('dt', {}, el('span', { class: classOf(kind), 'aria-hidden': words ? null : 'true' }, signOf(kind)), words ? null : nameOf(kind)), el('dd', { text: means() }))),
  ...CHIPS.map(({ sign, name, means }) => el('div', {}, el('dt', {}, el('span', { class: 'check', 'aria-hidden': 'true' }, sign()), name()), el('dd', { text: means() }))))
}
