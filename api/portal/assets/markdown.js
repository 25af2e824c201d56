// Shows the Markdown of a model as elements. Text, emphasis, headings, lists, quotations, code and tables are kept;
// links, images and HTML are no syntax here and stay the text they were written in. Nothing becomes HTML. Formulas are
// typeset by a library that is loaded with the first of them.
//
// Every piece of text knows where it stands in the source, so that sentences can be marked where they end.
import { el, readable } from './dom.js'
import { blocks } from './markdown_blocks.js'
import { tokenAt } from './markdown_inline.js'
import { t } from './text.js'
import { sayWithheld } from './withheld.js'

export { blocks }

const DEEPEST = 8
const TURN_MS = 20
const STOPS = /^[.,;:!?\u2026\u3002\uff01\uff1f]+(?=$|[\s|)\]*_"'\u201d\u2019])/
const JOINED = '\u2060'
// A number stays on the line of its sign, as in “5 %”.
const joinSigns = (text) => text.replace(/(\d) (?=[%‰°\p{Sc}])/gu, '$1\u00a0')

// Shows blocks; `context` has `cite(number, at)`, which makes the element of a marker or nothing, and `sentences`.
// A sentence has its `start` and `end`, a function `mark` that makes what stands behind it, and a `style` or `tag` for its text.
export function show(parsed, context) {
  const shown = new Shown(context)
  const made = parsed.map((block) => shown.block(block))
  if (made.length) shown.flush(made.at(-1), Infinity)
  return made
}

// Shows blocks in a place, at once as many as a moment holds and then more after each frame: a long answer must not keep
// the page from answering. Until all are there, the place says that it is busy.
export function showInTurns(place, parsed, context) {
  const shown = new Shown(context)
  const steps = shown.steps(place, parsed)
  place.setAttribute('aria-busy', 'true')
  const turn = () => {
    const until = performance.now() + TURN_MS
    do {
      if (steps.next().done) {
        shown.flush(place.lastElementChild ?? place, Infinity)
        place.removeAttribute('aria-busy')
        return
      }
    } while (performance.now() < until)
    setTimeout(turn)
  }
  turn()
}

class Shown {
  constructor({ cite = () => null, sentences = [] } = {}) {
    this.cite = cite
    this.sentences = sentences
    this.next = 0
  }

  // Yields after each block, and within a table of its own after each row: a table can be most of an answer.
  * steps(place, parsed) {
    for (const block of parsed) {
      if (block.kind === 'table') {
        const { made, body } = this.table(block)
        place.append(made)
        for (const row of block.rows) {
          body.append(this.row(row, block.head.cells.length, 'td', {}))
          yield
        }
      } else {
        place.append(this.block(block))
        yield
      }
    }
  }

  // A table with its head, and the body that its rows go into.
  table(block) {
    const body = el('tbody')
    const head = el('thead', {}, this.row(block.head, block.head.cells.length, 'th', { scope: 'col' }))
    const made = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': t('Table') }, el('table', {}, head, body))
    return { made, body }
  }

  block(block) {
    switch (block.kind) {
      case 'hr': return this.followed(el('hr'), block.end)
      case 'pre': return this.followed(el('pre', { tabindex: 0 }, this.verbatim(el('code', { class: 'foreign', dir: 'auto' }), block.lines)), block.end)
      case 'formula': return this.followed(el('div', { class: 'formulas' }, formula(block.tex, block.text, true)), block.end)
      case 'blockquote': return el('blockquote', {}, block.blocks.map((each) => this.block(each)))
      case 'ul':
      case 'ol': return el(block.kind, { start: block.start !== 1 ? block.start : null }, block.items.map((item) => this.item(item)))
      case 'table': {
        const { made, body } = this.table(block)
        body.append(...block.rows.map((row) => this.row(row, block.head.cells.length, 'td', {})))
        return made
      }
      case 'p': return this.filled(el('p', { dir: 'auto', class: 'foreign' }), block.lines)
      // A heading of an answer stands below those of the page.
      default: return this.filled(el(`h${Math.min(6, Number(block.kind[1]) + 2)}`, { dir: 'auto', class: 'foreign' }), block.lines)
    }
  }

  // A row's mark stands in its last cell with text: the row's sentence ends after the bar behind it.
  row(row, columns, tag, properties) {
    const last = Math.max(0, Math.min(row.cells.length, columns) - 1)
    return el('tr', {}, Array.from({ length: columns }, (_, at) => {
      const cell = row.cells[at]
      const made = this.filled(el(tag, { dir: 'auto', class: 'foreign', ...properties }), cell ? [cell] : [])
      // guard: mark-in-own-row
      if (at === last) this.flush(made, row.end)
      return made
    }))
  }

  // An element that holds no text of its own, with the marks of the sentences that end in it below.
  followed(element, end) {
    const marks = el('p', { class: 'marks' })
    this.flush(marks, end)
    return marks.hasChildNodes() ? el('div', {}, element, marks) : element
  }

  item(parsed) {
    const [first, ...rest] = parsed
    if (first?.kind !== 'p') return el('li', {}, parsed.map((each) => this.block(each)))
    const made = this.filled(el('li', { dir: 'auto', class: 'foreign' }), first.lines)
    made.append(...rest.map((each) => this.block(each)))
    return made
  }

  // Shows code, in which nothing is syntax, and no marks stand.
  verbatim(place, lines) {
    const run = runOf(lines)
    this.text(place, run, 0, run.text.length, { marks: false })
    return place
  }

