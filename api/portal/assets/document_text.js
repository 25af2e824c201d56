// The text of a document, some pages of it at a time: formatted as the Markdown that the service wrote, or as it is.
// Positions count code points of the whole text, as spans do.
import { byId, inTurns } from './dom.js'
import { blocks, show } from './markdown.js'
import { marked, pointsIn, textOf, unitsOf } from './spans.js'

const PORTION = 20_000
const BEFORE = 4_000
const PLAIN_TEXT = /^(text\/(?!markdown|html)|application\/(json|javascript|x-(?!ipynb)))/

// Whether a file's text has no Markdown of its own, as programs and plain texts have none.
export const isPlain = (type) => PLAIN_TEXT.test(type)

// Shows a text of `length` code points. `cited` are the spans to mark, and `tables` the record tables in it.
export class TextView {
  constructor({ id, version, length, cited, tables = [], formatted = true, changed = () => {} }) {
    Object.assign(this, { id, version, length, cited: joined(cited), tables, formatted, changed })
    this.from = this.to = 0
    this.opened = 0
  }

  get place() { return byId('text') }

  // Shows the text anew from a position, or from the block that holds it.
  async open(start, { isBlock = false } = {}) {
    const mine = ++this.opened
    const begin = isBlock ? start : await this.blockStart(start)
    if (mine !== this.opened) return
    this.from = this.to = begin
    this.place.replaceChildren()
    this.place.classList.toggle('formatted', this.formatted)
    await this.later()
  }

  // Shows the block that begins at a position: by scrolling where it is on the page, or else by opening the text there. Returns what to scroll to.
  async find(start) {
    if (!this.formatted || start < this.from || start >= this.to) await this.open(start, { isBlock: true })
    return [...this.place.querySelectorAll('[data-start]')].findLast((each) => Number(each.dataset.start) <= start) ?? this.place
  }

  async later() {
    const mine = this.opened
    const begin = this.to
    let text = await textOf(this.id, begin, begin + PORTION, this.version)
    // guard: latest-part-shown
    if (mine !== this.opened || begin !== this.to) return // another part was opened meanwhile, or this one was asked for twice
    if (begin + PORTION < this.length) text = text.slice(0, this.formatted ? cutAt(text) : text.length)
    this.to = begin + pointsIn(text)
    await this.draw(text, begin, (each) => this.place.append(each))
    if (mine === this.opened) this.changed()
  }

  async earlier() {
    const mine = this.opened
    const end = this.from
    const start = Math.max(0, end - PORTION)
    let text = await textOf(this.id, start, end, this.version)
    if (mine !== this.opened || end !== this.from) return
    if (start > 0 && this.formatted) text = text.slice(startOf(text))
    this.from = end - pointsIn(text)
    const height = document.documentElement.scrollHeight
    const first = this.place.firstChild
    await this.draw(text, this.from, (each) => this.place.insertBefore(each, first))
    if (mine !== this.opened) return
    scrollBy(0, document.documentElement.scrollHeight - height)
    this.changed()
  }

  async draw(text, begin, put) {
    const mine = this.opened
    const add = (each) => { if (mine === this.opened) put(each) }
    if (!this.formatted) {
      for (const each of marked(text, begin, this.cited)) add(typeof each === 'string' ? document.createTextNode(each) : each)
      return
    }
    await inTurns(partsOf(text, begin, this.cited, this.tables), (make) => add(make()))
  }

  // The start of the block in which a position stands.
  async blockStart(start) {
    if (start <= 0 || !this.formatted) return Math.max(0, start)
    const from = Math.max(0, start - BEFORE)
    const text = await textOf(this.id, from, start, this.version)
    const at = text.lastIndexOf('\n\n')
    const cut = at >= 0 ? at + 2 : text.lastIndexOf('\n') + 1
    return from === 0 && cut <= 0 ? 0 : from + pointsIn(text.slice(0, cut || text.length))
  }
}

// Returns for each block of a text what makes its element, with the position of its start. The text begins at position
// `begin`; `cited` are spans of the whole text, in order and apart.
export function partsOf(text, begin, cited, tables = []) {
  const units = unitsOf(text)
  const end = begin + pointsIn(text)
  const head = headOf(text, begin, tables)
  const sentences = cited.filter((span) => span[0] < end && span[1] > begin)
    .map((span) => ({ start: head.length + units(Math.max(span[0], begin) - begin), end: head.length + units(Math.min(span[1], end) - begin), tag: 'mark' }))
  let [at, points] = [0, begin]
  return blocks(head + text).map((block) => {
    const from = Math.max(0, block.at - head.length)
    points += pointsIn(text.slice(at, from))
    at = from
    const start = points
    return () => {
      const [made] = show([block], { sentences })
      made.dataset.start = start
      return made
    }
  })
}

// The header of a table that a part of the text begins within, whose columns would have no names.
function headOf(text, begin, tables) {
  const [line, next = ''] = text.split('\n', 2)
  if (!line.startsWith('|') || /^\|( -+ \|)+$/.test(next)) return ''
  const table = tables.find((each) => each.start < begin && begin < each.end)
  const names = table ? table.columns.map((each) => each.name.replaceAll('|', '\\|')) : Array(Math.max(1, line.split(/(?<!\\)\|/).length - 2)).fill(' ')
  return `| ${names.join(' | ')} |\n|${' --- |'.repeat(names.length)}\n`
}

// Cuts a part of a text at blocks, as far as these leave the positions from `start` to `end` in it. Returns the part and
// where it begins.
export function wholeBlocks(text, begin, start, end) {
  const units = unitsOf(text)
  const [first, last] = [units(Math.max(0, start - begin)), units(Math.max(0, end - begin))]
  const before = begin > 0 ? text.lastIndexOf('\n\n', first - 2) : -1
  const earliest = begin > 0 ? text.indexOf('\n\n') : -1
  const from = before >= 0 ? Math.min(before, earliest) + 2 : begin > 0 ? text.lastIndexOf('\n', first - 1) + 1 : 0
  const after = text.lastIndexOf('\n\n')
  const to = after >= last ? after : text.length
  return [text.slice(from, to), begin + pointsIn(text.slice(0, from))]
}

// Where to end a part of a text: behind a block that is whole, or at least behind a line.
function cutAt(text) {
  let at = text.lastIndexOf('\n\n')
  while (at > 0 && isInCode(text.slice(0, at))) at = text.lastIndexOf('\n\n', at - 1)
  if (at > 0) return at + 2
  return text.lastIndexOf('\n') + 1 || text.length
}

const isInCode = (text) => (text.match(/^ {0,3}(```|~~~)/gm) ?? []).length % 2 === 1

const startOf = (text) => {
  const at = text.indexOf('\n\n')
  return at >= 0 && at + 2 < text.length ? at + 2 : 0
}

// Spans in order; those that overlap are one.
export function joined(spans) {
  const found = []
  for (const [start, end] of spans.filter((each) => each[0] < each[1]).sort((a, b) => a[0] - b[0])) {
    if (found.length && start < found.at(-1)[1]) found.at(-1)[1] = Math.max(found.at(-1)[1], end)
    else found.push([start, end])
  }
  return found
}

