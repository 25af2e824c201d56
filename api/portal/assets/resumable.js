// Sends a large file in parts that go on after a lost connection, by tus 1.0.0: four requests, so no library is needed.
import { bodyOf } from './problems.js'
import { away, get, headers, Problem, send } from './rest.js'

const FROM_BYTES = 8 * 1024 * 1024
const TUS = { 'Tus-Resumable': '1.0.0' }

// A replacement is one request: it names the state of the document that it means.
export const inParts = (upload) => !upload.replaces && upload.size >= FROM_BYTES

// Sends what is missing, and returns what `POST /v1/documents` would. Called again, it asks how much is there.
export async function sendInParts(upload, changed) {
  let offset = 0
  if (upload.where) offset = await arrived(upload)
  else await begin(upload)
  while (true) {
    // guard: cancelled-before-first-part
    if (upload.state === 'cancelled') {
      forget(upload)
      throw new Problem({ code: 'cancelled' }, -1)
    }
    const answer = await add(upload, offset, changed)
    if (answer.body.code === 'upload_offset') {
      offset = await arrived(upload)
      continue
    }
    if (answer.status >= 400) return answer
    offset = answer.offset
    if (answer.document) return { status: 202, body: await became(answer.document), retryAfter: null }
  }
}

async function begin(upload) {
  const described = { filename: upload.name, collection: upload.collection, batch: upload.batch }
  const metadata = Object.entries(described).map(([name, value]) => `${name} ${encoded(value)}`).join(',')
  const more = { ...TUS, 'Upload-Length': upload.size, 'Upload-Metadata': metadata }
  upload.where = (await send('POST', '/v1/uploads', { more })).headers.get('Location')
}

// How many bytes are there; an upload that is there no more begins again.
async function arrived(upload) {
  let offset = 0
  try {
    offset = Number((await send('HEAD', upload.where, { more: TUS })).headers.get('Upload-Offset'))
  } catch (error) {
    if (error.status !== 404) throw error
    await begin(upload)
  }
  if (offset > (upload.arrived ?? 0)) upload.tries = 0 // it gets on, however often it is cut
  upload.arrived = offset
  return offset
}

function add(upload, offset, changed) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('PATCH', upload.where)
    const sent = { ...TUS, 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': offset }
    for (const [name, value] of Object.entries(headers(sent))) request.setRequestHeader(name, value)
    request.upload.onprogress = (event) => {
      upload.sent = (offset + event.loaded) / upload.size
      changed()
    }
    request.onload = () => {
      const body = bodyOf(request)
      const wait = Number(request.getResponseHeader('Retry-After'))
      resolve({
        status: request.status,
        body,
        retryAfter: Number.isFinite(wait) && wait > 0 ? wait : null,
        offset: Number(request.getResponseHeader('Upload-Offset')),
        document: request.getResponseHeader('Content-Location'),
      })
    }
    request.onerror = () => reject(away())
    request.onabort = () => reject(new Problem({ code: 'cancelled' }, -1))
    upload.abort = () => {
      request.abort()
      forget(upload)
    }
    request.send(upload.file.slice(offset))
  })
}

// Ends an upload that is not wanted any more; else it expires.
const forget = (upload) => send('DELETE', upload.where, { more: TUS }).catch(() => {})

async function became(path) {
  const document = await get(path)
  return { ...document, duplicate: document.state === 'ready' }
}

function encoded(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
}
