// The records that a computed answer rests on: all of them beneath it, and those of one figure beside it.
import { el, number, plural, readable, say, trouble } from './dom.js'
import { csv, download, tableOf } from './record_table.js'
import { get } from './rest.js'
import { openBeside } from './source.js'

const SHOWN = 50
const AT_ONCE = 500
const MOST = 100_000

export function behind(answer) {
  if (!answer.rows_behind_total || !answer.id) return null
  const body = el('div')
  return el('details', { ontoggle: (event) => { if (event.target.open && !body.hasChildNodes()) show(answer, {}, body, null) } },
    el('summary', { text: `${plural(answer.rows_behind_total, 'record')} behind it` }), body)
}

// Says for a cell of the answer's table how its records are opened; null for one of which none are known.
export function figures(answer) {
  const counts = new Map((answer.table.records ?? []).map((each) => [`${each.row} ${each.column ?? ''}`, each.count]))
  return (at, column, value) => {
    const row = at + 1
    const count = counts.get(`${row} ${column}`) ?? counts.get(`${row} `)
    if (!count) return null
    return {
      words: `${readable(value)}: ${plural(count, 'record')} behind it`,
      open: () => openBeside(`Records behind ${readable(value)}`, (body) => show(answer, { row, column }, body, null, count)),
    }
  }
}

async function show(answer, cell, body, cursor, count = answer.rows_behind_total) {
  const all = count === 1 ? 'Download this record (CSV)' : `Download all ${number(count)} records (CSV)`
  try {
    const page = await get(`/v1/answers/${answer.id}/rows`, { ...cell, limit: SHOWN, cursor })
    const names = columnsOf(page.rows)
    const values = (row) => [row.row, ...names.map((name) => (row.gone ? 'deleted since' : row.values[name]))]
    const turn = (text, to) => el('button', { type: 'button', text, onclick: () => show(answer, cell, body, to, count) })
    body.replaceChildren(
      tableOf(['row', ...names], page.rows.map(values), { caption: 'Records behind the answer' }),
      el('p', { class: 'small soft', text: page.rows.length < page.total ? `${number(page.rows.length)} of ${plural(page.total, 'record')} on this page` : plural(page.total, 'record') }),
      el('div', { class: 'row' },
        cursor ? turn('First records', null) : null, page.next_cursor ? turn('Next records', page.next_cursor) : null,
        el('button', { type: 'button', text: all, onclick: (event) => save(answer, cell, event.target) })))
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
    download('records.csv', csv(['document', 'row', ...names], found.map((row) => [row.document_id, row.row, ...names.map((name) => row.values[name])])), 'text/csv;charset=utf-8')
    if (cursor) say(`The file has the first ${number(found.length)} records.`)
  } catch (error) {
    button.after(trouble(error))
  } finally {
    button.disabled = false
  }
}

const columnsOf = (records) => [...new Set(records.flatMap((row) => Object.keys(row.values)))]
