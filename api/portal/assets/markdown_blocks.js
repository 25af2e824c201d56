// The blocks of a Markdown text: paragraphs, headings, lists, quotations, code, tables and formulas. Each line of a block
// has its `text`, the place in the source `at` which it starts, and its `end` in the source with all signs after the text.

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$/
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/
const QUOTE = /^ {0,3}> ?/
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])([ \t]+|$)/
const DIVIDER = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/
const DEEPEST = 8
const FORMULA = /^ {0,3}(?:\$\$|\\\[(?!\d{1,4}\\\]))/

// Returns the blocks of a text, each with the place in the source where it starts.
export function blocks(text, from = 0) {
  const lines = []
  const breaks = /\r\n|\r|\n/g
  let at = 0
  while (at <= text.length) {
    breaks.lastIndex = at
    const found = breaks.exec(text)
    const end = found ? found.index : text.length
    lines.push({ text: text.slice(at, end), at: from + at, end: from + end })
    if (!found) break
    at = breaks.lastIndex
  }
  return parse(lines, 0)
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
  return { text: line.text.trim(), at: line.at + left, end: line.end }
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
  const formula = FORMULA.test(line.text) ? displayed(lines, at) : null
  if (formula) return formula
  const heading = HEADING.exec(line.text)
  if (heading) {
    const text = heading[2]
    return { kind: `h${heading[1].length}`, lines: [{ text, at: line.at + line.text.indexOf(text, heading[1].length), end: line.end }], at: line.at, next: at + 1 }
  }
  if (RULE.test(line.text)) return { kind: 'hr', at: line.at, end: line.end, next: at + 1 }
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
    return { kind: 'table', head: row(line), rows: lines.slice(at + 2, end).map(row), at: line.at, next: end }
  }
  return null
}

const row = (line) => ({ cells: cells(line), end: line.end })
const cut = (line, count) => ({ text: line.text.slice(count), at: line.at + count, end: line.end })

function fenced(lines, at, fence) {
  let end = at + 1
  const closes = (text) => text.trim().startsWith(fence[0].repeat(fence.length)) && !text.trim().replaceAll(fence[0], '')
  while (end < lines.length && !closes(lines[end].text)) end += 1
  return { kind: 'pre', lines: lines.slice(at + 1, end), at: lines[at].at, end: lines[Math.min(end, lines.length - 1)].end, next: Math.min(end + 1, lines.length) }
}

// A formula that has its lines for itself, or null where it does not end, or where text follows it.
function displayed(lines, at) {
  const close = lines[at].text.trimStart().startsWith('$$') ? '$$' : '\\]'
  const first = lines[at].text.trimStart().slice(2)
  let end = at
  let text = first
  while (!text.includes(close)) {
    end += 1
    if (end >= lines.length || !lines[end].text.trim()) return null
    text += `\n${lines[end].text}`
  }
  const [tex, after] = [text.slice(0, text.indexOf(close)), text.slice(text.indexOf(close) + 2)]
  if (!tex.trim() || after.trim()) return null
  const source = lines.slice(at, end + 1).map((each) => each.text).join('\n')
  return { kind: 'formula', tex, text: source, at: lines[at].at, end: lines[end].end, next: end + 1 }
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
    found.push(trimmed({ text: line.text.slice(begun, at), at: line.at + begun, end: line.at + at }))
    begun = at + 1
  }
  return found
}
