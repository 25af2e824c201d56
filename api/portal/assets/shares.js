// Links to a conversation or a run for others of the tenant: made, copied, revoked.
import { el, say, time, trouble } from './dom.js'
import { get, post, send } from './rest.js'

const DAY_MS = 86_400_000
const LASTING = [['1', 'one day'], ['7', 'a week'], ['', 'as long as links may last']]

// `what` is { conversation: id } or { run: id }.
export async function openShares(what, { goesOn = false } = {}) {
  const list = el('ul', { class: 'links' }, el('li', { class: 'soft', text: 'Loading…' }))
  const wrong = el('div')
  const lasting = el('select', { id: 'lasting' }, LASTING.map(([value, label]) => el('option', { value, text: label })))
  lasting.value = '7'
  const dialog = el('dialog', { 'aria-labelledby': 'shares-title' },
    el('h2', { id: 'shares-title', text: 'Share by a link' }),
    el('p', { text: `Whoever of your tenant has the link and signs in can read this${goesOn ? ', and what is asked here later' : ''}. It opens no documents: of each answer, people see what rests on documents that are open to them, and the rest is withheld.` }),
    wrong,
    el('div', { class: 'row' }, el('label', { class: 'inline', for: 'lasting', text: 'Valid for' }), lasting,
      el('button', { type: 'button', class: 'main', text: 'Make a link', onclick: (event) => attempt(event.target, make) })),
    list,
    el('div', { class: 'row end' }, el('button', { type: 'button', text: 'Close', onclick: () => dialog.close() })))
  const attempt = async (button, work) => {
    button.disabled = true
    wrong.replaceChildren()
    try {
      await work()
    } catch (error) {
      wrong.replaceChildren(trouble(error))
    } finally {
      button.disabled = false
    }
  }
  const make = async () => {
    const days = Number(lasting.value)
    const made = await post('/v1/shares', { ...what, expires_at: days ? new Date(Date.now() + days * DAY_MS).toISOString() : null })
    await load()
    await copied(made)
  }
  const load = async () => {
    const found = (await get('/v1/shares', { ...what, limit: 100 })).shares
    list.replaceChildren(...(found.length ? found.map(entry) : [el('li', { class: 'soft', text: 'Nobody else can read it now.' })]))
  }
  const entry = (share) => el('li', { class: 'row' },
    el('a', { class: 'grow', href: `/shared/${share.id}`, text: addressOf(share) }),
    el('span', { class: 'small soft', text: `until ${time(share.expires_at)}` }),
    el('button', { type: 'button', class: 'quiet', text: 'Copy', onclick: () => copied(share) }),
    el('button', { type: 'button', class: 'danger', text: 'End it', onclick: (event) => attempt(event.target, async () => {
      await send('DELETE', `/v1/shares/${share.id}`)
      await load()
      say('The link has ended')
    }) }))
  document.body.append(dialog)
  dialog.addEventListener('close', () => dialog.remove(), { once: true })
  dialog.showModal()
  await attempt(dialog.querySelector('.main'), load)
}

const addressOf = (share) => new URL(`/shared/${share.id}`, location.href).href

async function copied(share) {
  try {
    await navigator.clipboard.writeText(addressOf(share))
    say('The link is copied')
  } catch {
    say('The browser does not allow copying here: copy the link from the list.')
  }
}
