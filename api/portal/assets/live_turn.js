// A question whose answer is being made: it shows what goes on and the text so far, and how it ended.
import { answerOf } from './answer.js'
import { askAgainMenu } from './ask_again.js'
import { el, trouble } from './dom.js'
import { followAnswer } from './follow.js'
import { icon } from './icons.js'
import { replaceInPlace } from './in_view.js'
import { Growing } from './markdown.js'
import { Problem, post } from './rest.js'
import { t } from './text.js'
import { turnOf } from './turn.js'
import { scopeLine } from './turn_scope.js'
import { Waiting } from './waiting.js'

// Text that comes at once, as on return to a long answer, is drawn in pieces, so that the page goes on reacting.
const PIECE_CHARS = 2_500
const PIECE_MS = 70

export class LiveTurn {
  // `done(turn, answer)` hears of the complete answer and `ended(turn)` of an end without one; `again(turn, changes)`
  // asks the question again, and `edit` puts it into the composer.
  // `scope` has the documents and collections that it is asked about, where they are known already.
  constructor(question, { done, ended, again, edit }, scope) {
    Object.assign(this, { question, scope: null, done, ended, again, edit, id: null, pending: null, isRunning: true })
    this.waiting = new Waiting()
    this.draft = el('div', { class: 'answer' })
    this.place = turnOf(question, this.waiting.place, this.draft)
    this.place.dataset.live = ''
    this.growing = new Growing(this.draft)
    this.text = ''
    this.drawing = null
    this.isStopped = false
    if (scope) this.showScope(scope)
  }

  showScope(scope) {
    this.scope = scope
    this.place.querySelector('.asked').after(scopeLine(scope))
  }

  // Follows the answer from its first event on.
  follow(pending) {
    this.id = pending.id
    this.pending = pending
    this.waiting.begin(pending)
    if (this.isStopped) { this.stop(); return }
    this.close = followAnswer(pending.id, { hear: (name, body) => this.hear(name, body) })
  }

  hear(name, body) {
    if (name === 'delta') this.write(body.text)
    else if (name === 'completed') this.complete(body)
    else if (name === 'error') this.fail(body)
    else if (name === 'restarted') this.restart()
    else this.waiting.hear(name, body)
  }

  write(text) {
    this.text += text
    this.drawing ??= setTimeout(() => this.draw())
  }

  draw() {
    this.growing.add(this.text.slice(0, PIECE_CHARS))
    this.text = this.text.slice(PIECE_CHARS)
    this.drawing = this.text && this.isRunning ? setTimeout(() => this.draw(), PIECE_MS) : null
  }

  // The service was restarted, and writes the answer again from its beginning.
  restart() {
    clearTimeout(this.drawing)
    this.drawing = null
    this.text = ''
    this.growing.end()
    this.draft.replaceChildren()
    this.growing = new Growing(this.draft)
    this.waiting.restart()
  }

  // Stops the work on the server. What was written until then is not kept there.
  async stop() {
    this.isStopped = true
    if (!this.id) return
    try {
      await post(`/v1/answers/${this.id}/cancel`)
      if (this.isRunning) this.fail({ code: 'answer_cancelled' })
    } catch (error) {
      this.place.append(trouble(error))
    }
  }

  complete(answer) {
    this.finish()
    const given = turnOf(this.question, scopeLine(this.scope), answerOf(answer, () => this.edit(this.question), { actions: [askAgainMenu(this.question)] }))
    replaceInPlace(this.place, [...given.childNodes], () => !this.place.querySelector('[aria-busy]'))
    this.done(this, answer)
  }

  // Shows why there is no answer, and what can be done now. Text that was written stays on the page.
  fail(problem) {
    this.finish()
    const written = this.draft.hasChildNodes()
    if (written) this.draft.classList.add('partial')
    else this.draft.remove()
    this.place.append(endOf(problem, { written, again: (changes) => this.again(this, changes), edit: () => this.edit(this.question) }))
    if (this.isStopped) this.place.lastElementChild.scrollIntoView({ block: 'nearest' })
    this.ended(this)
  }

  finish() {
    this.isRunning = false
    this.close?.()
    clearTimeout(this.drawing)
    if (this.text) this.growing.add(this.text)
    this.growing.end()
    this.waiting.end()
    delete this.place.dataset.live
  }
}

// A question without an answer, as it is shown on return.
export function endedTurn(pending, { again, edit }) {
  const problem = pending.problem ?? { code: pending.state === 'cancelled' ? 'answer_cancelled' : 'answer_interrupted' }
  return turnOf(pending.question, scopeLine(pending.scope), endOf(problem, { written: false, again, edit }))
}

// In plain words why a question has no answer, with the next step.
function endOf(problem, { written, again, edit }) {
  const place = el('div', { class: 'ended' })
  const unchecked = written ? el('p', { class: 'small', text: t('The text above was written before the end. It was not checked and is not stored.') }) : null
  const button = (name, text, onclick, kind = '') => el('button', { type: 'button', class: kind, onclick }, icon(name), text)
  const actions = el('div', { class: 'row' })
  if (problem.code === 'confirmation_required') actions.append(button('play', t('Go ahead'), () => again({ confirm: true }), 'main'))
  else if (again) actions.append(button('refresh-cw', t('Ask again'), () => again({})))
  actions.append(button('pencil', t('Edit and ask again'), edit, 'quiet'))
  if (problem.code === 'answer_cancelled') {
    place.append(el('div', { class: 'notice', role: 'status' }, el('strong', { text: t('You stopped this answer.') }), t('Your question stays here. What was written is not stored.'), unchecked, actions))
  } else if (problem.code === 'answer_interrupted') {
    place.append(el('div', { class: 'notice warn', role: 'alert' }, el('strong', { text: t('The service was stopped while it answered.') }), t('Your question was not lost. Ask it again, about fewer documents if you can.'), unchecked, actions))
  } else {
    place.append(trouble(problem instanceof Problem ? problem : new Problem(problem, problem.status), unchecked, actions))
  }
  return place
}
