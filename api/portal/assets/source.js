// A cited source beside the answer: its words at the exact span, the page of a PDF with boxes, or the rows of a table.
import { focusBeside, isShown, showBeside } from './beside.js'
import { isPlain, joined, partsOf, wholeBlocks } from './document_text.js'
import { byId, el, foreign, trouble } from './dom.js'
import { icon } from './icons.js'
import { supportOf } from './marks.js'
import { placeInWords } from './places.js'
import { orderByUse, rowNumber, tableOf } from './record_table.js'
import { get } from './rest.js'
import { addressOf, marked, textOf } from './spans.js'
import { t } from './text.js'

export { closable, openBeside } from './beside.js'

const AROUND = 1_200
const MOST_PAGES = 20
const MOST_PLACES = 20
const NEIGHBOURS = 2
const MOST_ROWS = 50

// Opens a citation at the spans of `quotes`. The columns that the query `sql` uses come first in a table of records.
// `cited` has the sentences that cite it, each with the kind of its mark.
export async function openSource(citation, quotes, { name = t('Source'), hint, sql, cited = [] } = {}) {
  const mine = showBeside(`${name} ${citation.number}`)
  const body = byId('beside-body')
  if (citation.deleted) {
    body.replaceChildren(el('p', { class: 'notice' }, el('strong', { text: t('No longer shown') }), t('The document was deleted or closed to you since this was answered.')))
    return focusBeside()
  }
  const spans = (quotes.length ? quotes : [citation]).map((each) => [each.start, each.end]).sort((a, b) => a[0] - b[0])
  const start = spans[0][0]
  const end = Math.max(...spans.map((each) => each[1]))
  const says = el('p', { class: 'hint' }, hint ?? hintOf(citation, cited), hint ? null : supportOf(cited))
  const shown = el('div', {}, el('p', { class: 'soft', text: t('Loading…') }))
  body.replaceChildren(heading(citation, spans), says, shown)
  focusBeside()
  try {
    const file = get(`/v1/documents/${citation.document_id}`).catch(() => null)
    const [rows, text, place] = await Promise.all([records(citation, spans, start, end, sql), words(citation, spans, start, end, file), places(citation, spans, file)])
    if (!isShown(mine)) return
    // A row was computed with, not quoted.
    if (rows.length && !hint && !citation.verified) says.firstChild.replaceWith(t('The marked row is one of the records that the answer rests on.'))
    // The words of a row are those of its cells.
    const wording = rows.length ? [el('details', {}, el('summary', { text: t('The row as text') }), text)] : text
    shown.replaceChildren(...rows, ...wording, ...place)
    shown.querySelector('mark')?.scrollIntoView({ block: 'center' })
    byId('beside').scrollTop = 0
  } catch (error) {
    if (!isShown(mine)) return
    if (error.status === 409 || error.status === 404) {
      shown.replaceChildren(
        el('p', { class: 'notice' }, el('strong', { text: t('The document has changed since') }), t('Nothing is marked, because its text is no longer the text that was cited.'), citation.quote ? el('span', {}, ' ', t('These were the cited words:')) : ''),
        citation.quote ? el('blockquote', {}, foreign(citation.quote)) : '')
    } else shown.replaceChildren(trouble(error))
  }
}

function heading(citation, spans) {
  const address = addressOf(citation.document_id, spans)
  return el('div', { class: 'source-head' },
    el('p', {}, el('a', { href: address }, foreign(citation.title || t('Untitled'))),
      el('span', { class: 'soft small', text: citation.place ? ` ${placeInWords(citation.place)}` : '' }),
      citation.heading_path.length ? el('span', { class: 'small soft', text: ' · ' }) : null,
      citation.heading_path.length ? foreign(citation.heading_path.join(' › '), 'span', { class: 'small soft' }) : null),
    el('a', { class: 'button small', href: address }, icon('external-link'), t('Open document')))
}

// Words that were quoted for another sentence are not those of one whose own quotation is lost.
function hintOf(citation, cited) {
  const isLost = cited.length && cited.every(({ kind }) => kind === 'lost')
  if (citation.verified && !isLost) return t('The model quoted the marked words, and they are in the document exactly so.')
  return citation.quote ? t('The model did not quote the marked words: they are the part of the source closest to the sentence.') : t('Nothing is marked, because the model quoted no words of this source.')
}

async function words(citation, spans, start, end, file) {
  const from = Math.max(0, start - AROUND)
  const text = await textOf(citation.document_id, from, end + AROUND, citation.version_id)
  const type = (await file)?.media_type ?? 'text/plain'
  const place = el('div', { class: 'source foreign', dir: 'auto', tabindex: 0, role: 'region', 'aria-label': t('Cited text') })
  if (isPlain(type)) place.append(...marked(text, from, spans))
  else {
    place.classList.add('formatted')
    place.classList.toggle('keeps-lines', type !== 'text/markdown')
    place.append(...partsOf(...wholeBlocks(text, from, start, end), joined(spans)).map((make) => make()))
  }
  return [place]
}

// The records of a table that the spans touch, between those around them.
async function records(citation, spans, start, end, sql) {
  const path = `/v1/documents/${citation.document_id}/tables`
  const { version_id: version } = citation
  try {
    const found = await get(path, { version, limit: 500 })
    const table = found.tables.find((each) => each.start <= start && end <= each.end)
    if (!table) return []
    const names = orderByUse(table.columns.map((each) => each.name), sql)
    let cursor = null
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      const page = await get(`${path}/${table.table}/rows`, { version, limit: 500, cursor })
      const touched = (row) => spans.some((span) => row.start < span[1] && span[0] < row.end)
      const first = page.rows.findIndex(touched)
      if (first >= 0) {
        const shown = page.rows.slice(Math.max(0, first - NEIGHBOURS), page.rows.findLastIndex(touched) + NEIGHBOURS + 1).slice(0, MOST_ROWS)
        return [tableOf(names, shown.map((row) => names.map((name) => row.values[name])),
          { caption: t('The cited records'), marked: (at) => touched(shown[at]), numbers: shown.map(rowNumber) })]
      }
      cursor = page.next_cursor
      if (!cursor) break
    }
  } catch { /* the words are shown all the same */ }
  return []
}

// Where the spans stand in the file itself: nothing for formats that have no positions.
async function places(citation, spans, file) {
  const { document_id: id, version_id: version } = citation
  let found
  try {
    found = await Promise.all(spans.slice(0, MOST_PLACES).map(([start, end]) => get(`/v1/documents/${id}/positions`, { start, end, version })))
  } catch {
    return []
  }
  const boxes = new Map()
  for (const box of found.flatMap((each) => each.boxes)) boxes.set(box.page, [...(boxes.get(box.page) ?? []), box])
  const cells = [...new Set(found.filter((each) => each.cells.length).map((each) => each.place))]
    .map((place) => el('p', { class: 'small soft', text: t('In the file: {place}', { place }) }))
  return [...(boxes.size ? await viewerOf(id, version, boxes, await file) : []), ...cells]
}

// The viewer is loaded when it is first needed, so that the page itself loads less. The words are shown without it, too.
async function viewerOf(id, version, boxes, file) {
  const { hasPageImages, pageViewer } = await import('./page_viewer.js').catch(() => ({}))
  if (!file || !hasPageImages?.(file.media_type)) return []
  const viewer = pageViewer({ id, version, pages: file.pages, page: Math.min(...boxes.keys()), boxes, failed: () => viewer.element.remove() })
  return [viewer.element]
}
