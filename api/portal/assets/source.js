// A cited source beside the answer: its words at the exact span, the page of a PDF with boxes, or the rows of a table.
import { byId, el, foreign, plural, trouble } from './dom.js'
import { tableOf } from './record_table.js'
import { get } from './rest.js'
import { addressOf, marked, textOf } from './spans.js'

const AROUND = 1_200
const MOST_PAGES = 20
const MOST_PLACES = 20
let asked = 0
let opener = null

export async function openSource(citation, quotes, { name = 'Source', hint } = {}) {
  const mine = show(`${name} ${citation.number}`)
  const body = byId('beside-body')
  if (citation.deleted) {
    body.replaceChildren(el('p', { class: 'notice' }, el('strong', { text: 'No longer shown' }), 'The document was deleted or closed to you since this was answered.'))
    return focus()
  }
  const spans = (quotes.length ? quotes : [citation]).map((each) => [each.start, each.end]).sort((a, b) => a[0] - b[0])
  const start = spans[0][0]
  const end = Math.max(...spans.map((each) => each[1]))
  const shown = el('div', {}, el('p', { class: 'soft', text: 'Loading…' }))
  body.replaceChildren(
    el('p', {}, el('a', { href: addressOf(citation.document_id, spans) }, foreign(citation.title || 'Untitled')),
      el('span', { class: 'soft small', text: citation.place ? ` ${citation.place}` : '' }),
      citation.heading_path.length ? el('span', { class: 'small soft', text: ' · ' }) : null,
      citation.heading_path.length ? foreign(citation.heading_path.join(' › '), 'span', { class: 'small soft' }) : null),
    el('p', { class: 'hint', text: hint ?? (citation.verified ? 'The marked words were quoted, and found here exactly.' : citation.quote ? 'The marked words are what stands nearest to the sentence; they were not quoted.' : 'Nothing is marked: no words of the source were quoted.') }),
    shown)
  focus()
  try {
    const parts = await Promise.all([records(citation, spans, start, end), words(citation, spans, start, end), places(citation, spans)])
    if (mine !== asked) return
    shown.replaceChildren(...parts.flat())
    shown.querySelector('mark')?.scrollIntoView({ block: 'center' })
    byId('beside').scrollTop = 0
  } catch (error) {
    if (mine !== asked) return
    if (error.status === 409 || error.status === 404) {
      shown.replaceChildren(
        el('p', { class: 'notice' }, el('strong', { text: 'The document has changed since' }), 'Its text is another one now, so nothing is marked in it.', citation.quote ? ' These were the cited words:' : ''),
        citation.quote ? el('blockquote', {}, foreign(citation.quote)) : '')
    } else shown.replaceChildren(trouble(error))
  }
}

// Shows something else than a source beside the answer.
export function openBeside(title, fill) {
  show(title)
  const shown = el('div', {}, el('p', { class: 'soft', text: 'Loading…' }))
  byId('beside-body').replaceChildren(shown)
  byId('beside').scrollTop = 0
  focus()
  fill(shown)
}

function show(title) {
  if (!byId('beside').contains(document.activeElement)) opener = document.activeElement
  byId('beside').hidden = false
  byId('desk').classList.add('with-source')
  byId('beside-title').textContent = title
  return ++asked
}

const focus = () => byId('beside').focus({ preventScroll: true })

// Closes what stands beside, and goes back to what opened it.
function close() {
  asked += 1
  byId('beside').hidden = true
  byId('desk').classList.remove('with-source')
  document.querySelector('.cite[aria-pressed="true"]')?.setAttribute('aria-pressed', 'false')
  opener?.focus()
}

export function closable() {
  byId('close-beside').addEventListener('click', close)
  addEventListener('keydown', (event) => { if (event.key === 'Escape' && !byId('beside').hidden && !document.querySelector('dialog[open]')) close() })
}

async function words(citation, spans, start, end) {
  const from = Math.max(0, start - AROUND)
  const text = await textOf(citation.document_id, from, end + AROUND, citation.version_id)
  return [el('div', { class: 'source foreign', dir: 'auto', tabindex: 0, role: 'region', 'aria-label': 'Cited text' }, marked(text, from, spans))]
}

// The records of a table that the spans touch, between those around them.
async function records(citation, spans, start, end) {
  const path = `/v1/documents/${citation.document_id}/tables`
  const { version_id: version } = citation
  try {
    const found = await get(path, { version, limit: 500 })
    const table = found.tables.find((each) => each.start <= start && end <= each.end)
    if (!table) return []
    const names = table.columns.map((each) => each.name)
    let cursor = null
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      const page = await get(`${path}/${table.table}/rows`, { version, limit: 500, cursor })
      const touched = (row) => spans.some((span) => row.start < span[1] && span[0] < row.end)
      const first = page.rows.findIndex(touched)
      if (first >= 0) {
        const shown = page.rows.slice(Math.max(0, first - 2), page.rows.findLastIndex(touched) + 3).slice(0, 50)
        return [tableOf(['row', ...names], shown.map((row) => [row.row, ...names.map((name) => row.values[name])]),
          { caption: 'The cited records', marked: (at) => touched(shown[at]) })]
      }
      cursor = page.next_cursor
      if (!cursor) break
    }
  } catch { /* the words are shown all the same */ }
  return []
}

// Where the spans stand in the file itself: nothing for formats that have no positions.
async function places(citation, spans) {
  const path = `/v1/documents/${citation.document_id}/positions`
  let found
  try {
    found = await Promise.all(spans.slice(0, MOST_PLACES).map(([start, end]) => get(path, { start, end, version: citation.version_id })))
  } catch {
    return []
  }
  const pages = new Map()
  for (const box of found.flatMap((each) => each.boxes)) pages.set(box.page, [...(pages.get(box.page) ?? []), box])
  const sheets = [...pages].slice(0, 5).map(([page, boxes]) => sheet(citation, page, boxes))
  const cells = found.filter((each) => each.cells.length)
    .map((each) => el('p', { class: 'small soft', text: `In the file: ${each.place}, ${plural(each.cells.length, 'cell')}` }))
  return [...sheets, ...cells]
}

function sheet(citation, page, boxes) {
  const place = el('figure', { class: 'sheet' })
  const image = el('img', {
    src: `/v1/documents/${citation.document_id}/pages/${page}/image?version=${citation.version_id}`,
    alt: `Page ${page} with the cited words marked`,
  })
  image.addEventListener('error', () => place.remove())
  image.addEventListener('load', () => {
    place.lastElementChild.remove()
    for (const box of boxes) {
      const mark = el('div', { class: 'box' })
      Object.assign(mark.style, {
        left: `${box.left * 100}%`, top: `${box.top * 100}%`,
        width: `${(box.right - box.left) * 100}%`, height: `${(box.bottom - box.top) * 100}%`,
      })
      place.append(mark)
    }
  })
  place.append(image, el('p', { class: 'small soft', text: `Page ${page}…` }))
  return place
}
