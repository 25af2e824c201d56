// Sends files, three at a time, and follows what becomes of each. One refused file stops no other.
import { follow } from './follow.js'
import { inParts, sendInParts } from './resumable.js'
import { bodyOf } from './problems.js'
import { away, get, headers, Problem, post, send, signedInAgain } from './rest.js'
import { canRetry as isRetryable, UNDER_WAY } from './status.js'
import { tn } from './text.js'

const AT_ONCE = 3
const TRIES = 4
const LOOK_MS = 1000
// Answers after which the same may be sent again: another request is at the upload, too many requests, a busy service.
const PASSING = new Set([423, 429, 503])
const HIDDEN = /(^|\/)(\.[^/]+|Thumbs\.db|desktop\.ini|__MACOSX\/.*)$/i

// Answers about a file that would be the same the next time.
const FINAL = new Set([400, 413, 415, 422])

// Whether sending the file again may help: not where the file itself was refused.
export const canRetry = ({ state, problem, document }) => state === 'cancelled' || (document && isRetryable(document)) || (state === 'refused' && !FINAL.has(problem?.status))

export const ENDED = new Set(['ready', 'failed', 'cancelled', 'refused', 'duplicate'])

// An upload is: { name, size, file, state, sent, document, problem, batch }; before there is a document its state is
// waiting, sending, refused or cancelled.
export class Uploads {
  constructor(changed) {
    this.all = []
    this.skipped = 0
    this.changed = changed
    this.batches = new Map()
    this.sending = 0
    addEventListener('beforeunload', (event) => { if (this.unsent) event.preventDefault() })
  }

  get unsent() {
    return this.all.some((each) => each.state === 'waiting' || each.state === 'sending')
  }

  async add(files, collection) {
    const wanted = files.filter(({ name }) => !HIDDEN.test(name))
    this.skipped += files.length - wanted.length
    const added = wanted.map(({ file, name, replaces }) => ({
      name, file, size: file.size, collection, replaces, state: 'waiting', sent: 0, tries: 0,
    }))
    this.all.push(...added)
    this.changed()
    await this.#begin(added)
  }

