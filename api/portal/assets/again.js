// Signs in again on a page whose session has ended, so that nothing that was typed there is lost.
import { byId, el } from './dom.js'
import { Problem } from './problems.js'
import { t, tp } from './text.js'

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
      el('div', {}, el('label', { for: 'again-key', text: t('API key') }), field),
      el('div', { class: 'row end' },
        el('button', { type: 'button', text: t('Not now'), onclick: () => done(false) }),
        el('button', { type: 'submit', class: 'main', text: t('Sign in') })))
    const dialog = el('dialog', { 'aria-labelledby': 'again-title' },
      el('h2', { id: 'again-title', text: t('Your session has ended') }),
      el('p', { text: t('Sign in again to continue. The page stays open, with everything that you have typed.') }), why, form,
      el('hr'),
      el('p', { class: 'hint' }, tp('If you sign in with a link or with your organisation, {sign_in}, and then come back.', {
        sign_in: el('a', { href: '/sign-in', target: '_blank', rel: 'noopener', text: t('sign in in another tab') }),
      })),
      el('div', { class: 'row end' }, el('button', { type: 'button', text: t('I have signed in'), onclick: () => enter('/v1/session') })))

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
          el('p', { text: t('You signed in as {name}, but this page belongs to somebody else. Copy what you want to keep, and then reload the page.', { name: found.principal.key ? found.principal.user ?? found.principal.name : found.principal.name }) }),
          el('div', { class: 'row end' }, el('button', { type: 'button', class: 'main', text: t('Reload the page'), onclick: () => location.reload() })))
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
  el('strong', { text: t('Your session has ended') }),
  el('button', { type: 'button', text: t('Sign in again'), onclick: async () => { declined = false; if (await signInAgain(csrf)) dispatchEvent(new Event('signed-in-again')) } }))

const whose = ({ tenant, user, key }) => `${tenant}/${user ? `user:${user}` : `key:${key ?? 'None'}`}`

async function session(path, json) {
  try {
    const response = await fetch(path, json ? { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(json) } : {})
    const body = await response.json()
    if (response.ok) return body
    if (response.status === 401 && !json) return { problem: t('You are not signed in in this browser yet.') }
    return { problem: sentences(new Problem(body, response.status)) }
  } catch {
    return { problem: sentences(new Problem({ code: 'service_away' })) }
  }
}

const sentences = ({ message, hint }) => [message, hint].filter(Boolean).join(' ')
