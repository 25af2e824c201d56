// Shows uploads: a sum for all, and a line for each file that is no document yet. The list of documents has the others.
import { collectionLabel } from './collections.js'
import { byId, bytes, el, foreign, number, percent, readable, span } from './dom.js'
import { whenReleased } from './drawing.js'
import { icon } from './icons.js'
import { askingAbout, MOST_ASKED } from './selection.js'
import { t, tn } from './text.js'
import { canRetry, ENDED } from './uploads.js'

const SHOWN = 150
const ASKABLE = new Set(['searchable', 'embedding', 'ready', 'duplicate'])
const RANK = { refused: 0, sending: 1, waiting: 2, duplicate: 3, cancelled: 4 }

export class UploadList {
  constructor() {
    this.waiting = false
  }

  bind(uploads) {
    this.uploads = uploads
    byId('cancel-all').addEventListener('click', () => uploads.cancelAll())
    byId('clear-done').addEventListener('click', () => uploads.clear())
    byId('retry-failed').addEventListener('click', () => uploads.retry(failed(uploads.all).filter(canRetry)))
  }

  // Many changes within a moment are one drawing.
  draw() {
    if (this.waiting) return
    this.waiting = true
    setTimeout(() => whenReleased(() => { this.waiting = false; this.#draw() }), 100)
  }

  #draw() {
    const all = this.uploads.all
    byId('uploads').hidden = !all.length && !this.uploads.skipped
    if (byId('uploads').hidden) return
    const count = (...states) => all.filter((each) => states.includes(each.state)).length
    const ready = count('ready', 'duplicate')
    const searchable = ready + count('searchable', 'embedding')
    const going = all.filter((each) => !ENDED.has(each.state))
    const sums = { askable: number(searchable), ready: number(ready) }
    byId('uploads-sum').textContent = [
      tn(all.length, '{askable} of {n} file can be asked about, {ready} ready', '{askable} of {n} files can be asked about, {ready} ready', sums),
      count('refused') ? tn(count('refused'), '{n} not accepted', '{n} not accepted') : '',
      count('failed') ? tn(count('failed'), '{n} failed', '{n} failed') : '',
      count('cancelled') ? tn(count('cancelled'), '{n} cancelled', '{n} cancelled') : '',
      this.uploads.skipped ? tn(this.uploads.skipped, '{n} hidden file skipped', '{n} hidden files skipped') : '',
      this.#left(going),
    ].filter(Boolean).join(' · ')
    byId('uploads-bar').value = all.length ? all.reduce((sum, each) => sum + fraction(each), 0) / all.length : 1
    byId('cancel-all').hidden = !going.length
    byId('clear-done').hidden = going.length === all.length
    byId('retry-failed').hidden = !failed(all).some(canRetry)
    this.#offer(all.filter((each) => ASKABLE.has(each.state)))
    const listed = all.filter((each) => !each.document || each.duplicate)
    const rank = (each) => (each.duplicate ? RANK.duplicate : RANK[each.state])
    const shown = [...listed].sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN)
    const focused = document.activeElement?.closest?.('#upload-list li')?.dataset.at
    byId('upload-list').replaceChildren(...shown.map((each) => this.#line(each, all.indexOf(each))))
    if (focused) byId('upload-list').querySelector(`[data-at="${focused}"] button`)?.focus()
    byId('upload-list').hidden = !shown.length
    byId('uploads-more').hidden = listed.length <= SHOWN
    byId('uploads-more').textContent = tn(listed.length - SHOWN, 'and {n} more file', 'and {n} more files')
  }

  #left(going) {
    const known = new Set(going.map((each) => each.batch))
    const left = [...this.uploads.batches.values()].filter((each) => known.has(each.id)).map((each) => each.left)
    const longest = left.length && left.every((each) => each !== null) ? Math.max(...left) : null
    return going.length && longest !== null ? t('{time} left', { time: span(longest) }) : ''
  }

  // Leads to a question about the uploaded documents, or about all documents where they are too many for an address.
  #offer(found) {
    const link = byId('ask-uploaded')
    if (!link) return
    const ids = [...new Set(found.map((each) => each.document.id))]
    const few = ids.length <= MOST_ASKED
    link.hidden = !ids.length
    link.replaceChildren(icon('message-square'), ids.length === 1 ? t('Ask about it') : few ? t('Ask about them') : t('Ask a question'))
    link.href = few ? askingAbout(ids) : '/ask'
  }

  #line(upload, at) {
    const { state, name } = upload
    const ended = ENDED.has(state)
    const refused = state === 'refused'
    return el('li', { class: ended ? 'ended' : null, data: { at } },
      upload.document ? el('a', { class: 'name', href: `/library/${upload.document.id}`, title: name }, foreign(name))
        : el('span', { class: 'name', title: name }, foreign(name)),
      el('div', { class: 'bar' },
        el('span', { class: `stage ${refused ? 'bad-ink' : ''}`, text: stage(upload) }),
        ended ? null : el('progress', { max: 1, value: fraction(upload), 'aria-label': `${name}: ${stage(upload)}` })),
      el('div', {},
        ended ? null : el('button', { type: 'button', class: 'quiet small', 'aria-label': t('Cancel {name}', { name }), onclick: () => this.uploads.cancel(upload) }, icon('x'), t('Cancel')),
        canRetry(upload) ? el('button', { type: 'button', class: 'quiet small', 'aria-label': t('Retry {name}', { name }), onclick: () => this.uploads.retry([upload]) }, icon('rotate-ccw'), t('Retry')) : null),
      upload.problem && refused ? el('p', { class: 'why small', text: `${upload.problem.message} ${upload.problem.hint ?? ''}` }) : null)
  }
}

const failed = (all) => all.filter((each) => each.state === 'refused' || each.state === 'failed')

// Sending is a tenth of the way: most of the time goes into what comes after.
function fraction(upload) {
  if (ENDED.has(upload.state)) return 1
  if (upload.document) return 0.1 + 0.9 * upload.document.progress.fraction
  return 0.1 * upload.sent
}

function stage({ state, resting, size, sent, name, document, duplicate, replaces }) {
  if (duplicate) return alreadyHere(document, name, replaces)
  switch (state) {
    case 'waiting': return resting ? t('Trying again soon') : t('Waiting to be sent, {size}', { size: bytes(size) })
    case 'sending': return t('Sending {share} of {size}', { share: percent(sent), size: bytes(size) })
    case 'refused': return t('Not accepted')
    default: return t('Cancelled')
  }
}

// The service keeps one document of the same bytes in a collection, whatever the names of the files.
function alreadyHere({ name, collection }, sent, replaces) {
  if (replaces) return t('The document has these contents already. Nothing was changed.')
  const where = { name: readable(name), collection: readable(collectionLabel(collection)) }
  return name === sent ? t('Already in “{collection}”, so not added again', where) : t('Already in “{collection}” as “{name}”, so not added again', where)
}
