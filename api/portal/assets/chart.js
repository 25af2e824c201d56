// A simple chart of a computed table that is a series or has groups. The table stays the truth; the chart pictures it.
import { el, readable } from './dom.js'
import { LOCALE } from './locale.js'
import { t, tn, tp } from './text.js'

const SVG = 'http://www.w3.org/2000/svg'
const MOST = 60
const ROW = 24
const LINE_HEIGHT = 200
const WIDEST = 640
const BESIDE = 12
const shown = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 2 })

// The width of a text in the type of the chart, in pixels.
let ruler = null
function widthOf(text) {
  if (!ruler) {
    ruler = document.createElement('canvas').getContext('2d')
    const style = getComputedStyle(document.documentElement)
    ruler.font = `${Number.parseFloat(style.getPropertyValue('--size-small')) * Number.parseFloat(style.fontSize)}px ${style.fontFamily}`
  }
  return ruler.measureText(text).width
}

// Returns the chart, or null for a table of any other shape.
export function chartOf(columns, rows) {
  if (rows.length < 2 || rows.length > MOST) return null
  const label = columns.findIndex((_, at) => labels(rows, at))
  const values = columns.map((_, at) => at).filter((at) => at !== label && figures(rows, at))
  if (label < 0 || !values.length) return null
  const place = el('div')
  const draw = (at) => place.replaceChildren(picture(columns[label], columns[at], rows.map((row) => [String(row[label]), row[at] === null ? null : Number(row[at])]), isSeries(rows, label)))
  const choice = values.length > 1 && el('label', { class: 'inline small' }, tp('Show {column}', { column: el('select', { onchange: (event) => draw(Number(event.target.value)) },
    values.map((at) => el('option', { value: at, text: readable(columns[at]) }))) }))
  draw(values[0])
  return el('figure', { class: 'chart' }, choice || null, place)
}

const isDate = (value) => typeof value === 'string' && /^\d{4}(-\d\d){1,2}([T ]|$)/.test(value)
const isYear = (value) => Number.isInteger(value) && value >= 1000 && value < 3000
const rising = (values) => values.every((value, at) => !at || values[at - 1] < value)

// A column that names rows: different texts, or years that rise.
function labels(rows, at) {
  const values = rows.map((row) => row[at])
  if (values.every(isYear)) return rising(values)
  return values.every((value) => typeof value === 'string' && value.trim() && !isFigure(value)) && new Set(values).size === values.length
}

const isSeries = (rows, at) => {
  const values = rows.map((row) => row[at])
  return (values.every(isYear) || values.every(isDate)) && rising(values)
}

const isFigure = (value) => (typeof value === 'number' ? Number.isFinite(value) : typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value))
const figures = (rows, at) => rows.every((row) => row[at] === null || isFigure(row[at])) && rows.filter((row) => row[at] !== null).length > 1

function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  if (text !== undefined) made.textContent = text
  return made
}

function picture(labelName, valueName, points, series) {
  const width = Math.max(240, Math.min(WIDEST, innerWidth - 64))
  const made = series ? lines(points, width) : bars(points, width)
  const title = t('{values} by {labels}', { values: readable(valueName), labels: readable(labelName) })
  made.setAttribute('role', 'img')
  made.setAttribute('aria-label', tn(points.length, 'Chart of {title}: {n} value, which is that of the table', 'Chart of {title}: {n} values, which are those of the table', { title }))
  return el('div', {}, el('figcaption', { class: 'small soft', text: title }), made)
}

// Shortens a text to a width in pixels.
function cut(text, most) {
  let letters = [...readable(text)]
  if (widthOf(letters.join('')) <= most) return letters.join('')
  while (letters.length > 1 && widthOf(`${letters.join('')}…`) > most) letters = letters.slice(0, -1)
  return `${letters.join('')}…`
}

function bars(points, width) {
  const values = points.map(([, value]) => value ?? 0)
  const [least, most] = [Math.min(0, ...values), Math.max(0, ...values)]
  const left = Math.ceil(Math.min(width * 0.4, Math.max(...points.map(([label]) => widthOf(readable(label)))) + BESIDE))
  const right = Math.ceil(Math.max(...values.map((value) => widthOf(shown.format(value)))) + BESIDE)
  const scale = (width - left - right) / (most - least || 1)
  const zero = left - least * scale
  const made = svg('svg', { width, height: points.length * ROW, viewBox: `0 0 ${width} ${points.length * ROW}` })
  points.forEach(([label, value], at) => {
    const middle = at * ROW + ROW / 2
    const end = zero + (value ?? 0) * scale
    made.append(svg('text', { class: 'label', x: left - 8, y: middle, 'text-anchor': 'end', 'dominant-baseline': 'central' }, cut(label, left - 8)))
    if (value === null) return
    const bar = svg('rect', { class: 'bar', x: Math.min(zero, end), y: at * ROW + 4, width: Math.max(1, Math.abs(end - zero)), height: ROW - 8 })
    bar.append(svg('title', {}, `${readable(label)}: ${shown.format(value)}`))
    made.append(bar, svg('text', { class: 'value', x: Math.max(zero, end) + 6, y: middle, 'dominant-baseline': 'central' }, shown.format(value)))
  })
  made.append(svg('line', { class: 'axis', x1: zero, x2: zero, y1: 0, y2: points.length * ROW }))
  return made
}

function lines(points, width) {
  const values = points.filter(([, value]) => value !== null).map(([, value]) => value)
  const [least, most] = [Math.min(0, ...values), Math.max(0, ...values)]
  const left = Math.ceil(Math.max(widthOf(shown.format(most)), widthOf(shown.format(least))) + BESIDE)
  const bottom = LINE_HEIGHT - 24
  const across = (at) => left + (width - left - 24) * (at / (points.length - 1))
  const down = (value) => 12 + (bottom - 12) * (1 - (value - least) / (most - least || 1))
  const made = svg('svg', { width, height: LINE_HEIGHT, viewBox: `0 0 ${width} ${LINE_HEIGHT}` })
  for (const value of new Set([least, most])) {
    made.append(svg('line', { class: 'axis', x1: left, x2: width - 16, y1: down(value), y2: down(value) }),
      svg('text', { class: 'label', x: left - 8, y: down(value), 'text-anchor': 'end', 'dominant-baseline': 'central' }, shown.format(value)))
  }
  const known = points.map(([label, value], at) => [label, value, at]).filter(([, value]) => value !== null)
  made.append(svg('polyline', { class: 'line', points: known.map(([, value, at]) => `${across(at)},${down(value)}`).join(' ') }))
  for (const [label, value, at] of known) {
    const dot = svg('circle', { class: 'dot', cx: across(at), cy: down(value), r: 4 })
    dot.append(svg('title', {}, `${readable(label)}: ${shown.format(value)}`))
    made.append(dot)
  }
  for (const at of [0, points.length - 1]) {
    made.append(svg('text', { class: 'label', x: across(at), y: LINE_HEIGHT - 6, 'text-anchor': at ? 'end' : 'start' }, cut(points[at][0], width / 3)))
  }
  return made
}
