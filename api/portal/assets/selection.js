// The documents that are selected in the library: some by their boxes, or all that match.
import { byId } from './dom.js'
import { may } from './rest.js'
import { t, tn } from './text.js'

// A longer address would be refused by some servers on the way.
export const MOST_ASKED = 100

// The address at which people ask about these documents.
export const askingAbout = (ids) => `/ask?${new URLSearchParams(ids.map((id) => ['document', id]))}`

export class Selection {
  // `changed()` is called when rows have to be drawn anew.
  constructor(changed) {
    this.changed = changed
    this.ids = new Set()
    this.all = false
    this.shown = []
    byId('pick-all')?.addEventListener('change', (event) => this.#selectShown(event.target.checked))
    byId('choose-matching')?.addEventListener('click', () => { this.ids.clear(); this.all = true; changed() })
    byId('choose-none')?.addEventListener('click', () => this.clear())
    // The browser scrolls a focused element above the bar, whose height depends on the language and the window.
    const bar = byId('chosen')
    if (bar) new ResizeObserver(() => document.documentElement.style.setProperty('--chosen-height', `${bar.offsetHeight}px`)).observe(bar)
  }

  // Null where the session can do nothing with selected documents.
  has(id) {
    return byId('pick-all') ? this.all || this.ids.has(id) : null
  }

  select(id, is) {
    // Without one of all that match, the selection is the rest of this page.
    if (this.all) { this.all = false; for (const each of this.shown) this.ids.add(each.id) }
    if (is) this.ids.add(id)
    else this.ids.delete(id)
    this.changed()
  }

  #selectShown(is) {
    this.all = false
    for (const each of this.shown) {
      if (is) this.ids.add(each.id)
      else this.ids.delete(each.id)
    }
    this.changed()
  }

  // The page shows what the next action is for, so it does not wait for the list.
  clear() {
    const some = this.all || this.ids.size
    this.all = false
    this.ids.clear()
    if (some) this.changed()
  }

  // Draws the bar: how many are selected, and what can be done with them. `listing` has the filters in force.
  draw(shown, { total, filtered, listing }) {
    this.shown = shown
    const place = byId('chosen')
    if (!place) return
    const here = shown.filter((each) => this.ids.has(each.id)).length
    place.hidden = !this.all && !this.ids.size
    byId('pick-all').checked = Boolean(shown.length) && (this.all || here === shown.length)
    byId('pick-all').indeterminate = !this.all && here > 0 && here < shown.length
    byId('chosen-count').textContent = this.#count(total ?? 0, filtered)
    byId('choose-matching').hidden = this.all || !total || total <= this.ids.size || here !== shown.length
    byId('choose-matching').textContent = filtered ? tn(total, 'Select the document that matches', 'Select all {n} that match') : tn(total, 'Select the document', 'Select all {n}')
    // Documents of other pages may have failed.
    const known = !this.all && here === this.ids.size
    if (byId('retry-chosen')) byId('retry-chosen').hidden = known && !shown.some((each) => this.ids.has(each.id) && each.state === 'failed')
    if (may('ask')) this.#offerToAsk(filtered, listing)
  }

  #count(total, filtered) {
    if (!this.all) return tn(this.ids.size, '{n} document selected', '{n} documents selected')
    return filtered ? tn(total, '{n} document that matches is selected', 'All {n} documents that match are selected')
      : tn(total, '{n} document of the library is selected', 'All {n} documents of the library are selected')
  }

  #offerToAsk(filtered, listing) {
    const link = byId('ask-chosen')
    const { collection, ...others } = listing
    const whole = this.all && collection && !Object.values(others).some((value) => value.length)
    const everything = this.all && !filtered
    const possible = everything || whole || (!this.all && this.ids.size <= MOST_ASKED)
    link.hidden = !possible
    byId('ask-limit').hidden = possible
    byId('ask-limit').textContent = tn(MOST_ASKED, 'You can ask about {n} selected document, or about a whole collection.', 'You can ask about up to {n} selected documents, or about a whole collection.')
    if (whole) link.href = `/ask?${new URLSearchParams({ collection })}`
    else if (everything) link.href = '/ask'
    else link.href = askingAbout([...this.ids])
    byId('ask-chosen-text').textContent = whole ? t('Ask about this collection') : this.ids.size === 1 ? t('Ask about it') : t('Ask about these')
  }

  // Returns the selection as the API expects it. `matching` is the filter in force.
  choice(matching) {
    return this.all ? { matching } : { documents: [...this.ids] }
  }
}
