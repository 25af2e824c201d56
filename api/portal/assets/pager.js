// Pages of a listing that has cursors: forward by the last one, and back by those that were used.
import { byId, number } from './dom.js'

export class Pager {
  // `load(cursor)` asks for a page and returns its next cursor; `describe(number)` says which page is shown.
  constructor(load, describe = (page) => `Page ${number(page)}`) {
    this.load = load
    this.describe = describe
    this.cursors = [null]
    this.next = null
    byId('next').addEventListener('click', () => { this.cursors.push(this.next); this.again() })
    byId('previous').addEventListener('click', () => { this.cursors.pop(); this.again() })
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

  async again() {
    const next = await this.load(this.cursor)
    if (next !== undefined) this.shown(next)
  }

  shown(next) {
    this.next = next
    byId('pages').hidden = this.page === 1 && !next
    byId('previous').disabled = this.page === 1
    byId('next').disabled = !next
    byId('page').textContent = this.describe(this.page)
  }
}
