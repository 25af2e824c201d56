// The numbers of sample records in a computed answer, which follow one another: one chip stands for all records of a row
// of the result, and opens them.
import { el } from './dom.js'
import { icon } from './icons.js'
import { countOf, openRecords, titleOf } from './records_behind.js'
import { t, tn } from './text.js'

const NUMBERS = /\[\d{1,4}\](?: ?\[\d{1,4}\])*/g
const MOST_ROWS = 20 // as many rows of a result as the service lists in a sentence

// Returns what makes the element of the number `of` at a place in the answer's text: `cite`, except for records.
export function citeRecords(answer, cite) {
  const chains = chainsOf(answer)
  if (!chains.length) return cite
  return (of, at) => {
    const chain = chains.find((each) => each.start <= at && at < each.end)
    if (!chain) return cite(of, at)
    return chain.start === at ? chipOf(answer, chain) : document.createComment('')
  }
}

function chainsOf(answer) {
  if (answer.strategy !== 'table' || !answer.table || !answer.id || !answer.rows_behind_total) return []
  const citations = new Map(answer.citations.map((each) => [each.number, each]))
  const isOneDocument = (numbers) => new Set(numbers.map((each) => citations.get(each)?.document_id)).size === 1 && numbers.every((each) => citations.has(each) && !citations.get(each).deleted)
  const chains = [...answer.text.matchAll(NUMBERS)].filter((found) => !isInTable(answer.text, found.index))
    .map((found) => ({ start: found.index, end: found.index + found[0].length, numbers: found[0].match(/\d+/g).map(Number) }))
  if (!chains.every((chain) => isOneDocument(chain.numbers))) return []
  // A sentence about the whole result has one chain of numbers, and a list has one for each of its rows.
  if (chains.length === 1) return chains[0].numbers.length > 1 ? chains : []
  if (chains.length !== Math.min(answer.table.rows.length, MOST_ROWS)) return []
  return chains.map((chain, at) => ({ ...chain, row: at + 1 }))
}

const isInTable = (text, at) => text.slice(text.lastIndexOf('\n', at) + 1).startsWith('|')

function chipOf(answer, { row, numbers }) {
  const count = row ? countOf(answer, row, null) ?? numbers.length : Math.max(answer.rows_behind_total, numbers.length)
  const words = tn(count, '{n} record', '{n} records')
  const title = row ? titleOf(answer, row - 1, measureOf(answer, row - 1)) : t('Records behind the answer')
  return el('button', { type: 'button', class: 'cite records-chip', 'aria-label': `${words}: ${title}`, title, onclick: () => openRecords(answer, row ? { row } : {}, title, count) }, icon('table'), words)
}

// The column of the figure that a row is about: the first count or sum, or else the first figure.
function measureOf({ table }, at) {
  const quantity = (table.quantities ?? [])[0]
  if (quantity !== undefined) return quantity
  const figure = table.rows[at].findIndex((value) => typeof value === 'number' || /^-?\d+(\.\d+)?$/.test(value))
  return Math.max(0, figure)
}
