// Searches in the contents of documents: passages, each with its place and the matching words, some at a time.
import { collectionLabel } from './collections.js'
import { byId, el, foreign, readable, say, trouble } from './dom.js'
import { whenReleased } from './drawing.js'
import { icon } from './icons.js'
import { placeInWords } from './places.js'
import { may, send } from './rest.js'
import { t, tn } from './text.js'

const PER_PAGE = 10
const MOST = 50
const EXCERPT = 420
const WORD = /[\p{L}\p{N}]+/gu

export class TextSearch {
  // `scope()` returns the filters in force: `collection` and the API's `filters`; `namesInstead()` leaves this search.
  constructor({ scope, namesInstead }) {
    Object.assign(this, { scope, namesInstead })
    this.hits = []
    this.page = 1
    byId('passages-previous').addEventListener('click', () => this.#turn(-1))
    byId('passages-next').addEventListener('click', () => this.#turn(1))
    byId('named').addEventListener('keydown', (event) => {
      if (event.key !== 'ArrowDown' || byId('passages').hidden) return
      event.preventDefault()
      byId('passage-list').querySelector('a')?.focus()
    })
    byId('passage-list').addEventListener('keydown', (event) => this.#move(event))
  }

  show() {
    byId('passages').hidden = false
  }

  hide() {
    byId('passages').hidden = true
    this.asked?.abort()
  }

  async run(query) {
    this.asked?.abort()
    const mine = this.asked = new AbortController()
    this.show()
    byId('trouble').replaceChildren()
    if (!query) return this.#hint()
    byId('passages').setAttribute('aria-busy', 'true')
    const { collection, filters } = this.scope()
    const json = { query, mode: 'hybrid', top_k: MOST, explain: true, filters, collections: collection ? [collection] : [] }
    try {
      const found = await (await send('POST', '/v1/search', { json, signal: mine.signal })).json()
      if (mine.signal.aborted) return
      this.hits = found.hits
      this.page = 1
      whenReleased(() => this.#draw())
      say(found.hits.length ? tn(found.hits.length, '{n} passage found', '{n} passages found') : t('Nothing in the text matches'))
    } catch (error) {
      if (error.name === 'AbortError') return
      byId('trouble').replaceChildren(trouble(error, el('button', { type: 'button', text: t('Try again'), onclick: () => this.run(query) })))
    }
    byId('passages').removeAttribute('aria-busy')
  }

  #hint() {
    this.hits = []
    this.#list([])
    byId('passages-empty').hidden = false
    byId('passages-empty').replaceChildren(el('p', { text: t('Type words or a question. Passages that mean the same are found, too.') }))
  }

  #draw() {
    const from = (this.page - 1) * PER_PAGE
    this.#list(this.hits.slice(from, from + PER_PAGE))
    const empty = byId('passages-empty')
    empty.hidden = Boolean(this.hits.length)
    if (!this.hits.length) {
      empty.replaceChildren(icon('search'), el('h2', { text: t('Nothing in the text matches') }),
        el('p', { text: t('Use other words, or remove a filter. Documents that are still being read are not searched yet.') }),
        el('button', { type: 'button', text: t('Search names instead'), onclick: () => this.namesInstead() }))
    }
    byId('passages-pages').hidden = this.hits.length <= PER_PAGE
    byId('passages-previous').disabled = this.page === 1
    byId('passages-next').disabled = from + PER_PAGE >= this.hits.length
    const to = Math.min(from + PER_PAGE, this.hits.length)
    byId('passages-page').textContent = this.hits.length < MOST
      ? t('{from} to {to} of {n}', { from: from + 1, to, n: this.hits.length }) : t('{from} to {to} of the {n} best passages', { from: from + 1, to, n: MOST })
  }

  #list(hits) {
    byId('passage-list').replaceChildren(...hits.map((each) => passage(each, !this.scope().collection)))
    byId('passages-pages').hidden = true
  }

  #turn(by) {
    this.page += by
    this.#draw()
    byId('passages').scrollIntoView({ block: 'start' })
    byId('passage-list').querySelector('a')?.focus({ preventScroll: true })
  }

  // The arrow keys go from result to result.
  #move(event) {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
    const links = [...byId('passage-list').querySelectorAll('a.title')]
    const now = links.indexOf(event.target.closest('li').querySelector('a.title'))
    event.preventDefault()
    const next = now + (event.key === 'ArrowDown' ? 1 : -1)
    if (next < 0) byId('named').focus()
    else links[next]?.focus()
  }
}

function passage(hit, withCollection) {
  const href = `/library/${hit.document}?${new URLSearchParams({ start: hit.start, end: hit.end })}`
  const headings = hit.heading_path[0] === hit.title ? hit.heading_path.slice(1) : hit.heading_path
  const where = [...headings, placeInWords(hit.place ?? '')].filter(Boolean).join(' › ')
  return el('li', { class: 'passage' },
    el('div', { class: 'row' }, el('a', { class: 'title', href }, foreign(hit.title)),
      where ? el('span', { class: 'soft small' }, foreign(where)) : null,
      withCollection ? el('span', { class: 'badge' }, icon('folder'), foreign(collectionLabel(hit.collection))) : null,
      hit.matched.length ? null : el('span', { class: 'badge', title: t('The passage has none of your words, but a similar meaning.'), text: t('Similar meaning') })),
    el('p', { dir: 'auto', class: 'foreign excerpt' }, ...marked(excerpt(hit), hit.matched)),
    el('div', { class: 'row' },
      el('a', { class: 'button small', href, 'aria-label': t('Open {title} at this passage', { title: readable(hit.title) }) }, icon('book-open'), t('Open')),
      may('ask') ? el('a', { class: 'button small', href: `/ask?document=${hit.document}`, 'aria-label': t('Ask about {title}', { title: readable(hit.title) }) }, icon('message-square'), t('Ask about this')) : null))
}

// The part of a passage around its first matching word, without the headings before it, which are named above it.
function excerpt({ text, matched }) {
  const body = readable(text).replace(/^(\s*#{1,6}\s.*\n)+/, '').trim() || readable(text)
  const plain = body.replace(/^#{1,6}\s+/gm, '').replace(/\s+/g, ' ').trim()
  const first = [...plain.matchAll(WORD)].find((word) => isMatch(word[0], matched))?.index ?? 0
  let from = first > EXCERPT / 2 ? first - EXCERPT / 3 : 0
  if (from) from = plain.indexOf(' ', from) + 1
  const cut = plain.slice(from, from + EXCERPT)
  return `${from ? '… ' : ''}${cut}${from + EXCERPT < plain.length ? '…' : ''}`
}

function marked(text, matched) {
  const parts = []
  let from = 0
  for (const word of text.matchAll(WORD)) {
    if (!isMatch(word[0], matched)) continue
    parts.push(text.slice(from, word.index), el('mark', { text: word[0] }))
    from = word.index + word[0].length
  }
  return [...parts, text.slice(from)]
}

// The API names the words of the query; a passage may have another inflection, which begins alike.
function isMatch(word, matched) {
  const here = word.toLowerCase()
  return matched.some((each) => {
    const there = each.toLowerCase()
    if (here === there) return true
    const [shorter, longer] = [here.length, there.length].sort((one, other) => one - other)
    let same = 0
    while (same < shorter && here[same] === there[same]) same += 1
    return same === 3 && shorter === 3 ? longer <= 5 : same >= 4 && same >= longer - 3
  })
}
