// Shows uploads: a sum for all, and a line for each of the first ones, what failed before what goes on.
import { byId, bytes, el, foreign, number, percent, plural, span } from './dom.js'
import { whenReleased } from './drawing.js'
import { words } from './status.js'
import { ENDED } from './uploads.js'

const SHOWN = 150
const SEARCHABLE = new Set(['searchable', 'embedding', 'ready', 'duplicate'])
const RANK = { refused: 0, failed: 0, sending: 1, waiting: 3, duplicate: 4, ready: 5, cancelled: 6 }

export class UploadList {
  constructor() {
    this.waiting = false
  }

  bind(uploads) {
    this.uploads = uploads
    byId('cancel-all').addEventListener('click', () => uploads.cancelAll())
    byId('clear-done').addEventListener('click', () => uploads.clear())
    byId('retry-failed').addEventListener('click', () => uploads.retry(failed(uploads.all)))
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
    const wrong = failed(all).length
    const going = all.filter((each) => !ENDED.has(each.state))
    const known = new Set(going.map((each) => each.batch))
    const left = [...this.uploads.batches.values()].filter((each) => known.has(each.id)).map((each) => each.left)
    const longest = left.length && left.every((each) => each !== null) ? Math.max(...left) : null
    byId('uploads-sum').textContent = [
      `${number(searchable)} of ${plural(all.length, 'file')} searchable, ${number(ready)} ready`,
      wrong ? `${number(wrong)} failed` : '',
      count('cancelled') ? `${number(count('cancelled'))} cancelled` : '',
      this.uploads.skipped ? `${plural(this.uploads.skipped, 'hidden file')} skipped` : '',
      going.length && longest !== null ? `${span(longest)} left` : '',
    ].filter(Boolean).join(' · ')
    byId('uploads-bar').value = all.length ? all.reduce((sum, each) => sum + fraction(each), 0) / all.length : 1
    byId('cancel-all').hidden = !going.length
    byId('clear-done').hidden = going.length === all.length
    byId('retry-failed').hidden = !wrong
    this.#offer(all.filter((each) => SEARCHABLE.has(each.state)))
    const shown = [...all].sort((a, b) => (RANK[a.state] ?? 2) - (RANK[b.state] ?? 2)).slice(0, SHOWN)
    const focused = document.activeElement?.closest?.('#upload-list li')?.dataset.at
    byId('upload-list').replaceChildren(...shown.map((each) => this.#line(each, all.indexOf(each))))
    if (focused) byId('upload-list').querySelector(`[data-at="${focused}"] button`)?.focus()
    byId('uploads-more').hidden = all.length <= SHOWN
    byId('uploads-more').textContent = `and ${plural(all.length - SHOWN, 'more file')}`
  }

  // What is searchable can be asked about: the one document, or all there are.
  #offer(found) {
    const link = byId('ask-uploaded')
    if (!link) return
    link.hidden = !found.length
    link.textContent = found.length === 1 ? 'Ask about it' : 'Ask about them'
    link.href = found.length === 1 ? `/ask?document=${found[0].document.id}` : '/ask'
  }

  #line(upload, at) {
    const { state } = upload
    const ended = ENDED.has(state)
    const reason = upload.problem ?? upload.document?.failure
    const link = upload.document && state !== 'cancelled'
    return el('li', { data: { at } },
      link ? el('a', { class: 'name', href: `/library/${upload.document.id}`, title: upload.name }, foreign(upload.name))
        : el('span', { class: 'name', title: upload.name }, foreign(upload.name)),
      el('div', { class: 'bar' },
        el('span', { class: `stage ${state === 'refused' || state === 'failed' ? 'bad-ink' : ''}`, text: stage(upload) }),
        ended ? null : el('progress', { max: 1, value: fraction(upload), 'aria-label': `${upload.name}: ${stage(upload)}` })),
      el('div', {},
        ended ? null : el('button', { type: 'button', class: 'quiet', text: 'Cancel', 'aria-label': `Cancel ${upload.name}`, onclick: () => this.uploads.cancel(upload) }),
        state === 'refused' || state === 'failed' || state === 'cancelled'
          ? el('button', { type: 'button', class: 'quiet', text: 'Retry', 'aria-label': `Retry ${upload.name}`, onclick: () => this.uploads.retry([upload]) }) : null),
      reason && (state === 'refused' || state === 'failed')
        ? el('p', { class: 'why small', text: `${reason.detail ?? reason.message} ${reason.hint ?? ''}` }) : null)
  }
}

const failed = (all) => all.filter((each) => each.state === 'refused' || each.state === 'failed')

// Sending is a tenth of the way: most of the time goes into what comes after.
function fraction(upload) {
  if (ENDED.has(upload.state)) return 1
  if (upload.document) return 0.1 + 0.9 * upload.document.progress.fraction
  return 0.1 * upload.sent
}

function stage(upload) {
  switch (upload.state) {
    case 'waiting': return upload.resting ? 'Trying again soon' : `Waiting to be sent, ${bytes(upload.size)}`
    case 'sending': return `Sending ${percent(upload.sent)} of ${bytes(upload.size)}`
    case 'refused': return 'Not accepted'
    case 'duplicate': return 'Already there, nothing was added'
    default: return upload.document ? words(upload.document) : 'Cancelled'
  }
}
