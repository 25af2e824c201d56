// The steps of a run as they were logged, each sub-call below the code that made it; its budget and coverage as bars.
import { el, foreign, inTurns, money, number, onDemand, plural, readable, span } from './dom.js'
import { openSource } from './source.js'

const SHOWN_CALLS = 200
const LATEST = 5
export const STATES = {
  queued: ['soft waiting', 'Waiting'], running: ['soft waiting', 'Working'], paused: ['warn-ink', 'Waits for you'],
  completed: ['good', 'Complete'], partial: ['warn-ink', 'Not complete'], failed: ['bad bad-ink', 'Failed'], cancelled: ['soft', 'Cancelled'],
}
export const KINDS = ['start', 'resume', 'condensed', 'routed', 'retrieved', 'reading', 'planned', 'working', 'cell', 'checking', 'call', 'lost', 'paused', 'budget', 'raised']
export const BUDGETS = { calls: 'calls of the model', prompt_tokens: 'tokens read', completion_tokens: 'tokens written', tokens: 'tokens', dollars: 'dollars', seconds: 'seconds' }
// The purposes of calls as they are logged, in plain words; those that are not here are plain words.
const PURPOSES = { root: 'Writes the next code', llm_query: 'Reads a part for the code', judge: 'Checks sentences', route: 'Decides how to answer', condense: 'Makes the question stand alone', rewrite: 'Looks for other words', plan: 'Plans a computation', answer: 'Writes the answer' }
const STRATEGIES = { direct: 'Reads passages', table: 'Computes over tables', recursive: 'Works through the documents' }

export const stateOf = (run) => el('span', { class: `status ${STATES[run.state]?.[0] ?? 'soft'}`, text: STATES[run.state]?.[1] ?? run.state })
export const goesOn = (run) => run.state === 'queued' || run.state === 'running' || run.state === 'paused'

// Bars of what is spent of each limit, and of what was read, searched and not opened; without limits what was spent.
export function barsOf(run) {
  const used = usedOf(run)
  const limited = Object.keys(BUDGETS).filter((name) => run.budget[name])
  return [
    ...limited.map((name) => bar(spentOf(run, name), used[name] / run.budget[name])),
    ...(run.coverage ? coverage(run.coverage) : []),
    limited.length ? null : el('p', { class: 'small soft', text: `${plural(used.calls, 'call')} of the model (${number(used.cached)} kept ones), ${number(used.tokens)} tokens, ${span(used.seconds).replace('about ', '')}` }),
  ].filter(Boolean)
}

const usedOf = (run) => ({ ...run.usage, tokens: run.usage.prompt_tokens + run.usage.completion_tokens, seconds: run.seconds })

// How much of a limit is spent, in words.
export function spentOf(run, name) {
  const figure = (value) => (name === 'dollars' ? money(Number(value)) : number(Math.round(value)))
  return `${figure(usedOf(run)[name])} of ${figure(run.budget[name])}${name === 'dollars' ? '' : ` ${BUDGETS[name]}`}`
}

const bar = (words, share) => el('div', {}, el('p', { class: 'small', text: words }), el('progress', { max: 1, value: Math.min(1, share), 'aria-label': words }))

// Read by a model, searched by code, and not opened: three numbers, as they are counted.
function coverage(found) {
  const whole = found.tokens_in_scope || 1
  return [['read by a model', found.tokens_read], ['searched by code', found.tokens_searched], ['not opened', found.tokens_unopened]]
    .map(([words, count]) => bar(`${number(count)} tokens ${words}`, count / whole))
}

export class Steps {
  constructor(place) {
    this.place = place
    this.calls = []
    this.latest = null
    this.seen = 0
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
    if (body.withheld) return note('A step that is no longer shown, because a document of it was closed to you')
    switch (kind) {
      case 'call':
      case 'lost': this.calls.push([kind, body]); return null
      case 'cell': return this.cell(body)
      case 'condensed': return note(`Understood as: ${readable(body.question)}`)
      case 'routed': return note(`${STRATEGIES[body.strategy] ?? body.strategy}. ${readable(body.reason ?? '')} ${readable(body.estimate ?? '')}`)
      case 'retrieved': return note(`Found ${plural(body.passages, 'passage')}: ${readable((body.titles ?? []).slice(0, 5).join(', '))}`)
      case 'reading': return note(`Reads ${plural((body.titles ?? []).length, 'passage')}`)
      case 'planned': return el('li', {}, el('details', {}, el('summary', { text: 'Planned a computation' }), ...(body.steps ?? []).map((each) => el('p', {}, foreign(each))), code(body.sql)))
      case 'working': return note(`${readable(body.step)}: ${number(body.done)} of ${number(body.total)}`)
      case 'checking': return note(`Checks ${plural(body.sentences, 'sentence')}`)
      case 'resume': return note('Went on after an interruption')
      case 'paused': return note(`Its budget was met${BUDGETS[body.resource] ? ` (${BUDGETS[body.resource]})` : ''}, and it waited`)
      case 'budget': return note(body.pauses ? `Somebody added to its budget: ${limits(body.added)}` : 'It was told to end with what it has')
      default: return null
    }
  }

