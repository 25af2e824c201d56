// The details below an answer: its records, the passages that were read, the searches, and the work of the model.
import { el, foreign, money, number, onDemand } from './dom.js'
import { citeButton } from './citations.js'
import { placeInWords } from './places.js'
import { behind } from './records_behind.js'
import { remarksOf } from './remarks.js'
import { t, tn, tp } from './text.js'

export function details(answer, reads) {
  const read = answer.searched.read_passages ?? []
  return el('div', { class: 'details' },
    reads ? null : behind(answer),
    read.length ? onDemand(el('summary', { text: tn(read.length, '{n} passage that the model read', '{n} passages that the model read') }), () => passages(read)) : null,
    searched(answer))
}

function passages(read) {
  const ranked = read.some((each) => each.rank)
  return el('div', {},
    el('p', { class: 'hint', text: ranked ? t('In the order in which the model read them, with the rank of each in its search.') : t('The model read everything in scope, so nothing was ranked.') }),
    el('ol', { class: 'sources' }, read.map((each, at) => el('li', {},
      citeButton({ ...each, number: at + 1, heading_path: [], quote: '' }, [], {
        label: (of, title) => t('Passage {number}: {title}', { number: of, title }), name: t('Passage'), hint: t('The model read the marked text.'),
      }),
      foreign(each.title || t('Untitled')), each.place ? el('span', { class: 'soft', text: placeInWords(each.place) }) : null,
      each.rank ? el('span', { class: 'soft', text: t('rank {rank}', { rank: number(each.rank) }) }) : null))))
}

const foundAndRead = ({ passages, read }) => tn(passages, '{n} passage found, {read} read', '{n} passages found, {read} read', { read: number(read) })

function searched(answer) {
  const { searched: found, coverage, usage } = answer
  const tokens = usage.prompt_tokens + usage.completion_tokens
  return el('section', { 'aria-label': t('What was searched') },
    el('h4', { text: t('What was searched') }),
    found.queries.length ? el('ul', { class: 'queries' }, found.queries.map((query) => el('li', {}, foreign(query, 'q')))) : null,
    el('p', { text: foundAndRead(found) }),
    found.documents.length ? el('ul', {}, found.documents.map((each) => el('li', {},
      each.title ? el('a', { href: `/library/${each.document_id}` }, foreign(each.title)) : t('A document that is no longer shown'),
      ` · ${foundAndRead(each)}`))) : null,
    coverage ? el('p', { text: t('Of about {scope} tokens, a model read {read}, code searched {searched}, and {unopened} were not opened.', {
      scope: number(coverage.tokens_in_scope), read: number(coverage.tokens_read), searched: number(coverage.tokens_searched), unopened: number(coverage.tokens_unopened),
    }) }) : null,
    remarksOf(answer.coded_reasons, answer.reasons).map((reason) => el('p', {}, foreign(reason))),
    el('p', {}, answer.model ? tp('Answered by {model}', { model: foreign(answer.model) }) : t('Answered without a language model'), ' · ',
      tn(usage.calls, '{n} call', '{n} calls'), ' · ', tn(tokens, '{n} token', '{n} tokens'), answer.dollars ? ` · ${money(answer.dollars)}` : null))
}
