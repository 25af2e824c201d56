// Shows the Markdown of a model as elements. Text, emphasis, headings, lists, quotations, code and tables are kept;
// links, images and HTML are no syntax here and stay the text they were written in. Nothing becomes HTML.
//
// Every piece of text knows where it stands in the source, so that sentences can be marked where they end.
import { el, readable } from './dom.js'

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$/
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/
const QUOTE = /^ {0,3}> ?/
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])([ \t]+|$)/
const DIVIDER = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/
const DEEPEST = 8
const FAR = 2_000
const TURN_MS = 20

// Returns the blocks at the top of a text, each with where it starts.
export function blocks(text, from = 0) {
  const lines = []
  let at = 0
  for (const line of text.split('\n')) {
    lines.push({ text: line, at: from + at })
    at += line.length + 1
  }
  return parse(lines, 0)
}

// Shows blocks; `context` has `cite(number, at)`, which makes the element of a marker or nothing, and `sentences`.
export function show(parsed, context) {
  const shown = new Shown(context)
  return parsed.map((block) => shown.block(block))
}

// Shows blocks in a place, at once as many as a moment holds and then more after each frame: a long answer must not keep
// the page from answering. Until all are there, the place says that it is busy.
export function showInTurns(place, parsed, context) {
  const shown = new Shown(context)
  let at = 0
  place.setAttribute('aria-busy', 'true')
  const turn = () => {
    const until = performance.now() + TURN_MS
    do {
      if (at >= parsed.length) { place.removeAttribute('aria-busy'); return }
      place.append(shown.block(parsed[at]))
      at += 1
    } while (performance.now() < until)
    setTimeout(turn)
  }
  turn()
}

function parse(lines, depth) {
  const found = []
  let at = 0
  while (at < lines.length) {
    const line = lines[at]
    if (!line.text.trim()) { at += 1; continue }
    const block = depth < DEEPEST ? structured(lines, at, depth) : null
    if (block) {
      found.push(block)
      at = block.next
      continue
    }
    const begun = at
    at += 1
    while (at < lines.length && lines[at].text.trim() && !interrupts(lines, at)) at += 1
    found.push({ kind: 'p', lines: lines.slice(begun, at).map(trimmed), at: line.at, next: at })
  }
  return found
}

const trimmed = (line) => {
  const left = line.text.length - line.text.trimStart().length
  return { text: line.text.trim(), at: line.at + left }
}

function interrupts(lines, at) {
  const { text } = lines[at]
  const item = ITEM.exec(text)
  return FENCE.test(text) || HEADING.test(text) || RULE.test(text) || QUOTE.test(text) || (item && item[3] !== '') || isTable(lines, at)
}

const isTable = (lines, at) =>
  lines[at].text.includes('|') && at + 1 < lines.length && lines[at + 1].text.includes('-') && DIVIDER.test(lines[at + 1].text) &&
  cells(lines[at]).length === cells(lines[at + 1]).length

function structured(lines, at, depth) {
  const line = lines[at]
  const fence = FENCE.exec(line.text)
  if (fence) return fenced(lines, at, fence[1])
  const heading = HEADING.exec(line.text)
  if (heading) {
    const text = heading[2]
    return { kind: `h${heading[1].length}`, lines: [{ text, at: line.at + line.text.indexOf(text, heading[1].length) }], at: line.at, next: at + 1 }
  }
  if (RULE.test(line.text)) return { kind: 'hr', at: line.at, next: at + 1 }
  if (QUOTE.test(line.text)) {
    let end = at
    while (end < lines.length && (QUOTE.test(lines[end].text) || (lines[end].text.trim() && !interrupts(lines, end)))) end += 1
    const inner = lines.slice(at, end).map((each) => cut(each, QUOTE.exec(each.text)?.[0].length ?? 0))
    return { kind: 'blockquote', blocks: parse(inner, depth + 1), at: line.at, next: end }
  }
  if (ITEM.test(line.text)) return list(lines, at, depth)
  if (isTable(lines, at)) {
    let end = at + 2
    while (end < lines.length && lines[end].text.trim() && lines[end].text.includes('|')) end += 1
    return { kind: 'table', head: cells(line), rows: lines.slice(at + 2, end).map(cells), at: line.at, next: end }
  }
  return null
}

const cut = (line, count) => ({ text: line.text.slice(count), at: line.at + count })

