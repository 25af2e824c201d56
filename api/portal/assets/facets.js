// The facets of the library: counts of the listed documents by kind, subject, period and more, to choose from.
import { byId, el, foreign, number, readable } from './dom.js'
import { LOCALE } from './locale.js'
import { get } from './rest.js'
import { t, tn } from './text.js'

const FIELDS = [['kind', t('Kind')], ['periods', t('Period')], ['subjects', t('Subject')], ['dates', t('Date')], ['version', t('Version')], ['language', t('Language')]]
const NAMES = FIELDS.map(([name]) => name)
const SHOWN = 6
const MOST = 100
const languages = new Intl.DisplayNames(LOCALE, { type: 'language' })

export class Facets {
  // `changed()` is called when somebody has chosen or removed a value.
  constructor(changed) {
    this.changed = changed
    this.chosen = new Map(NAMES.map((name) => [name, new Set()]))
    this.opened = new Set() // fields that show all their values
    this.asked = 0
    byId('facets').open = matchMedia('(min-width: 64rem)').matches
    byId('facets').addEventListener('change', (event) => this.choose(event.target))
    byId('facets-none').addEventListener('click', () => { this.clear(); changed() })
  }

  get any() {
    return [...this.chosen.values()].some((values) => values.size)
  }

  clear() {
    for (const values of this.chosen.values()) values.clear()
  }

  // Returns the chosen values as a filter of the API, without those of the field `without`.
  filter(without) {
    const card = Object.fromEntries([...this.chosen].filter(([name, values]) => name !== without && values.size).map(([name, values]) => [name, [...values]]))
    return Object.keys(card).length ? { $card: card } : {}
  }

  text(without) {
    const filter = this.filter(without)
    return Object.keys(filter).length ? JSON.stringify(filter) : ''
  }

  read(params) {
    for (const [name, values] of this.chosen) for (const value of params.getAll(name)) values.add(value)
  }

  write(params) {
    for (const [name, values] of this.chosen) {
      params.delete(name)
      for (const value of values) params.append(name, value)
    }
  }

  choose(box) {
    const values = this.chosen.get(box.name)
    if (box.checked) values.add(box.value)
    else values.delete(box.value)
    this.changed()
  }

  // Counts the documents of a listing. The counts of a field ignore its own chosen values, so that others can be added.
  async load(listing) {
    this.asked += 1
    const mine = this.asked
    const chosen = NAMES.filter((name) => this.chosen.get(name).size)
    const others = NAMES.filter((name) => !chosen.includes(name))
    const count = (names, without) => get('/v1/documents/facets', { ...listing, filters: this.text(without), names: names.join(','), limit: MOST })
    try {
      const found = await Promise.all([...(others.length ? [count(others)] : []), ...chosen.map((name) => count([name], name))])
      if (mine === this.asked) this.draw(Object.assign({}, ...found.map((each) => each.facets)))
    } catch { /* the listing says what is wrong */ }
  }

  draw(facets) {
    const { name, value } = document.activeElement?.closest?.('#facets') ? document.activeElement : {}
    const groups = FIELDS.map(([field, title]) => this.group(field, title, facets[field])).filter(Boolean)
    byId('facet-list').replaceChildren(...groups)
    byId('facets').hidden = !groups.length
    byId('facets-none').hidden = !this.any
    if (name) byId('facet-list').querySelector(`[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`)?.focus()
  }

  group(field, title, counts) {
    const chosen = this.chosen.get(field)
    // A chosen value stays visible even if no listed document has it any more: else nobody could remove it.
    const gone = [...chosen].filter((value) => !counts.some((each) => each.value === value)).map((value) => ({ value, documents: 0 }))
    const all = [...gone, ...counts]
    if (!all.length || (!chosen.size && all.length === 1 && field === 'language')) return null
    if (field === 'periods' || field === 'dates') all.sort((one, other) => (one.value < other.value ? 1 : -1))
    const shown = this.opened.has(field) ? all : all.filter((each, at) => at < SHOWN || chosen.has(each.value))
    const more = all.length > shown.length
      ? el('button', { type: 'button', class: 'quiet', name: field, value: 'all', text: tn(all.length, 'Show {n}', 'Show all {n}'), 'aria-label': tn(all.length, 'Show {n}: {field}', 'Show all {n}: {field}', { field: title }), onclick: () => { this.opened.add(field); this.draw({ ...this.last, [field]: counts }) } })
      : null
    this.last = { ...this.last, [field]: counts }
    return el('fieldset', {}, el('legend', { text: title }), shown.map((each) => this.option(field, each)), more)
  }

  option(field, { value, documents }) {
    return el('label', { class: 'inline facet' },
      el('input', { type: 'checkbox', name: field, value, checked: this.chosen.get(field).has(value) }),
      foreign(field === 'language' ? languageName(value) : value, 'span', { class: 'grow' }), el('span', { class: 'soft', text: number(documents) }))
  }
}

export function languageName(code) {
  try {
    return languages.of(code)
  } catch {
    return readable(code) // a person may have set a text that is no language code
  }
}
