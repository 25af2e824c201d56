// Spans of a document's text. The service counts code points, and a string of this language counts UTF-16 units.
import { send } from './rest.js'
import { el, readable } from './dom.js'

export async function textOf(id, start, end, version) {
  const query = new URLSearchParams({ start, end })
  if (version) query.set('version', version)
  return (await send('GET', `/v1/documents/${id}/content?${query}`)).text()
}

// The index in a string of its code point number `points`.
export function unitsAt(text, points) {
  let at = 0
  for (let left = points; left > 0 && at < text.length; left -= 1) {
    at += text.codePointAt(at) > 0xffff ? 2 : 1
  }
  return at
}

// Returns a function from the index of a code point in a text to its index in the string. Indexes may come in any order.
export function unitsOf(text) {
  if (text.length === pointsIn(text)) return (points) => points
  const places = []
  for (let at = 0; at < text.length; at += text.codePointAt(at) > 0xffff ? 2 : 1) places.push(at)
  return (points) => places[points] ?? text.length
}

export const pointsIn = (text) => {
  let count = 0
  for (let at = 0; at < text.length; count += 1) at += text.codePointAt(at) > 0xffff ? 2 : 1
  return count
}

// The address of a document's page, with these spans of its text marked there.
export const addressOf = (id, spans) => `/library/${id}?${spans.map(([start, end]) => `start=${start}&end=${end}`).join('&')}`

// Shows a text that begins at code point `begin`, with these spans of the document marked. Spans are marked exactly:
// what is not wholly within the text is not marked at all.
export function marked(text, begin, spans) {
  const length = pointsIn(text)
  const within = spans.filter(([start, end]) => start >= begin && end <= begin + length && start < end)
    .sort((a, b) => a[0] - b[0])
  const parts = []
  let at = begin
  let units = 0
  for (const [start, end] of within) {
    if (end <= at) continue
    const from = units + unitsAt(text.slice(units), Math.max(start, at) - at)
    const to = from + unitsAt(text.slice(from), end - Math.max(start, at))
    parts.push(readable(text.slice(units, from)), el('mark', { text: readable(text.slice(from, to)) }))
    units = to
    at = end
  }
  parts.push(readable(text.slice(units)))
  return parts.filter((part) => part !== '')
}
