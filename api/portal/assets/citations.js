// The sources of an answer: their numbers in the text, a preview of each, and a card for each below the text.
import { el, foreign, readable } from './dom.js'
import { icon } from './icons.js'
import { kindsOf } from './marks.js'
import { placeInWords } from './places.js'
import { openSource } from './source.js'
import { t, tn } from './text.js'

const FIRST = 3
const WORDS = 400
const AFTER_MS = 250
const GAP = 6

// Where in its document a source stands: the page or row, or the heading where the format has neither.
const placeOf = (citation) => placeInWords(citation.place ?? '') || (citation.heading_path?.at(-1) !== citation.title && citation.heading_path?.at(-1)) || ''
const titleOf = (citation) => (citation.deleted ? t('No longer shown') : [citation.title || t('Untitled'), placeOf(citation)].filter(Boolean).join(', '))
const wordsOf = (citation, quotes) => (quotes.length ? quotes.map((each) => each.text) : [citation.quote]).filter(Boolean).join(' … ').replace(/^[#>]+ +/gm, '').replace(/\s+/g, ' ').slice(0, WORDS)

// The number of a source, which opens it beside the answer. Texts are functions, because a number is inserted.
export function citeButton(citation, quotes, { label = (number, title) => t('Source {number}: {title}', { number, title }), ...options } = {}) {
  const button = el('button', { type: 'button', class: 'cite', text: citation.number, 'aria-label': readable(label(citation.number, titleOf(citation))), 'aria-pressed': 'false' })
  button.addEventListener('click', () => open(button, citation, quotes, options))
  previewed(button, citation, quotes)
  return button
}

function open(button, citation, quotes, options) {
  closePreview()
  for (const each of document.querySelectorAll('.cite[aria-pressed="true"]')) each.setAttribute('aria-pressed', 'false')
  button.setAttribute('aria-pressed', 'true')
  openSource(citation, quotes, options)
}

let preview = null
let waiting = null

// Shows a card with the cited words while the pointer or the keyboard's focus is on a number. Fingers only press.
function previewed(button, citation, quotes) {
  const later = () => { clearTimeout(waiting); waiting = setTimeout(() => openPreview(button, citation, quotes), AFTER_MS) }
  // A number that slides below a pointer at rest, as when the source opens, was not pointed at: only moving counts.
  button.addEventListener('pointermove', (event) => { if (event.pointerType !== 'touch' && preview?.button !== button) later() })
  button.addEventListener('pointerleave', () => leave(button))
  button.addEventListener('focus', () => { if (button.matches(':focus-visible')) later() })
  button.addEventListener('blur', closePreview)
}

function leave(button) {
  clearTimeout(waiting)
  if (document.activeElement === button && preview) return
  waiting = setTimeout(() => { if (!preview?.card.matches(':hover')) closePreview() }, AFTER_MS)
}

function openPreview(button, citation, quotes) {
  closePreview()
  if (!button.isConnected) return
  const words = citation.deleted ? '' : wordsOf(citation, quotes)
  const card = el('div', { class: 'preview', role: 'tooltip', id: 'preview' },
    el('strong', {}, citation.deleted ? t('No longer shown') : foreign(citation.title || t('Untitled'))),
    placeOf(citation) ? foreign(placeOf(citation), 'span', { class: 'soft' }) : null,
    words ? el('blockquote', {}, foreign(words)) : null)
  card.addEventListener('pointerleave', () => leave(button))
  document.body.append(card)
  button.setAttribute('aria-describedby', 'preview')
  preview = { card, button }
  const at = button.getBoundingClientRect()
  const room = document.documentElement
  card.style.left = `${Math.max(GAP, Math.min(at.left, room.clientWidth - card.offsetWidth - GAP))}px`
  const above = at.top - card.offsetHeight - GAP
  card.style.top = `${above >= GAP ? above : at.bottom + GAP}px`
  // A field that has the focus may keep the key for itself, so its release counts, too.
  for (const kind of ['keydown', 'keyup']) addEventListener(kind, escape, { capture: true })
  addEventListener('scroll', closePreview, { capture: true, passive: true })
}

function escape(event) {
  if (event.key !== 'Escape') return
  event.stopPropagation()
  closePreview()
}

function closePreview() {
  clearTimeout(waiting)
  if (!preview) return
  preview.card.remove()
  preview.button.removeAttribute('aria-describedby')
  preview = null
  for (const kind of ['keydown', 'keyup']) removeEventListener(kind, escape, { capture: true })
  removeEventListener('scroll', closePreview, { capture: true })
}

// The sources of an answer as cards: the first of them at once, the others when they are wanted.
export function sourceCards(answer) {
  const { citations } = answer
  if (!citations.length) return null
  const list = el('ol', { class: 'source-cards', 'aria-label': t('Sources') }, citations.slice(0, FIRST).map((each) => cardOf(each, answer)))
  if (citations.length <= FIRST) return list
  const more = el('button', { type: 'button', class: 'quiet more' }, tn(citations.length, 'Show the {n} source', 'Show all {n} sources'), icon('chevron-down'))
  more.addEventListener('click', () => {
    const added = citations.slice(FIRST).map((each) => cardOf(each, answer))
    list.append(...added)
    more.remove()
    added[0].querySelector('button').focus()
  })
  return el('div', {}, list, more)
}

function citing(answer, number) {
  const kinds = kindsOf(answer)
  return answer.sentences.map((sentence, at) => ({ sentence, kind: kinds[at] })).filter(({ sentence }) => sentence.citations.includes(number))
}

function cardOf(citation, answer) {
  const button = el('button', { type: 'button', class: 'cite', 'aria-pressed': 'false', 'aria-label': readable(t('Source {number}: {title}', { number: citation.number, title: titleOf(citation) })) },
    el('span', { class: 'number', text: citation.number }),
    el('span', { class: 'title' }, citation.deleted ? t('No longer shown') : foreign(citation.title || t('Untitled'))),
    placeOf(citation) && !citation.deleted ? foreign(placeOf(citation), 'span', { class: 'place soft' }) : null,
    citation.deleted || !citation.quote ? null : foreign(wordsOf(citation, citation.quotes.slice(0, 1)), 'span', { class: 'words soft' }))
  button.addEventListener('click', () => open(button, citation, citation.quotes, { sql: answer.table?.sql, cited: citing(answer, citation.number) }))
  return el('li', {}, button)
}