  async #begin(uploads) {
    if (!uploads.length) return
    let batch
    try {
      const name = uploads.length === 1 ? uploads[0].name : tn(uploads.length, '{n} file', '{n} files')
      batch = await post('/v1/batches', { name: [...name].slice(0, 200).join('') })
    } catch (error) {
      for (const each of uploads) Object.assign(each, { state: 'refused', problem: error })
      this.changed()
      return
    }
    for (const each of uploads) each.batch = batch.id
    this.batches.set(batch.id, { id: batch.id, closed: false, left: null })
    this.#next()
    this.#close(batch.id) // all of it may have been cancelled meanwhile
  }

  #next() {
    while (this.sending < AT_ONCE) {
      const upload = this.all.find((each) => each.state === 'waiting' && each.batch && !each.resting)
      if (!upload) break
      this.sending += 1
      upload.state = 'sending'
      this.#send(upload).finally(() => {
        this.sending -= 1
        this.#close(upload.batch)
        this.changed()
        this.#next()
      })
    }
  }

  async #send(upload) {
    try {
      const way = inParts(upload) ? sendInParts : transfer
      let { status, body, retryAfter } = await way(upload, this.changed)
      if (status === 401 && await signedInAgain()) ({ status, body, retryAfter } = await way(upload, this.changed))
      if (PASSING.has(status) && body.code !== 'quota_exceeded' && upload.tries < TRIES) {
        this.#rest(upload, retryAfter ?? 5)
        return
      }
      if (status >= 400) throw new Problem(body, status)
      const cancelled = upload.state === 'cancelled'
      this.#follow(upload.batch)
      upload.document = body
      upload.state = body.duplicate && !UNDER_WAY.has(body.state) ? 'duplicate' : body.state
      upload.duplicate = body.duplicate
      if (cancelled && UNDER_WAY.has(body.state)) await this.cancel(upload) // it had arrived before that was said
    } catch (error) {
      if (upload.state === 'cancelled') return
      const passes = error.status === 0 || (upload.where && PASSING.has(error.status))
      if (passes && upload.tries < TRIES) this.#rest(upload, 2 ** (upload.tries + 1))
      else Object.assign(upload, { state: 'refused', problem: error })
    }
  }

  // Tries again by itself after a while: the service is busy, or was away.
  #rest(upload, seconds) {
    Object.assign(upload, { state: 'waiting', sent: 0, tries: upload.tries + 1, resting: true })
    setTimeout(() => { upload.resting = false; this.#next() }, seconds * 1000)
  }

  // A batch takes no more once everything of it was sent, so that it can come to an end.
  #close(id) {
    const batch = this.batches.get(id)
    const open = this.all.some((each) => each.batch === id && (each.state === 'waiting' || each.state === 'sending'))
    if (!batch || batch.closed || open) return
    batch.closed = true
    post(`/v1/batches/${id}/close`).catch(() => {})
    this.#follow(id)
  }

  #follow(id) {
    const batch = this.batches.get(id)
    if (!batch || batch.followed) return
    batch.followed = follow(`/v1/batches/${id}/events`, {
      told: (body, ended) => {
        batch.left = body.progress?.seconds_left ?? null
        batch.ended = ended
        this.#look(batch)
      },
      lost: () => this.#look(batch),
    })
  }

  // Asks for the documents of a batch, at most once a second.
  #look(batch) {
    if (batch.looking) { batch.again = true; return }
    batch.looking = true
    setTimeout(async () => {
      batch.again = false
      try {
        await this.#refresh(batch)
      } catch { /* the next event, or the next look, asks again */ }
      batch.looking = false
      this.changed()
      const open = this.all.some((each) => each.batch === batch.id && !ENDED.has(each.state))
      if (batch.again || (batch.ended && open)) this.#look(batch)
    }, LOOK_MS)
  }

  async #refresh(batch) {
    const known = new Map()
    // An upload that is cancelled or sent again during the request makes the reply outdated for it.
    const waits = (upload) => upload.batch === batch.id && upload.document && !ENDED.has(upload.state)
    for (const each of this.all) {
      if (waits(each)) known.set(each.document.id, each)
    }
    let cursor = null
    do {
      const page = await get('/v1/documents', { batch: batch.id, limit: 500, cursor })
      for (const document of page.documents) {
        const upload = known.get(document.id)
        known.delete(document.id)
        if (upload && waits(upload)) Object.assign(upload, { document, state: document.state })
      }
      cursor = page.next_cursor
    } while (cursor && known.size)
    // A duplicate belongs to another batch, and a deleted one to none.
    for (const [id, upload] of [...known].slice(0, 20)) {
      try {
        const document = await get(`/v1/documents/${id}`)
        if (waits(upload)) Object.assign(upload, { document, state: document.state })
      } catch (error) {
        if (error.status === 404 && waits(upload)) upload.state = 'cancelled'
      }
    }
  }

  async cancel(upload) {
    const { state } = upload
    upload.state = 'cancelled'
    if (state === 'sending') upload.abort?.()
    else if (upload.document && UNDER_WAY.has(state)) {
      try {
        upload.document = await post(`/v1/documents/${upload.document.id}/cancel`)
        upload.state = upload.document.state
      } catch (error) {
        if (error.code === 'document_state') this.#look(this.batches.get(upload.batch))
        else upload.problem = error
        upload.state = upload.document.state
      }
    }
    this.#close(upload.batch)
    this.changed()
  }

  async cancelAll() {
    const ids = new Set()
    for (const each of this.all) {
      if (ENDED.has(each.state)) continue
      if (each.batch) ids.add(each.batch)
      const { state } = each
      if (state === 'waiting' || state === 'sending') each.state = 'cancelled'
      if (state === 'sending') each.abort?.()
    }
    this.changed()
    for (const id of ids) {
      const batch = this.batches.get(id)
      batch.closed = true
      await post(`/v1/batches/${id}/cancel`).catch(() => {})
      this.#look(batch)
    }
  }

  async retry(uploads) {
    for (const each of uploads) {
      Object.assign(each, { state: 'waiting', sent: 0, tries: 0, problem: null, document: null, batch: null, where: null })
    }
    this.changed()
    await this.#begin(uploads)
  }

  // Returns the last upload of a document, or undefined.
  find(id) {
    return this.all.findLast((each) => each.document?.id === id)
  }

  // Follows a document that is processed again.
  resume(document) {
    const upload = this.find(document.id)
    if (!upload) return
    Object.assign(upload, { document, state: document.state })
    this.changed()
    this.#look(this.batches.get(upload.batch))
  }

  clear() {
    this.all = this.all.filter((each) => !ENDED.has(each.state))
    this.skipped = 0
    this.changed()
  }
}

function transfer(upload, changed) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const query = new URLSearchParams({ name: upload.name, batch: upload.batch })
    if (upload.replaces) {
      request.open('PUT', `/v1/documents/${upload.replaces}?${query}`)
    } else {
      query.set('collection', upload.collection)
      request.open('POST', `/v1/documents?${query}`)
    }
    const sent = { 'Content-Type': 'application/octet-stream', ...(upload.replaces ? { 'If-Match': '*' } : {}) }
    for (const [name, value] of Object.entries(headers(sent))) request.setRequestHeader(name, value)
    request.upload.onprogress = (event) => {
      upload.sent = event.total ? event.loaded / event.total : 0
      changed()
    }
    request.onload = () => {
      const body = bodyOf(request)
      const wait = Number(request.getResponseHeader('Retry-After'))
      resolve({ status: request.status, body, retryAfter: Number.isFinite(wait) && wait > 0 ? wait : null })
    }
    request.onerror = () => reject(away())
    request.onabort = () => reject(new Problem({ code: 'cancelled' }, -1))
    upload.abort = () => request.abort()
    request.send(upload.file)
  })
}

// The files of a drop, folders walked through. Only what the browser hands out now may be read later.
export async function dropped(transferred) {
  const entries = [...transferred.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean)
  if (!entries.length) return [...transferred.files].map((file) => ({ file, name: file.name }))
  const found = []
  await Promise.all(entries.map((entry) => walk(entry, found)))
  return found.sort((a, b) => a.name.localeCompare(b.name))
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)))
    if (file) found.push({ file, name: entry.fullPath.replace(/^\//, '') })
    return
  }
  const reader = entry.createReader()
  while (true) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])))
    if (!some.length) return
    for (const each of some) await walk(each, found)
  }
}

export async function removeDocument(id) {
  return (await send('DELETE', `/v1/documents/${id}`)).json()
}
