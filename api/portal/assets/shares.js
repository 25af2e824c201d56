// Links that let colleagues read a conversation or a run: create, copy and revoke them.
import { el, say, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { get, post, send } from './rest.js'
import { t } from './text.js'

const DAY_MS = 86_400_000
const LASTING = [['1', t('one day')], ['7', t('one week')], ['', t('the longest time allowed')]]

// `what` is { conversation: id } or { run: id }.
export async function openShares(what, { goesOn = false } = {}) {
  const list = el('ul', { class: 'links' }, el('li', { class: 'soft', text: t('Loading…') }))
  const wrong = el('div')
  const lasting = el('select', { id: 'lasting' }, LASTING.map(([value, label]) => el('option', { value, text: label })))
  lasting.value = '7'
  const dialog = el('dialog', { 'aria-labelledby': 'shares-title' },
    el('h2', { id: 'shares-title', text: t('Share with a link') }),
    el('p', { text: goesOn
      ? t('Colleagues with this link can read this conversation and later questions. They see only what their own permissions allow.')
      : t('Colleagues with this link can read this run. They see only what their own permissions allow.') }),
    wrong,
    el('div', { class: 'row' }, el('label', { class: 'inline', for: 'lasting', text: t('Valid for') }), lasting,
      el('button', { type: 'button', class: 'main', text: t('Create link'), onclick: (event) => attempt(event.target, make) })),
    list,
    el('div', { class: 'row end' }, el('button', { type: 'button', text: t('Close'), onclick: () => dialog.close() })))
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
    list.replaceChildren(...(found.length ? found.map(entry) : [el('li', { class: 'soft', text: t('Nobody else can read this.') })]))
  }
  const entry = (share) => el('li', { class: 'row' },
    el('a', { class: 'grow', href: `/shared/${share.id}`, text: addressOf(share) }),
    el('span', { class: 'small soft', text: t('until {time}', { time: time(share.expires_at) }) }),
    el('button', { type: 'button', class: 'quiet', onclick: () => copied(share) }, icon('copy'), t('Copy')),
    el('button', { type: 'button', class: 'danger', text: t('Revoke'), onclick: (event) => attempt(event.target, async () => {
      await send('DELETE', `/v1/shares/${share.id}`)
      await load()
      say(t('The link is revoked'))
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
    say(t('The link is copied'))
  } catch {
    say(t('The browser does not allow copying here: copy the link from the list.'))
  }
}
