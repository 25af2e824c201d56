// Pages of a listing that has cursors: forward by the last one, and back by those that were used.
import { byId, el, number, trouble } from './dom.js'
import { t } from './text.js'

export class Pager {
  // `load(cursor)` asks for a page, which `draw(page)` shows; `describe(number)` says which one it is.
  constructor(load, draw, { describe = (page) => t('Page {n}', { n: number(page) }), retry = () => this.again() } = {}) {
    Object.assign(this, { load, draw, describe, retry })
    this.cursors = [null]
    this.next = null
    this.asked = 0
    // A second click while the page is on its way goes no further.
    // guard: double-click-one-page
    byId('next').addEventListener('click', () => { if (this.next !== this.cursor) this.cursors.push(this.next); this.again() })
    byId('previous').addEventListener('click', () => { if (this.page > 1) this.cursors.pop(); this.again() })
  }

  get cursor() {
    return this.cursors.at(-1)
  }

  get page() {
    return this.cursors.length
  }

  // Shows the first page, as after another filter.
  first() {
    this.cursors = [null]
    return this.again()
  }

  // Shows the page anew. Where another one was asked for meanwhile, that one is shown, whichever comes first.
  async again() {
    this.asked += 1
    const mine = this.asked
    try {
      const page = await this.load(this.cursor)
      if (mine !== this.asked) return
      byId('trouble').replaceChildren()
      this.draw(page)
      this.shown(page.next_cursor)
    } catch (error) {
      if (mine === this.asked) byId('trouble').replaceChildren(trouble(error, el('button', { type: 'button', text: t('Try again'), onclick: this.retry })))
    }
  }

  shown(next) {
    this.next = next
    byId('pages').hidden = this.page === 1 && !next
    byId('previous').disabled = this.page === 1
    byId('next').disabled = !next
    byId('page').textContent = this.describe(this.page)
  }
}
