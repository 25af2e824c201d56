import { byId, trouble } from './dom.js'
import { post } from './rest.js'

const show = (error) => byId('why').replaceChildren(trouble(error))

// Leads back to the page that somebody wanted: a path of this host alone.
function onward() {
  let to = null
  try {
    to = new URL(new URLSearchParams(location.search).get('to') ?? '/', location.origin)
  } catch { /* no address at all */ }
  // guard: sign-in-same-origin
  location.replace(to?.origin === location.origin ? to.href : '/')
}

// A link that signs in has its ticket in the fragment; it is taken out of the address at once. Opened where this page is
// shown already, it changes the fragment alone.
async function redeem() {
  const ticket = location.hash.slice(1)
  if (!ticket) return
  history.replaceState(null, '', location.pathname + location.search)
  try {
    await post('/v1/sign-in', { ticket })
    onward()
  } catch (error) {
    show(error)
  }
}

addEventListener('hashchange', redeem)
redeem()

byId('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault()
  const field = byId('key')
  const button = event.target.querySelector('button')
  button.disabled = true
  try {
    await post('/v1/sign-in', { key: field.value.trim() })
    onward()
  } catch (error) {
    show(error)
    field.value = ''
    field.focus()
  } finally {
    button.disabled = false
  }
})
