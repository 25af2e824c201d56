// Places in documents, such as “page 12” or “sheet Costs, row 3”, in the reader's language: the service names them in English.
import { t } from './text.js'

const WORDS = [
  [/^(.+), (rows? \d.*)$/s, (around, rows) => `${placeInWords(around)}, ${placeInWords(rows)}`],
  [/^page (\d+)$/, (n) => t('page {n}', { n })],
  [/^pages (\d+) to (\d+)$/, (first, last) => t('pages {first} to {last}', { first, last })],
  [/^slide (\d+)$/, (n) => t('slide {n}', { n })],
  [/^slides (\d+) to (\d+)$/, (first, last) => t('slides {first} to {last}', { first, last })],
  [/^sheet (.+)$/s, (name) => t('sheet {name}', { name })],
  [/^table (.+)$/s, (name) => t('table {name}', { name })],
  [/^row (\d+)$/, (n) => t('row {n}', { n })],
  [/^rows (\d+) to (\d+)$/, (first, last) => t('rows {first} to {last}', { first, last })],
]

export function placeInWords(place) {
  for (const [pattern, words] of WORDS) {
    const found = pattern.exec(place)
    if (found) return words(...found.slice(1))
  }
  return place
}
