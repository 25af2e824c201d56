// Reading a document: its outline, its text as it is or formatted, the images of its pages, and its tables.
import { byId, el, foreign, number, trouble } from './dom.js'
import { isPlain, TextView } from './document_text.js'
import { icon } from './icons.js'
import { hasPageImages, pageViewer } from './page_viewer.js'
import { placeInWords } from './places.js'
import { rowNumber, tableOf } from './record_table.js'
import { get } from './rest.js'
import { t, tn } from './text.js'

const ROWS = 50
const MOST_PLACES = 20
const BEFORE = 2_000
const VIEW = 'leadline-document-view'
// The rows of such a file say more than its text, and come first.
const DELIMITED = new Set(['text/csv', 'text/tab-separated-values'])
const VIEWS = ['formatted', 'plain', 'pages']

// `cited` are the spans to mark; `fail` shows an error, with a way to try again if there is one.
export class Reading {
  constructor(id, cited, fail) {
    Object.assign(this, { id, cited, fail })
    this.reads = 0 // counts how often the document was shown anew: what was requested before is not shown in it
    this.cursor = null
    this.view = null
    this.text = null
    this.viewer = null
    for (const name of VIEWS) byId(`view-${name}`).addEventListener('click', () => { this.remember(name); this.choose(name).catch(fail) })
    byId('earlier').addEventListener('click', () => this.text.earlier().catch(fail))
    byId('later').addEventListener('click', () => this.text.later().catch(fail))
    byId('outline-more').addEventListener('click', () => this.outline().catch(fail))
    addEventListener('hashchange', () => { const start = startInHash(); if (start !== null) this.jump(start) })
  }

  async show(found) {
    this.reads += 1
    this.cursor = null
    this.found = found
    this.viewer = this.view = this.text = null
    byId('outline').replaceChildren()
    byId('view-pages').hidden = !hasPageImages(found.media_type)
    byId('view-formatted').hidden = isPlain(found.media_type)
    byId('view-plain').parentElement.hidden = isPlain(found.media_type)
    try {
      const [, tables] = await Promise.all([this.outline(), this.tables()])
      this.text = new TextView({ id: this.id, length: found.characters ?? 0, cited: this.cited, tables, formatted: true, changed: () => this.edges() })
      this.text.place.classList.toggle('keeps-lines', found.media_type !== 'text/markdown')
      await this.choose(this.preferred())
    } catch (error) {
      this.fail(error, () => this.show(found))
    }
  }

  preferred() {
    const kept = localStorage.getItem(VIEW)
    if (isPlain(this.found.media_type)) return 'plain'
    return kept === 'plain' || (kept === 'pages' && hasPageImages(this.found.media_type)) ? kept : 'formatted'
  }

  remember(view) {
    if (!isPlain(this.found.media_type)) localStorage.setItem(VIEW, view)
  }

  // Shows the formatted text, the plain text or the pages, at the position that was read before.
  async choose(view) {
    if (view === this.view) return
    const start = this.view === null ? startInHash() : this.position()
    this.view = view
    for (const name of VIEWS) byId(`view-${name}`).setAttribute('aria-pressed', String(name === view))
    const isText = view !== 'pages'
    byId('text').hidden = !isText
    byId('pages').hidden = isText
    byId('text-hint').hidden = !isText
    if (!isText) {
      byId('earlier').hidden = byId('later').hidden = true
      return this.showPages(start)
    }
    this.text.formatted = view === 'formatted'
    await this.text.open(start ?? Math.max(0, (this.cited[0]?.[0] ?? 0) - BEFORE))
    const mark = start === null && byId('text').querySelector('mark')
    if (mark) mark.scrollIntoView({ block: 'center' })
    else if (start) byId('text').scrollIntoView({ block: 'start' })
  }

  // The first position of the text that is in sight, or null at the beginning.
  position() {
    if (this.view === 'pages' || !byId('text').getBoundingClientRect || byId('text').getBoundingClientRect().top > 0) return null
    const seen = [...byId('text').querySelectorAll('[data-start]')].find((each) => each.getBoundingClientRect().bottom > 0)
    return seen ? Number(seen.dataset.start) : this.text.from
  }

  edges() {
    byId('earlier').hidden = this.view === 'pages' || this.text.from === 0
    byId('later').hidden = this.view === 'pages' || this.text.to >= (this.found.characters ?? 0)
  }

  async showPages(start) {
    const mine = this.reads
    if (this.viewer) return
    const boxes = await this.boxes()
    if (mine !== this.reads || this.viewer) return
    const page = start === null ? Math.min(...boxes.keys()) : await this.pageAt(start)
    this.viewer = pageViewer({ id: this.id, version: this.found.active_version, pages: this.found.pages, page: Number.isFinite(page) ? page : 1, boxes })
    byId('pages').replaceChildren(this.viewer.element)
  }

