// The records that a computed answer rests on: all of them beneath it, and those of one figure beside it.
import { openBeside } from './beside.js'
import { el, number, readable, say, trouble } from './dom.js'
import { icon } from './icons.js'
import { csv, download, orderByUse, rowNumber, tableOf } from './record_table.js'
import { get } from './rest.js'
import { t, tn } from './text.js'

const SHOWN = 50
const AT_ONCE = 500
const MOST = 100_000

export function behind(answer) {
  if (!answer.rows_behind_total || !answer.id) return null
  const body = el('div')
  return el('details', { ontoggle: (event) => { if (event.target.open && !body.hasChildNodes()) show(answer, {}, body, null) } },
    el('summary', { text: tn(answer.rows_behind_total, '{n} record behind it', '{n} records behind it') }), body)
}

// Says for a cell of the answer's table how its records are opened; null for one of which none are known.
export function figures(answer) {
  return (at, column, value) => {
    const count = countOf(answer, at + 1, column)
    if (!count) return null
    return {
      words: tn(count, '{value}: {n} record behind it', '{value}: {n} records behind it', { value: readable(value) }),
      open: () => openRecords(answer, { row: at + 1, column }, titleOf(answer, at, column), count),
    }
  }
}

// The number of records behind a cell, or behind its whole row; rows count from 1, and columns from 0.
export const countOf = (answer, row, column) => {
  const records = answer.table.records ?? []
  const found = records.find((each) => each.row === row && each.column === column) ?? records.find((each) => each.row === row && (each.column ?? null) === null)
  return found?.count
}

// Opens the records behind one cell beside the answer, or with an empty `cell` all records behind the answer.
export const openRecords = (answer, cell, title, count) => openBeside(title, (body) => show(answer, cell, body, null, count))

// Says what a figure counts: its value, its column, and what else stands in its row, such as "122 late orders, Germany".
export function titleOf(answer, at, column) {
  const { columns, rows, quantities = [] } = answer.table
  const row = rows[at]
  const isGroup = (value, each) => each !== column && typeof value === 'string' && value && !/^-?\d+(\.\d+)?$/.test(value) && !quantities.includes(each)
  const groups = row.map((value, each) => (isGroup(value, each) ? readable(value) : null)).filter(Boolean)
  const value = row[column]
  const isFigure = typeof value === 'number' || /^-?\d+(\.\d+)?$/.test(value)
  const shown = quantities.includes(column) && typeof value === 'number' ? number(value) : readable(value ?? '–')
  return [isFigure ? `${shown} ${readable(columns[column]).replaceAll('_', ' ')}` : shown, ...groups].join(', ')
}

async function show(answer, cell, body, cursor, count = answer.rows_behind_total) {
  try {
    const page = await get(`/v1/answers/${answer.id}/rows`, { ...cell, limit: SHOWN, cursor })
    const names = orderByUse(columnsOf(page.rows), answer.table?.sql)
    const values = (row) => names.map((name, at) => (row.gone ? (at ? null : t('deleted since')) : row.values[name]))
    const turn = (text, sign, to) => el('button', { type: 'button', onclick: () => show(answer, cell, body, to, count) }, icon(sign), text)
    body.replaceChildren(
      el('p', { class: 'small soft', text: page.rows.length < page.total
        ? tn(page.total, '{shown} of {n} record on this page', '{shown} of {n} records on this page', { shown: number(page.rows.length) })
        : tn(page.total, '{n} record', '{n} records') }),
      tableOf(names.length ? names : [t('Record')], page.rows.map((row) => (names.length ? values(row) : [t('deleted since')])), { caption: t('Records behind the answer'), numbers: page.rows.map(rowNumber) }),
      el('div', { class: 'row' },
        cursor ? turn(t('First records'), 'chevron-left', null) : null, page.next_cursor ? turn(t('Next records'), 'chevron-right', page.next_cursor) : null,
        el('button', { type: 'button', onclick: (event) => save(answer, cell, event.currentTarget) }, icon('download'),
          tn(count, 'Download this record (CSV)', 'Download all {n} records (CSV)'))))
  } catch (error) {
    body.replaceChildren(trouble(error))
  }
}

async function save(answer, cell, button) {
  button.disabled = true
  const found = []
  let cursor = null
  try {
    do {
      const page = await get(`/v1/answers/${answer.id}/rows`, { ...cell, limit: AT_ONCE, cursor })
      found.push(...page.rows)
      cursor = page.next_cursor
    } while (cursor && found.length < MOST)
    const names = columnsOf(found)
    download('records.csv', csv(['document', 'row', ...names], found.map((row) => [row.document_id, rowNumber(row), ...names.map((name) => row.values[name])])), 'text/csv;charset=utf-8')
    if (cursor) say(tn(found.length, 'The file has the first {n} record.', 'The file has the first {n} records.'))
  } catch (error) {
    button.after(trouble(error))
  } finally {
    button.disabled = false
  }
}

const columnsOf = (records) => [...new Set(records.flatMap((row) => Object.keys(row.values)))]
