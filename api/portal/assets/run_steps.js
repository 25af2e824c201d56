// The steps of a run as they are logged: what each was for as its title, with its code and the calls of the model below it.
import { el, foreign, inTurns, number, onDemand, readable } from './dom.js'
import { duration } from './durations.js'
import { icon } from './icons.js'
import { remarkOf, remarksOf } from './remarks.js'
import { addedOf, barsOf, BUDGETS, goesOn, KINDS, purposeOf, stateOf, STATES, STRATEGIES, titleOf } from './run_words.js'
import { openSource } from './source.js'
import { t, tn } from './text.js'

export { barsOf, goesOn, KINDS, stateOf, STATES }

const SHOWN_CALLS = 200
const LATEST = 5
const REPLY_CHARS = 90
// Enough of a cell's code to tell which reply of the model it stands in.
const CODE_CHARS = 60

export class Steps {
  // `changed(count, title)` hears of each new step with its title.
  constructor(place, changed = () => {}) {
    this.place = place
    this.changed = changed
    this.calls = []
    this.latest = null
    this.seen = 0
    this.count = 0
    this.waiting = []
    this.working = null
  }

  // Steps may come by the thousand at once, so they are shown, and `body()` is read, a moment's worth at a time.
  add(kind, body) {
    this.waiting.push(() => this.step(kind, body()))
    this.working ??= this.show()
  }

  // Shows the calls that no code has claimed; resolves once all is shown.
  end() {
    this.waiting.push(() => {
      const rest = this.claimed()
      return rest.length ? el('li', {}, callsOf(rest)) : null
    })
    this.working ??= this.show()
    return this.working
  }

  async show() {
    while (this.waiting.length) {
      const some = this.waiting
      this.waiting = []
      await inTurns(some, (make) => {
        const made = make()
        if (made) this.place.append(made)
      })
    }
    this.showLatest()
    this.working = null
  }

  step(kind, body) {
    if (body.withheld) return this.note(t('A step that is no longer shown, because you can no longer see one of its documents'))
    switch (kind) {
      case 'call':
      case 'lost': this.calls.push([kind, body]); return null
      case 'cell': return this.cell(body)
      case 'condensed': return this.note(t('Understood the question as: {question}', { question: readable(body.question) }))
      case 'routed': return this.note([STRATEGIES[body.strategy] ?? body.strategy, readable(remarkOf(body.coded_reason, body.reason ?? '')), readable(remarkOf(body.coded_estimate, body.estimate ?? ''))].filter(Boolean).join('. ').replace(/\.\. /g, '. '))
      case 'retrieved': return this.note(found(body))
      case 'reading': return this.note(tn((body.titles ?? []).length, 'Reads {n} passage', 'Reads {n} passages'))
      case 'planned': return this.named(t('Planned a computation'), el('li', {}, onDemand(el('summary', { text: t('Planned a computation') }), () => [...remarksOf(body.coded_steps, body.steps ?? []).map((each) => el('p', {}, foreign(each))), code(body.sql)])))
      // A step of the program says what it does itself; its number would say nothing.
      case 'working': return body.step === 'cells' ? null : this.note(t('{step}: {done} of {total}', { step: readable(remarkOf(body.coded_step, body.step)), done: number(body.done), total: number(body.total) }))
      case 'checking': return this.note(tn(body.sentences, 'Checks {n} sentence', 'Checks {n} sentences'))
      case 'resume': return this.note(t('Continued after an interruption'))
      case 'paused': return this.note(BUDGETS[body.resource] ? t('Paused, because its budget was used up ({resource})', { resource: BUDGETS[body.resource] }) : t('Paused, because its budget was used up'))
      case 'budget': return this.note(body.pauses ? t('Somebody added to its budget ({amounts})', { amounts: Object.entries(body.added ?? {}).map(([name, amount]) => addedOf(name, amount)).join(', ') }) : t('Somebody asked it to answer with what it has'))
      default: return null
    }
  }

  named(title, made) {
    this.count += 1
    this.changed(this.count, title)
    return made
  }

  note(text) {
    return this.named(text, el('li', { class: 'small note', text }))
  }

  // A sub-call is logged before the code that made it: until that has ended, the latest ones stand at the end.
  showLatest() {
    const fresh = this.calls.slice(this.seen).slice(-LATEST)
    if (!fresh.length) return
    this.seen = this.calls.length
    this.latest ??= el('li', {}, el('p', { class: 'small soft' }), el('ol', { class: 'calls' }))
    const [title, list] = this.latest.children
    title.textContent = tn(this.calls.length, '{n} model call in this step so far', '{n} model calls in this step so far; the latest:')
    list.append(...fresh.map((each) => call(...each)))
    while (list.childElementCount > LATEST) list.firstElementChild.remove()
    this.place.append(this.latest)
  }

  claimed() {
    const calls = this.calls
    this.calls = []
    this.seen = 0
    this.latest?.remove()
    this.latest = null
    return calls
  }

