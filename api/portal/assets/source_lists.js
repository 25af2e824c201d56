// A list of something in a dialog, with a button for more of it.
import { el, trouble } from './dom.js'
import { get } from './rest.js'
import { t } from './text.js'

const PAGE = 20

export async function listed(title, path, member, params, line, none) {
  const list = el('ul', { class: 'entries' })
  const more = el('button', { type: 'button', text: t('Show more') })
  let cursor = null
  async function load() {
    const page = await get(path, { ...params, limit: PAGE, cursor })
    list.append(...page[member].map(line))
    cursor = page.next_cursor
    more.hidden = !cursor
  }
  await load()
  const dialog = el('dialog', { class: 'wide', 'aria-labelledby': 'listed-title' }, el('h2', { id: 'listed-title', text: title }),
    list.childElementCount ? list : el('p', { class: 'hint', text: none }),
    el('div', { class: 'row end' }, more, el('button', { type: 'button', class: 'main', text: t('Close'), onclick: () => dialog.close() })))
  more.addEventListener('click', () => load().catch((error) => list.append(el('li', {}, trouble(error)))))
  dialog.addEventListener('close', () => dialog.remove(), { once: true })
  document.body.append(dialog)
  dialog.showModal()
}
