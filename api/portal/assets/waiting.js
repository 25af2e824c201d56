// The line above an answer in progress: the current step, the elapsed and the usual seconds, and the passages found.
import { el, foreign, number, readable } from './dom.js'
import { icon } from './icons.js'
import { openSource } from './source.js'
import { remarkOf } from './remarks.js'
import { t, tn } from './text.js'

const SHOWN = 6
const TICK_MS = 500

export class Waiting {
  // `usual` has the usual seconds by strategy; `seconds` is how long the answer has been made for already.
  constructor({ usual = {}, seconds = 0, strategy = '' } = {}) {
    this.usual = usual
    this.strategy = strategy
    this.begun = performance.now() - seconds * 1000
    this.said = el('span', { class: 'said', text: t('Sending the question…') })
    this.time = el('span', { class: 'elapsed' })
    this.cards = el('ul', { class: 'cards', 'aria-label': t('Passages found'), hidden: true })
    this.place = el('div', { class: 'waiting' }, el('p', {}, el('span', { class: 'spinner', 'aria-hidden': 'true' }), this.said, this.time), this.cards)
    this.ticking = setInterval(() => this.tick(), TICK_MS)
    this.tick()
  }

  // Takes what the service has said of the answer: its usual times, and how long it has been made for.
  begin({ usual_seconds: usual, seconds }) {
    this.usual = usual ?? {}
    this.begun = performance.now() - seconds * 1000
    this.said.textContent = t('Searching the documents…')
    this.tick()
  }

  get seconds() { return Math.max(0, Math.floor((performance.now() - this.begun) / 1000)) }

  tick() {
    const usual = this.usual[this.strategy]
    const elapsed = duration(this.seconds)
    if (!usual) this.time.textContent = elapsed
    else if (this.seconds > Math.max(usual * 1.5, usual + 5)) this.time.textContent = t('{elapsed}, longer than the usual {usual}', { elapsed, usual: duration(usual) })
    else this.time.textContent = t('{elapsed}, usually {usual} here', { elapsed, usual: duration(usual) })
  }

  hear(name, body) {
    if (name === 'routed') this.strategy = body.strategy
    if (name === 'retrieved') this.showFound(body.found ?? [])
    const words = describe(name, body)
    if (words) this.said.textContent = words
    this.tick()
  }

  // What was found before the restart of the service is looked for again.
  restart() {
    this.cards.replaceChildren()
    this.cards.hidden = true
    this.strategy = ''
    this.said.textContent = t('The service was restarted. The answer starts again by itself…')
    this.tick()
  }

  showFound(found) {
    const first = found.slice(0, SHOWN)
    if (!first.length) return
    this.cards.replaceChildren(...first.map((each, at) => el('li', {}, cardOf(each, at + 1))))
    this.cards.hidden = false
  }

  end() {
    clearInterval(this.ticking)
    this.place.remove()
  }
}

function cardOf(passage, position) {
  const title = passage.title || t('Untitled')
  const cited = { ...passage, number: position, heading_path: [], quote: '', quotes: [], verified: false }
  return el('button', { type: 'button', title: readable([title, passage.place].filter(Boolean).join(', ')),
    onclick: () => openSource(cited, [], { name: t('Passage'), hint: t('The marked text is what the search found.') }) },
  icon('file-text'), foreign(title, 'span', { class: 'name' }), el('span', { class: 'soft', text: passage.place || t('Passage {number}', { number: number(position) }) }))
}

// Seconds in words, to be read at a glance.
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds))
  if (whole < 60) return t('{seconds} s', { seconds: number(whole) })
  const minutes = Math.floor(whole / 60)
  return whole % 60 ? t('{minutes} min {seconds} s', { minutes: number(minutes), seconds: number(whole % 60) }) : t('{minutes} min', { minutes: number(minutes) })
}

// Describes a step in plain words. Returns an empty string if an event says nothing new.
export function describe(name, body) {
  switch (name) {
    case 'condensed': return t('Understood as: {question}', { question: readable(body.question) })
    case 'routed': return routed(body)
    case 'retrieved': return tn(body.passages, 'Found {n} passage', 'Found {n} passages')
    case 'reading': return body.titles.length ? tn(body.titles.length, 'Reading {n} passage', 'Reading {n} passages') : '' // deleted meanwhile
    case 'planned': return t('Computing the answer')
    case 'working': return working(body)
    case 'cell': return readable(remarkOf(body.coded_title, body.title) || t('Running a program over the documents'))
    case 'checking': return tn(body.sentences, 'Checking {n} sentence against its sources', 'Checking {n} sentences against their sources')
    default: return ''
  }
}

function routed({ strategy, ...body }) {
  const estimate = remarkOf(body.coded_estimate, body.estimate)
  const words = strategy === 'table' ? t('Planning a computation over tables') : strategy === 'recursive' ? t('Working through the documents') : t('Looking for the best passages')
  return estimate ? `${words}. ${readable(estimate)}` : words
}

// A step of the program says what it does itself; its number would say nothing.
function working(body) {
  if (body.step === 'cells') return ''
  return t('{step}: {done} of {total}', { step: readable(remarkOf(body.coded_step, body.step)), done: number(body.done), total: number(body.total) })
}
