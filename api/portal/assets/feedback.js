// A person's feedback on an answer: that it helped, or what is wrong with it, in words, by sentences and by sources.
import { el, foreign, say, trouble } from './dom.js'
import { icon } from './icons.js'
import { may, post, send } from './rest.js'
import { t } from './text.js'

const SHOWN = 160
// A sentence without the signs of Markdown and the numbers of its sources; the cells of a row stand between dots.
export const bare = (text) => text.replace(/\*\*|__|`|\$|\s*\[\d{1,4}\]/g, '').replace(/^\s*(?:(?:#+|[-*+>]|\d+[.)])\s+|\|)+|\s*\|\s*$/g, '').replace(/\s*\|\s*/g, ' · ').trim()

export function feedbackOf(answer, given) {
  if (!answer.id || !may('ask')) return null
  const place = el('div', { class: 'feedback' })
  show(place, answer, given ?? null)
  return place
}

function show(place, answer, given) {
  const pressed = (rating) => String(given?.rating === rating)
  const button = (rating, name, label) => el('button', { type: 'button', class: 'quiet', 'aria-pressed': pressed(rating), 'aria-label': label, title: label }, icon(name))
  const up = button('up', 'thumbs-up', t('Helpful'))
  const down = button('down', 'thumbs-down', t('Something is wrong'))
  up.addEventListener('click', () => (given?.rating === 'up' ? withdraw(place, answer, up) : give(place, answer, { rating: 'up' }, up)))
  down.addEventListener('click', () => form(place, answer, given))
  place.replaceChildren(up, down)
}

function form(place, answer, given) {
  const old = place.querySelector('form')
  if (old) { old.remove(); return }
  const wrong = given?.rating === 'down' ? given : null
  const comment = el('textarea', { rows: 2, maxlength: 4000, name: 'comment' })
  comment.value = wrong?.comment ?? ''
  const boxes = (name, entries, chosen) => el('div', { class: 'boxes' }, entries.map(([value, label]) => el('label', { class: 'inline' },
    el('input', { type: 'checkbox', name, value, checked: chosen?.includes(value) }), foreign(label))))
  const cut = (text) => (text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text)
  const sentences = answer.sentences.map((each, at) => [at + 1, cut(bare(each.text))])
  const sources = answer.citations.map((each) => [each.number, `${each.number}: ${cut(each.title || t('Untitled'))}`])
  const made = el('form', { class: 'notice' },
    el('label', {}, t('What is wrong?'), ' ', el('span', { class: 'hint', text: t('optional') }), comment),
    el('details', { open: Boolean(wrong?.sentences.length || wrong?.citations.length) }, el('summary', { text: t('Which sentences or sources') }),
      sentences.length ? el('fieldset', {}, el('legend', { text: t('Sentences') }), boxes('sentence', sentences, wrong?.sentences)) : null,
      sources.length ? el('fieldset', {}, el('legend', { text: t('Sources') }), boxes('citation', sources, wrong?.citations)) : null),
    el('div', { class: 'row end' },
      wrong ? el('button', { type: 'button', class: 'quiet', text: t('Take it back'), onclick: (event) => withdraw(place, answer, event.target) }) : null,
      el('button', { type: 'button', text: t('Cancel'), onclick: () => { made.remove(); place.querySelectorAll('button')[1].focus() } }),
      el('button', { type: 'submit', class: 'main', text: t('Send') })))
  made.addEventListener('submit', (event) => {
    event.preventDefault()
    const chosen = (name) => [...made.querySelectorAll(`[name="${name}"]:checked`)].map((each) => Number(each.value))
    give(place, answer, { rating: 'down', comment: comment.value, sentences: chosen('sentence'), citations: chosen('citation') }, event.submitter)
  })
  place.append(made)
  comment.focus()
}

async function give(place, answer, said, button) {
  await done(place, button, async () => {
    show(place, answer, await post(`/v1/answers/${answer.id}/feedback`, said))
    say(t('Thank you. Your administrators can read this.'))
  })
}

async function withdraw(place, answer, button) {
  await done(place, button, async () => {
    await send('DELETE', `/v1/answers/${answer.id}/feedback`)
    show(place, answer, null)
    say(t('Taken back'))
  })
}

async function done(place, button, work) {
  if (button.disabled) return
  button.disabled = true
  const at = [...place.querySelectorAll(':scope > button')].indexOf(button)
  try {
    await work()
    place.querySelectorAll('button')[Math.max(0, Math.min(at, 1))]?.focus()
  } catch (error) {
    place.querySelector('[role="alert"]')?.remove()
    place.append(trouble(error))
  } finally {
    button.disabled = false
  }
}