  // A sub-call is logged before the code that made it: until that has ended, the latest ones stand at the end.
  showLatest() {
    const fresh = this.calls.slice(this.seen).slice(-LATEST)
    if (!fresh.length) return
    this.seen = this.calls.length
    this.latest ??= el('li', {}, el('p', { class: 'small soft' }), el('ol', { class: 'calls' }))
    const [title, list] = this.latest.children
    title.textContent = `${plural(this.calls.length, 'call')} of the model so far, the latest:`
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
    const title = el('summary', {}, `Code ${number(body.number)}${body.depth ? `, level ${number(body.depth)}` : ''}${body.part ? ` (${readable(body.part)})` : ''}: `,
      body.error ? el('span', { class: 'bad-ink', text: 'an error, which the model sees' }) : plural(body.sub_calls ?? mine.length, 'sub-call'), ` in ${number(Math.round(body.seconds))} s`)
    return el('li', { class: `level-${Math.min(3, body.depth ?? 0)}` }, onDemand(title, () => [
      body.note ? el('p', {}, foreign(body.note)) : null, code(body.code), body.output ? [el('p', { class: 'small soft', text: 'Output' }), code(body.output)] : null,
      body.error ? code(body.error) : null, mine.length ? callsOf(mine) : null]))
  }
}

// The latest sub-calls; earlier ones on demand.
function callsOf(calls) {
  const made = el('ol', { class: 'calls' }, calls.slice(-SHOWN_CALLS).map((each) => call(...each)))
  const earlier = calls.slice(0, -SHOWN_CALLS)
  if (!earlier.length) return made
  const more = el('button', { type: 'button', class: 'quiet', text: `Show ${plural(earlier.length, 'earlier one')}`, onclick: () => {
    more.remove()
    inTurns(earlier.reverse(), (each) => made.prepend(call(...each)))
  } })
  return el('div', {}, more, made)
}

const limits = (added) => Object.entries(added ?? {}).map(([name, amount]) => `${number(Number(amount))} ${BUDGETS[name] ?? name}`).join(', ')
const note = (text) => el('li', { class: 'small', text })
const code = (text) => (text ? el('pre', { tabindex: 0 }, el('code', { class: 'foreign', dir: 'auto', text: readable(text) })) : null)

function call(kind, body) {
  const tokens = (body.usage?.prompt_tokens ?? 0) + (body.usage?.completion_tokens ?? 0)
  const title = el('summary', {}, foreign(PURPOSES[body.purpose] ?? body.purpose ?? 'A call'), ` · ${body.cached ? 'kept, costs nothing' : plural(tokens, 'token')}`, kind === 'lost' || body.code ? el('span', { class: 'bad-ink', text: ' · came to nothing' }) : null)
  return el('li', {}, onDemand(title, () => [
    code(body.prompt), read(body), body.text ? [el('p', { class: 'small soft', text: 'Reply' }), code(body.text)] : null, body.detail ? el('p', {}, foreign(body.detail)) : null]))
}

// The text of documents that stood in the prompt.
function read(body) {
  if (!body.spans?.length) return null
  return el('p', { class: 'small row' }, `It read ${plural(body.spans_total ?? body.spans.length, 'span')} of documents:`,
    body.spans.map((each, at) => el('button', {
      type: 'button', class: 'cite', text: at + 1, 'aria-label': `Span ${at + 1}, ${number(each.end - each.start)} characters`,
      onclick: () => openSource({ ...each, number: at + 1, title: '', place: '', heading_path: [], quote: '' }, [], { name: 'Span', hint: 'This text stood in the prompt of the sub-call.' }),
    })))
}
