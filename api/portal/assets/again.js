// Signs in again on a page whose session has ended, so that nothing that was typed there is lost.
import { byId, el } from './dom.js'

const PROBLEM = 'Leadline does not answer. Check that it is running; then try again.'
let asking = null
let declined = false

// Asks once at a time, and not by itself after it was put off: then a bar stays that asks.
export function signInAgain(csrf) {
  if (declined) return Promise.resolve(false)
  asking ??= ask(csrf).finally(() => { asking = null })
  return asking
}

function ask(csrf) {
  return new Promise((resolve) => {
    const field = el('input', { id: 'again-key', type: 'password', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none' })
    const why = el('p', { class: 'bad-ink', role: 'alert' })
    const form = el('form', { method: 'dialog', class: 'stacked' },
      el('div', {}, el('label', { for: 'again-key', text: 'API key' }), field),
      el('div', { class: 'row end' },
        el('button', { type: 'button', text: 'Not now', onclick: () => done(false) }),
        el('button', { type: 'submit', class: 'main', text: 'Sign in' })))
    const dialog = el('dialog', { 'aria-labelledby': 'again-title' },
      el('h2', { id: 'again-title', text: 'Your session has ended' }),
      el('p', { text: 'Sign in again to go on. This page stays as it is, with what you have typed.' }), why, form,
      el('hr'),
      el('p', { class: 'hint' }, 'With a link, or with your organisation: ',
        el('a', { href: '/sign-in', target: '_blank', rel: 'noopener', text: 'sign in in another tab' }), ' of this browser, then come back.'),
      el('div', { class: 'row end' }, el('button', { type: 'button', text: 'I have signed in', onclick: () => enter('/v1/session') })))

    const done = (signedIn) => {
      dialog.remove()
      declined = !signedIn
      byId('session-ended')?.remove()
      if (declined) document.querySelector('.top').after(bar(csrf))
      resolve(signedIn)
    }
    const enter = async (path, json) => {
      why.textContent = ''
      const found = await session(path, json)
      if (found.problem) {
        why.textContent = found.problem
        field.value = ''
        field.focus()
      } else if (whose(found.principal) !== document.body.dataset.who) {
        form.replaceChildren(
          el('p', { text: `You signed in as ${found.principal.user ?? found.principal.name}, and this page is somebody else’s. Copy what you want to keep of it.` }),
          el('div', { class: 'row end' }, el('button', { type: 'button', class: 'main', text: 'Load the page anew', onclick: () => location.reload() })))
      } else {
        csrf.content = found.csrf
        done(true)
      }
    }
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      if (field.value.trim()) enter('/v1/sign-in', { key: field.value.trim() })
    })
    dialog.addEventListener('cancel', (event) => { event.preventDefault(); done(false) })
    document.body.append(dialog)
    dialog.showModal()
    field.focus()
  })
}

const bar = (csrf) => el('div', { id: 'session-ended', class: 'notice warn bar', role: 'status' },
  el('strong', { text: 'Your session has ended' }),
  el('button', { type: 'button', text: 'Sign in again', onclick: async () => { declined = false; if (await signInAgain(csrf)) dispatchEvent(new Event('signed-in-again')) } }))

const whose = ({ tenant, user, key }) => `${tenant}/${user ? `user:${user}` : `key:${key ?? 'None'}`}`

async function session(path, json) {
  try {
    const response = await fetch(path, json ? { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(json) } : {})
    const body = await response.json()
    if (response.ok) return body
    return { problem: response.status === 401 && !json ? 'You are not signed in in this browser yet.' : `${body.detail} ${body.hint ?? ''}` }
  } catch {
    return { problem: PROBLEM }
  }
}