function fenced(lines, at, fence) {
  let end = at + 1
  const closes = (text) => text.trim().startsWith(fence[0].repeat(fence.length)) && !text.trim().replaceAll(fence[0], '')
  while (end < lines.length && !closes(lines[end].text)) end += 1
  return { kind: 'pre', lines: lines.slice(at + 1, end), at: lines[at].at, next: Math.min(end + 1, lines.length) }
}

function list(lines, at, depth) {
  const first = ITEM.exec(lines[at].text)
  const ordered = /\d/.test(first[2])
  const items = []
  let next = at
  while (next < lines.length) {
    const item = ITEM.exec(lines[next].text)
    if (!item || /\d/.test(item[2]) !== ordered || RULE.test(lines[next].text)) break
    const indent = item[0].length > 6 || !item[3] ? item[1].length + item[2].length + 1 : item[0].length
    const inner = [cut(lines[next], Math.min(indent, lines[next].text.length))]
    next += 1
    while (next < lines.length) {
      const { text } = lines[next]
      const spaces = text.length - text.trimStart().length
      if (!text.trim()) {
        const after = lines[next + 1]
        if (!after || (after.text.trim() && after.text.length - after.text.trimStart().length < indent)) break
        inner.push(cut(lines[next], text.length))
      } else if (spaces >= indent) inner.push(cut(lines[next], indent))
      else if (!ITEM.test(text) && !interrupts(lines, next) && lines[next - 1].text.trim()) inner.push(lines[next])
      else break
      next += 1
    }
    items.push(parse(inner, depth + 1))
    while (next < lines.length && !lines[next].text.trim() && lines[next + 1] && ITEM.test(lines[next + 1].text)) next += 1
  }
  return { kind: ordered ? 'ol' : 'ul', start: ordered ? Number.parseInt(first[2], 10) : null, items, at: lines[at].at, next }
}

// The cells of a row, each with where it stands; an escaped bar divides nothing.
function cells(line) {
  const found = []
  let begun = line.text.length - line.text.trimStart().length
  if (line.text[begun] === '|') begun += 1
  for (let at = begun; at <= line.text.length; at += 1) {
    if (at < line.text.length && (line.text[at] !== '|' || line.text[at - 1] === '\\')) continue
    if (at === line.text.length && !line.text.slice(begun).trim()) break
    found.push(trimmed({ text: line.text.slice(begun, at), at: line.at + begun }))
    begun = at + 1
  }
  return found
}

class Shown {
  constructor({ cite = () => null, sentences = [] } = {}) {
    this.cite = cite
    this.sentences = sentences
    this.next = 0
  }

