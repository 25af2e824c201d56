// Asks the REST API in the session's name. Whatever fails becomes a Problem, which says what to do next.
import { foreignProblem, Problem } from './problems.js'

const CSRF = document.querySelector('meta[name="csrf"]')
// Signing in is what the sign-in page does anyway.
const SESSION = Boolean(document.body?.dataset.who) && !location.pathname.startsWith('/sign-in')
const SCOPES = new Set((document.body?.dataset.scopes ?? '').split(' ').filter(Boolean))

export { Problem }

export const may = (scope) => SCOPES.has(scope)

export function headers(more = {}) {
  return { 'X-CSRF-Token': CSRF?.content ?? '', ...more }
}

export const away = () => new Problem({ code: 'service_away' }, 0)

export async function problemOf(response) {
  const retryAfter = Number(response.headers.get('Retry-After')) || null
  let text = ''
  try {
    text = await response.text()
    const body = JSON.parse(text)
    if (body.code) return new Problem(body, response.status, { retryAfter })
  } catch { /* a proxy's page, or a connection that broke off */ }
  return new Problem(foreignProblem(response.status, text), response.status)
}

// Where a session has ended, the page stays as it is and asks to sign in again; true when that was done.
export async function signedInAgain() {
  if (!SESSION) return false
  const { signInAgain } = await import('./again.js')
  return signInAgain(CSRF)
}

export async function send(method, path, options = {}) {
  let response = await request(method, path, options)
  if (response.status === 401 && SESSION) {
    if (!await signedInAgain()) throw new Problem({ code: 'session_ended' }, 401)
    response = await request(method, path, options)
  }
  if (!response.ok) throw await problemOf(response)
  return response
}

async function request(method, path, { json, body, more, signal }) {
  const sent = json === undefined ? {} : { 'Content-Type': 'application/json' }
  try {
    return await fetch(path, {
      method, signal, credentials: 'same-origin', headers: headers({ ...sent, ...more }),
      body: json === undefined ? body : JSON.stringify(json),
    })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw away()
  }
}

export async function get(path, params = {}, options = {}) {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== '') query.append(name, each)
    }
  }
  const text = query.toString()
  return (await send('GET', text ? `${path}?${text}` : path, options)).json()
}

export const post = async (path, json, options = {}) => {
  const response = await send('POST', path, { json, ...options })
  return response.status === 204 ? null : response.json()
}

// Yields the server-sent events of a response as [name, body].
export async function * events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let left = ''
  try {
    while (true) {
      const { value, done } = await reader.read()
      if (done) return
      left += value
      let end
      while ((end = left.indexOf('\n\n')) >= 0) {
        const block = left.slice(0, end)
        left = left.slice(end + 2)
        let name = 'message'
        let data = ''
        for (const line of block.split('\n')) {
          if (line.startsWith('event: ')) name = line.slice(7)
          else if (line.startsWith('data: ')) data += line.slice(6)
        }
        if (data) yield [name, JSON.parse(data)]
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}