  cell(body) {
    const mine = this.claimed()
    const root = rootOf(mine, body)
    const others = mine.filter((each) => each !== root)
    const title = titleOf(body)
    const part = body.depth ? el('span', { class: 'badge', text: body.part ? t('part {part}', { part: readable(body.part) }) : t('a part') }) : null
    const summary = el('summary', {}, el('span', { class: 'title' }, title, part, body.error ? el('span', { class: 'bad-ink small' }, icon('triangle-alert'), t('the code failed; the model sees the error and tries again')) : null), el('span', { class: 'small soft whole', text: measures(body, others.length) }))
    return this.named(title.textContent ?? title, el('li', { class: `level-${Math.min(3, body.depth ?? 0)}` }, onDemand(summary, () => [
      body.note ? [el('p', { class: 'small soft label', text: t('Message to the model') }), code(body.note)] : null,
      others.length ? callsOf(others) : null,
      body.output ? [el('p', { class: 'small soft label', text: t('Result') }), code(body.output)] : null,
      body.error ? [el('p', { class: 'small soft label', text: t('Error') }), code(body.error)] : null,
      body.code ? onDemand(el('summary', { class: 'small' }, icon('code'), t('Code')), () => [code(body.code), root ? onDemand(el('summary', { class: 'small', text: t('Whole reply of the model') }), () => [code(root[1].text), code(root[1].prompt)]) : null]) : null,
    ])))
  }
}

const found = (body) => {
  const titles = (body.titles ?? []).slice(0, 5).map(readable).join(', ')
  return titles ? tn(body.passages, 'Found {n} passage in {titles}', 'Found {n} passages in {titles}', { titles }) : tn(body.passages, 'Found {n} passage', 'Found {n} passages')
}

const measures = (body, calls) => [
  body.sub_calls || calls ? tn(body.sub_calls ?? calls, '{n} model call', '{n} model calls') : '', duration(body.seconds),
].filter(Boolean).join(' · ')

// The reply of the model that a cell's code stands in. The replies of parts that run meanwhile stand among the calls too.
function rootOf(calls, { code: text }) {
  const roots = calls.filter(([kind, body]) => kind === 'call' && body.purpose === 'root')
  return roots.findLast?.(([, body]) => text && body.text?.includes(text.slice(0, CODE_CHARS))) ?? roots.at(-1)
}

// The latest calls; earlier ones on demand. Calls of one kind that follow each other are one line that opens.
function callsOf(calls) {
  const groups = []
  for (const each of calls) {
    const last = groups.at(-1)
    if (last && last[0][1].purpose === each[1].purpose && last[0][0] === each[0]) last.push(each)
    else groups.push([each])
  }
  return el('ol', { class: 'calls' }, groups.map(groupOf))
}

function groupOf(calls) {
  if (calls.length === 1) return call(...calls[0])
  const summary = el('summary', {}, purposeOf(calls[0][1]), el('span', { class: 'soft small', text: ` · ${tn(calls.length, '{n} time', '{n} times')}` }))
  return el('li', {}, onDemand(summary, () => {
    const made = el('ol', { class: 'calls' }, calls.slice(-SHOWN_CALLS).map((each) => call(...each)))
    const earlier = calls.slice(0, -SHOWN_CALLS)
    if (!earlier.length) return made
    const more = el('button', { type: 'button', class: 'quiet small', text: tn(earlier.length, 'Show {n} earlier call', 'Show {n} earlier calls'), onclick: () => {
      more.remove()
      inTurns(earlier.reverse(), (each) => made.prepend(call(...each)))
    } })
    return [more, made]
  }))
}

const code = (text) => (text ? el('pre', { tabindex: 0 }, el('code', { class: 'foreign', dir: 'auto', text: readable(text) })) : null)

// One call of the model: what it was for and how its reply begins, with the prompt, the sources and the reply below.
function call(kind, body) {
  const tokens = (body.usage?.prompt_tokens ?? 0) + (body.usage?.completion_tokens ?? 0)
  const failed = kind === 'lost' || body.code
  const reply = readable(body.text ?? '').replace(/\s+/g, ' ').trim()
  const begins = reply.length > REPLY_CHARS ? `${reply.slice(0, REPLY_CHARS)}…` : reply
  const summary = el('summary', {}, purposeOf(body), failed ? el('span', { class: 'bad-ink small', text: ` · ${t('without a result')}` }) : begins && body.purpose !== 'root' ? el('span', { class: 'soft small' }, ' · ', foreign(begins)) : null)
  return el('li', {}, onDemand(summary, () => [
    el('p', { class: 'small soft', text: body.cached ? t('Stored before, costs nothing') : tn(tokens, '{n} token', '{n} tokens') }),
    read(body), el('p', { class: 'small soft label', text: t('Prompt') }), code(body.prompt),
    body.text ? [el('p', { class: 'small soft label', text: t('Reply') }), code(body.text)] : null, body.detail ? el('p', {}, foreign(body.detail)) : null]))
}

// The text of documents that was part of the prompt.
function read(body) {
  if (!body.spans?.length) return null
  return el('p', { class: 'small row' }, tn(body.spans_total ?? body.spans.length, 'Read {n} part of the documents:', 'Read {n} parts of the documents:'),
    body.spans.map((each, at) => el('button', {
      type: 'button', class: 'cite', text: at + 1, 'aria-label': t('Part {number}, {characters} characters', { number: at + 1, characters: number(each.end - each.start) }),
      onclick: () => openSource({ ...each, number: at + 1, title: '', place: '', heading_path: [], quote: '' }, [], { name: t('Part'), hint: t('This text was part of the prompt.') }),
    })))
}