  filled(place, lines) {
    const run = runOf(lines)
    this.inline(place, run, 0, run.text.length, 0)
    if (lines.length) this.flush(place, lines.at(-1).end)
    return place
  }

  inline(place, run, from, to, depth) {
    let plain = from
    let at = from
    const emit = (end) => { if (end > plain) this.text(place, run, plain, end) }
    while (at < to) {
      const token = depth < DEEPEST ? tokenAt(run.text, at, to) : null
      const cited = token?.kind === 'cite' ? this.cited(run, at, to) : null
      if (!token || (token.kind === 'cite' && !cited.made.length)) { at = token?.end ?? at + 1; continue }
      if (cited) {
        emit(plain + run.text.slice(plain, at).trimEnd().length)
        // The full stop goes before the numbers, beside its word.
        if (cited.stop > cited.end) this.text(place, run, cited.end, cited.stop, { marks: false })
        place.append(el('span', { class: 'kept' }, JOINED, cited.made[0]), ...cited.made.slice(1))
        at = cited.stop
      } else {
        emit(at)
        if (token.kind === 'escape') this.text(place, run, at + 1, token.end)
        else if (token.kind === 'code') {
          const code = el('code')
          place.append(code)
          this.text(code, run, token.from, token.to, { marks: false })
        } else if (token.kind === 'formula') place.append(formula(token.tex, run.text.slice(at, token.end), token.display))
        else {
          const element = el(token.kind)
          place.append(element)
          this.inline(element, run, token.from, token.to, depth + 1)
        }
        at = token.end
      }
      this.flush(place, sourceAt(run, at))
      plain = at
    }
    emit(to)
  }

  // The elements of the numbers that follow one another, where they end, and where the full stop behind them ends.
  cited(run, from, to) {
    const made = []
    let end = from
    for (let at = from; at < to;) {
      const token = tokenAt(run.text, at, to)
      const element = token?.kind === 'cite' ? this.cite(Number(token.inner), sourceAt(run, at)) : null
      if (!element) break
      made.push(element)
      at = end = token.end
      while (run.text[at] === ' ') at += 1
    }
    // A chip that says "53 records" stands beside its word, before the comma.
    const worded = made.some((each) => each.classList?.contains('records-chip'))
    return { made, end, stop: end + (worded ? 0 : STOPS.exec(run.text.slice(end, to))?.[0].length ?? 0) }
  }

  // Appends text, divided where sentences begin and end.
  text(place, run, from, to, { marks = true } = {}) {
    let at = from
    while (at < to) {
      const source = sourceAt(run, at)
      if (marks) this.flush(place, source)
      const sentence = this.sentences.find((each, number) => number >= this.next && each.end > source)
      const edge = sentence ? [sentence.start, sentence.end].find((each) => each > source) : undefined
      let end = to
      if (edge !== undefined && sourceAt(run, to - 1) >= edge) {
        end = at + 1
        while (end < to && sourceAt(run, end) < edge) end += 1
      }
      const inside = sentence && source >= sentence.start
      const said = readable(sayWithheld(run.text.slice(at, end)))
      const shown = marks ? joinSigns(said) : said  // code stays as it is written
      place.append(inside && (sentence.style || sentence.tag) ? el(sentence.tag ?? 'span', { class: sentence.style || null, text: shown }) : shown)
      at = end
      if (marks) this.flush(place, sourceAt(run, at))
    }
  }

  flush(place, source) {
    while (this.next < this.sentences.length && this.sentences[this.next].end <= source) {
      const mark = this.sentences[this.next].mark?.()
      if (mark) place.append(el('span', { class: 'kept' }, JOINED, mark))  // on the line on which its sentence ends
      this.next += 1
    }
  }
}

function runOf(lines) {
  const run = { text: lines.map((line) => line.text).join('\n'), lines, starts: [] }
  let at = 0
  for (const line of lines) {
    run.starts.push(at)
    at += line.text.length + 1
  }
  return run
}

function sourceAt(run, at) {
  let [line, after] = [0, run.starts.length]
  while (after - line > 1) {
    const middle = (line + after) >> 1
    if (run.starts[middle] <= at) line = middle
    else after = middle
  }
  return run.lines.length ? run.lines[line].at + (at - run.starts[line]) : 0
}

// A formula, which stays the text it was written in where the library does not know it.
function formula(tex, source, display) {
  const place = el('span', { class: display ? 'formula displayed' : 'formula', text: readable(source) })
  import('./formulas.js').then(({ typeset }) => typeset(place, tex, display)).catch(() => {})
  return place
}

// Shows a text that grows: what is above the last block is shown once, and only the last block again and again.
export class Growing {
  constructor(place, context) {
    this.place = place
    this.context = context
    this.text = ''
    this.stable = 0
    this.last = []
    this.timer = null
  }

  add(text) {
    this.text += text
    this.timer ??= setTimeout(() => { this.timer = null; this.draw() }, 60)
  }

  draw() {
    const found = blocks(this.text.slice(this.stable), this.stable)
    for (const each of this.last) each.remove()
    const settled = found.slice(0, -1)
    this.place.append(...show(settled, this.context))
    this.last = show(found.slice(-1), this.context)
    this.place.append(...this.last)
    if (settled.length) this.stable = found.at(-1).at
  }

  // Shows what has come and was not yet shown, and takes nothing more.
  end() {
    const waits = this.timer !== null && this.timer !== -1
    clearTimeout(this.timer)
    this.timer = -1
    if (waits) this.draw()
  }
}