  async boxes() {
    const boxes = new Map()
    try {
      const found = await Promise.all(this.cited.slice(0, MOST_PLACES).map(([start, end]) => get(`/v1/documents/${this.id}/positions`, { start, end })))
      for (const box of found.flatMap((each) => each.boxes)) boxes.set(box.page, [...(boxes.get(box.page) ?? []), box])
    } catch { /* the pages are shown all the same */ }
    return boxes
  }

  async pageAt(start) {
    try {
      return (await get(`/v1/documents/${this.id}/positions`, { start, end: start + 200, limit: 1 })).boxes[0]?.page
    } catch {
      return undefined
    }
  }

  async outline() {
    const mine = this.reads
    const cursor = this.cursor
    const page = await get(`/v1/documents/${this.id}/outline`, { limit: 300, cursor })
    if (mine !== this.reads || cursor !== this.cursor) return
    // A heading says on which page it stands: only pages without one have an entry of their own.
    const headed = new Set(page.entries.filter((each) => each.kind === 'heading').map((each) => each.page))
    byId('outline').append(...page.entries.filter((each) => each.kind !== 'page' || !headed.has(each.page)).map((each) => this.entry(each)))
    this.cursor = page.next_cursor
    byId('outline-more').hidden = !this.cursor
    byId('outline-part').hidden = !byId('outline').children.length
  }

  entry(each) {
    const title = each.title || (each.kind === 'table' ? t('Table') : placeInWords(each.place))
    const depth = each.kind === 'heading' ? Math.min(4, each.level ?? 1) : 1
    const where = each.kind === 'heading' || each.kind === 'table' ? placeInWords(each.place ?? '') : ''
    const go = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return
      event.preventDefault()
      history.replaceState(null, '', `#at-${each.start}`)
      this.jump(each.start, each.page)
    }
    return el('li', { class: `depth-${depth} ${each.kind}` },
      el('a', { class: 'entry', href: `#at-${each.start}`, onclick: go }, foreign(title), where ? el('span', { class: 'where', text: where }) : null))
  }

  async jump(start, page) {
    if (!this.view) return // the address names the place, so the text opens there
    try {
      if (this.view === 'pages') {
        const at = page ?? await this.pageAt(start)
        if (at) this.viewer?.goTo(at)
        this.viewer?.focus()
        return
      }
      const place = await this.text.find(start)
      byId('text').focus({ preventScroll: true })
      place.scrollIntoView({ block: 'start' })
    } catch (error) {
      this.fail(error)
    }
  }

  async tables() {
    const mine = this.reads
    const page = await get(`/v1/documents/${this.id}/tables`, { limit: 50 })
    if (mine !== this.reads) return []
    byId('tables').hidden = byId('to-tables').hidden = !page.tables.length
    byId('to-tables').replaceChildren(icon('table'), tn(page.tables.length, '{n} table', '{n} tables'))
    byId('table-list').replaceChildren(...page.tables.map((table) => {
      const body = el('div')
      const size = tn(table.rows, '{n} row', '{n} rows')
      return el('details', { class: 'more', ontoggle: (event) => { if (event.target.open && !body.hasChildNodes()) this.rows(table, body, null) } },
        el('summary', {}, foreign(table.name || t('Table')), el('span', { class: 'soft small', text: size })),
        body)
    }))
    if (DELIMITED.has(this.found.media_type) && page.tables.length) {
      byId('earlier').before(byId('tables'))
      byId('table-list').firstElementChild.open = true
    }
    return page.tables
  }

  async rows(table, body, cursor) {
    try {
      const page = await get(`/v1/documents/${this.id}/tables/${table.table}/rows`, { limit: ROWS, cursor })
      const names = table.columns.map((column) => column.name)
      body.replaceChildren(
        tableOf(names, page.rows.map((row) => names.map((name) => row.values[name])), { caption: table.name || t('Table'), numbers: page.rows.map(rowNumber) }),
        el('div', { class: 'row end' },
          el('span', { class: 'soft small', text: tn(page.total, '{shown} of {n} row', '{shown} of {n} rows', { shown: number(page.rows.length) }) }),
          cursor ? el('button', { type: 'button', onclick: () => this.rows(table, body, null) }, icon('chevron-left'), t('First rows')) : null,
          page.next_cursor ? el('button', { type: 'button', onclick: () => this.rows(table, body, page.next_cursor) }, icon('chevron-right'), t('Next rows')) : null))
    } catch (error) {
      body.replaceChildren(trouble(error))
    }
  }
}

// The position that the address names behind "#at-", or null.
function startInHash() {
  const found = /^#at-(\d{1,12})$/.exec(location.hash)
  return found ? Number(found[1]) : null
}
