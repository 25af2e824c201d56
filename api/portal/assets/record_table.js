// Rows of a table: as a page of them, and as CSV that no spreadsheet takes for formulas.
import { el, foreign } from './dom.js'

const SHORT = 20
// With the decimal point that other figures of the table have, whatever the reader's language.
const parted = new Intl.NumberFormat('en', { maximumFractionDigits: 20 })

// `opens` says of a cell what pressing its figure opens: its name for those who cannot see it, and how. Only in columns
// of `quantities` are thousands parted: a separator would spoil years and numbers of orders.
export function tableOf(columns, rows, { caption, marked = () => false, opens = null, quantities = [] } = {}) {
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption ?? 'Table' },
    el('table', { class: 'records' },
      el('thead', {}, el('tr', {}, columns.map((name, at) => el('th', { scope: 'col', class: typeof rows[0]?.[at] === 'number' ? 'right' : null }, foreign(name))))),
      el('tbody', {}, rows.map((row, at) => el('tr', { class: marked(at) ? 'cited' : null }, row.map((value, column) => cell(value, opens && pressed(row, at, column, opens), quantities.includes(column))))))))
}

// What can be pressed: each figure, and in a row without figures its first cell.
function pressed(row, at, column, opens) {
  const figure = row.map((value) => typeof value === 'number' || /^-?\d+(\.\d+)?$/.test(value))
  return figure[column] || (column === 0 && !figure.includes(true)) ? opens(at, column, row[column]) : null
}

function cell(value, opening, quantity) {
  const figure = typeof value === 'number' && (quantity ? parted.format(value) : String(value))
  if (opening) {
    const button = el('button', { type: 'button', class: 'figure', 'aria-label': opening.words, title: opening.words, onclick: opening.open }, foreign(figure || (value ?? '–')))
    return el('td', { class: typeof value === 'number' ? 'right' : null }, button)
  }
  if (figure) return el('td', { class: 'right', text: figure })
  const text = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
  return el('td', { class: text.length <= SHORT ? 'short' : null }, text && foreign(text))
}

// A cell that a spreadsheet would compute begins with an apostrophe (OWASP, CSV injection). Numbers stay numbers.
export function csv(columns, rows) {
  const field = (value) => {
    if (value === null || value === undefined) return ''
    let text = typeof value === 'object' ? JSON.stringify(value) : String(value)
    if (typeof value !== 'number' && !/^-?\d+(\.\d+)?$/.test(text) && /^[\s]*[=+\-@\t\r|%]/.test(text)) text = `'${text}`
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  return [columns, ...rows].map((row) => row.map(field).join(',')).join('\r\n') + '\r\n'
}

export function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }))
  const link = el('a', { href: address, download: name })
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 1000)
}
