// Rows of a table: as a page of them, and as CSV that no spreadsheet takes for formulas.
import { el, foreign } from './dom.js'
import { t } from './text.js'

const SHORT = 20
// With the decimal point that other figures of the table have, whatever the reader's language.
const parted = new Intl.NumberFormat('en', { maximumFractionDigits: 20 })

// `numbers` are the numbers of the rows, shown in a first column that stays in place. `opens` says of a cell what
// pressing its figure opens: its name for those who cannot see it, and how. Only in columns of `quantities` are
// thousands parted: a separator would spoil years and numbers of orders.
export function tableOf(columns, rows, { caption, marked = () => false, opens = null, quantities = [], numbers = null } = {}) {
  const figures = columns.map((_, at) => isFigureColumn(rows, at))
  const numbered = (made, at) => (numbers ? [el('th', { scope: 'row', class: 'row-number', text: numbers[at] }), ...made] : made)
  const names = columns.map((name, at) => el('th', { scope: 'col', class: figures[at] ? 'right' : null }, foreign(name)))
  return el('div', { class: 'scroll records-scroll', tabindex: 0, role: 'region', 'aria-label': caption ?? t('Table') },
    el('table', { class: 'records' },
      el('thead', {}, el('tr', {}, numbers ? el('th', { scope: 'col', class: 'row-number', text: t('Row') }) : null, names)),
      el('tbody', {}, rows.map((row, at) => el('tr', { class: marked(at) ? 'cited' : null },
        numbered(row.map((value, column) => cell(value, opens && pressed(row, at, column, opens), quantities.includes(column), figures[column])), at))))))
}

// Moves the columns that a query uses to the front: records can be wider than the screen.
export function orderByUse(columns, sql) {
  const used = new Set(identifiers(sql ?? '').map(fold))
  return [...columns].sort((a, b) => used.has(fold(b)) - used.has(fold(a)))
}

// The number that places and file programs show: that of the file or sheet, which counts its header too.
export const rowNumber = (row) => row.file_row ?? row.row

const fold = (name) => name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '_')

// The names in a query, without the texts that it compares values with.
const identifiers = (sql) => [...sql.replace(/'(?:[^']|'')*'/g, ' ').matchAll(/"((?:[^"]|"")+)"|[\p{L}_][\p{L}\p{N}_]*/gu)].map((found) => found[1] ?? found[0])

const isNumber = (value) => typeof value === 'number' || (typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value))

// Decimal numbers come as strings, so that they stay exact.
const isFigureColumn = (rows, at) => {
  const values = rows.map((row) => row[at]).filter((value) => value !== null && value !== undefined && value !== '')
  return values.length > 0 && values.every(isNumber)
}

// Makes each figure a button, and in a row without figures the first cell.
function pressed(row, at, column, opens) {
  const figure = row.map(isNumber)
  return figure[column] || (column === 0 && !figure.includes(true)) ? opens(at, column, row[column]) : null
}

function cell(value, opening, quantity, right) {
  const figure = typeof value === 'number' && (quantity ? parted.format(value) : String(value))
  if (opening) {
    const button = el('button', { type: 'button', class: 'figure', 'aria-label': opening.words, title: opening.words, onclick: opening.open }, foreign(figure || (value ?? '–')))
    return el('td', { class: right ? 'right' : null }, button)
  }
  if (figure) return el('td', { class: 'right', text: figure })
  const text = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
  return el('td', { class: [text.length <= SHORT ? 'short' : '', right ? 'right' : ''].join(' ').trim() || null }, text && foreign(text))
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
