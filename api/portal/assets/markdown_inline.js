// The signs within a line of Markdown: escapes, code, numbers of sources, emphasis and formulas.
const FAR = 2_000

// Returns the token that starts `at` a place and ends before `to`, or null.
export function tokenAt(text, at, to) {
  switch (text[at]) {
    case '$': return dollarsAt(text, at, to)
    case '\\': return parenthesesAt(text, at, to) ?? (/[!-/:-@[-`{-~]/.test(text[at + 1] ?? '') && at + 1 < to ? { kind: 'escape', end: at + 2 } : null)
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

// A formula between dollars. Money is none: the first dollar follows no letter or digit, the last one precedes no digit,
// no space stands beside them within, and what begins with a number has no words after it ("$5 or 10$").
function dollarsAt(text, at, to) {
  if (/[\p{L}\p{N}$\\]/u.test(text[at - 1] ?? '')) return null
  const sign = text[at + 1] === '$' ? '$$' : '$'
  const from = at + sign.length
  const limit = Math.min(to, at + FAR)
  let end = text.indexOf(sign, from)
  while (end > 0 && text[end - 1] === '\\') end = text.indexOf(sign, end + 1)
  if (end <= from || end + sign.length > limit) return null
  const tex = text.slice(from, end)
  if (sign === '$' && (/^\s|\s$|\n/.test(tex) || /\d/.test(text[end + 1] ?? '') || /^[\d.,]+\s*\p{L}{2}/u.test(tex) || /^[\d.,]+\s.*\s\p{L}{2}/u.test(tex))) return null
  return { kind: 'formula', tex, display: sign === '$$', end: end + sign.length }
}

function parenthesesAt(text, at, to) {
  const close = { '(': '\\)', '[': '\\]' }[text[at + 1]]
  if (!close) return null
  const end = text.slice(0, Math.min(to, at + FAR)).indexOf(close, at + 2)
  const tex = end < 0 ? '' : text.slice(at + 2, end)
  // A bracket with a number alone is an escaped number of a source.
  return !tex.trim() || /^\d{1,4}$/.test(tex) ? null : { kind: 'formula', tex, display: close === '\\]', end: end + 2 }
}