  block(block) {
    switch (block.kind) {
      case 'hr': return el('hr')
      case 'pre': return el('pre', { tabindex: 0 }, this.verbatim(el('code', { class: 'foreign', dir: 'auto' }), block.lines))
      case 'blockquote': return el('blockquote', {}, block.blocks.map((each) => this.block(each)))
      case 'ul':
      case 'ol': return el(block.kind, { start: block.start !== 1 ? block.start : null }, block.items.map((item) => this.item(item)))
      case 'table': return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table' }, el('table', {},
        el('thead', {}, el('tr', {}, block.head.map((cell) => this.filled(el('th', { scope: 'col', dir: 'auto', class: 'foreign' }), [cell])))),
        el('tbody', {}, block.rows.map((row) => el('tr', {}, block.head.map((_, at) => this.filled(el('td', { dir: 'auto', class: 'foreign' }), row[at] ? [row[at]] : [])))))))
      case 'p': return this.filled(el('p', { dir: 'auto', class: 'foreign' }), block.lines)
      // A heading of an answer stands below those of the page.
      default: return this.filled(el(`h${Math.min(6, Number(block.kind[1]) + 2)}`, { dir: 'auto', class: 'foreign' }), block.lines)
    }
  }

  item(parsed) {
    const [first, ...rest] = parsed
    if (first?.kind !== 'p') return el('li', {}, parsed.map((each) => this.block(each)))
    const made = this.filled(el('li', { dir: 'auto', class: 'foreign' }), first.lines)
    made.append(...rest.map((each) => this.block(each)))
    return made
  }

  // Shows code, in which nothing is syntax.
  verbatim(place, lines) {
    const run = runOf(lines)
    this.text(place, run, 0, run.text.length)
    return place
  }

  filled(place, lines) {
    const run = runOf(lines)
    this.inline(place, run, 0, run.text.length, 0)
    this.flush(place, sourceAt(run, run.text.length))
    return place
  }

  inline(place, run, from, to, depth) {
    let plain = from
    let at = from
    const emit = (end) => { if (end > plain) this.text(place, run, plain, end) }
    while (at < to) {
      const token = depth < DEEPEST ? tokenAt(run.text, at, to) : null
      if (!token) { at += 1; continue }
      const made = token.kind === 'cite' ? this.cite(Number(token.inner), sourceAt(run, at)) : null
      if (token.kind === 'cite' && !made) { at = token.end; continue }
      emit(at)
      if (token.kind === 'escape') this.text(place, run, at + 1, token.end)
      else if (token.kind === 'code') {
        const code = el('code')
        place.append(code)
        this.text(code, run, token.from, token.to)
      }
      else if (token.kind === 'cite') place.append(made)
      else {
        const element = el(token.kind)
        place.append(element)
        this.inline(element, run, token.from, token.to, depth + 1)
      }
      this.flush(place, sourceAt(run, token.end))
      plain = at = token.end
    }
    emit(to)
  }

  // Appends text, divided where sentences begin and end.
  text(place, run, from, to) {
    let at = from
    while (at < to) {
      const source = sourceAt(run, at)
      this.flush(place, source)
      const sentence = this.sentences[this.next]
      const edge = sentence ? [sentence.start, sentence.end].find((each) => each > source) : undefined
      let end = to
      if (edge !== undefined && sourceAt(run, to - 1) >= edge) {
        end = at + 1
        while (end < to && sourceAt(run, end) < edge) end += 1
      }
      const inside = sentence && source >= sentence.start
      const shown = readable(run.text.slice(at, end))
      place.append(inside && (sentence.style || sentence.tag) ? el(sentence.tag ?? 'span', { class: sentence.style || null, text: shown }) : shown)
      at = end
      this.flush(place, sourceAt(run, at))
    }
  }

  flush(place, source) {
    while (this.next < this.sentences.length && this.sentences[this.next].end <= source) {
      const mark = this.sentences[this.next].mark?.()
      if (mark) place.append(el('span', { class: 'kept' }, '\u2060', mark))  // on the line on which its sentence ends
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

function tokenAt(text, at, to) {
  switch (text[at]) {
    case '\\': return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? '') && at + 1 < to ? { kind: 'escape', end: at + 2 } : null
    case '`': return codeAt(text, at, to)
    case '[': {
      const found = /^\[(\d{1,4})\]/.exec(text.slice(at, Math.min(to, at + 6)))
      return found ? { kind: 'cite', inner: found[1], end: at + found[0].length } : null
    }
    case '*':
    case '_': return emphasisAt(text, at, to)
    case '~': return text[at + 1] === '~' ? between(text, at, to, '~~', 'del') : null
    default: return null
  }
}

function codeAt(text, at, to) {
  const ticks = /^`+/.exec(text.slice(at, at + 20))[0]
  const end = text.slice(0, Math.min(to, at + FAR)).indexOf(ticks, at + ticks.length)
  if (end < 0 || text[end + ticks.length] === '`') return null
  const inner = text.slice(at + ticks.length, end)
  const from = at + ticks.length + (inner.length - inner.trimStart().length)
  return { kind: 'code', from, to: from + inner.trim().length, end: end + ticks.length }
}

function emphasisAt(text, at, to) {
  const sign = text[at]
  if (sign === '_' && /[\p{L}\p{N}]/u.test(text[at - 1] ?? '')) return null
  return text[at + 1] === sign ? between(text, at, to, sign + sign, 'strong') : between(text, at, to, sign, 'em')
}

function between(text, at, to, sign, kind) {
  const from = at + sign.length
  if (/\s/.test(text[from] ?? ' ')) return null
  const limit = Math.min(to, at + FAR)
  let end = text.indexOf(sign, from)
  while (end >= 0 && end < limit) {
    const doubled = sign.length === 1 && (text[end + 1] === sign || text[end - 1] === sign)
    const within = sign[0] === '_' && /[\p{L}\p{N}]/u.test(text[end + sign.length] ?? '')
    if (end > from && !/\s/.test(text[end - 1]) && !doubled && !within) return { kind, from, to: end, end: end + sign.length }
    end = text.indexOf(sign, end + 1)
  }
  return null
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
