// Suggested questions: first ones on an empty page, and next ones below the newest answer. A model that is small
// suggests none, and then there is nothing to see. A question is asked with `ask` as soon as it is pressed.
import { el, readable, say } from './dom.js'
import { icon } from './icons.js'
import { addBelow } from './in_view.js'
import { LANGUAGE } from './locale.js'
import { post } from './rest.js'
import { t } from './text.js'

// A scope that is being chosen changes several times in a moment.
const SETTLED_MS = 400
let first = null
let next = null

// Shows first questions about what is in `scope` in `place`, instead of those for an earlier scope.
export function suggestFirst(place, scope, ask) {
  first?.stop()
  first = suggestions(t('Suggested questions'), { ...scope, language: LANGUAGE }, ask)
  place.append(first.place)
  const timer = setTimeout(first.fill, SETTLED_MS)
  const { stop } = first
  first.stop = () => { clearTimeout(timer); stop() }
}

// Shows next questions below an answer, once its end is in view.
export function suggestNext(turn, answer, ask) {
  dropSuggestions()
  if (!answer.id || !answer.citations.length) return
  const made = suggestions(t('Follow-up questions'), { answer: answer.id }, ask)
  const end = el('div', { 'aria-hidden': 'true' })
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((each) => each.isIntersecting)) return
    seen.disconnect()
    made.fill()
  })
  const { stop } = made
  made.stop = () => { seen.disconnect(); end.remove(); stop() }
  next = made
  turn.append(end, made.place)
  seen.observe(end)
}

// Only the newest answer has next questions, and only a page without questions has first ones.
export function dropSuggestions() {
  first?.stop()
  next?.stop()
  first = next = null
}

function suggestions(title, body, ask) {
  const place = el('section', { class: 'suggested', 'aria-label': title, hidden: true })
  const aborting = new AbortController()
  const fill = async () => {
    let questions = []
    try {
      questions = (await post('/v1/suggestions', body, { signal: aborting.signal })).questions
    } catch { /* nobody asked for suggestions, so nobody misses them */ }
    if (!questions.length || aborting.signal.aborted) return
    place.append(el('h3', { text: title }), el('ul', {}, questions.map((each) => el('li', {}, button(each, ask)))))
    addBelow(() => { place.hidden = false })
  }
  return { place, fill, stop: () => { aborting.abort(); place.remove() } }
}

const button = (question, ask) => el('button', { type: 'button', onclick: () => {
  if (!ask(question, {})) say(t('Wait until the answer is complete, or stop it.'))
} }, el('span', { class: 'foreign', dir: 'auto', text: readable(question) }), icon('arrow-up'))
