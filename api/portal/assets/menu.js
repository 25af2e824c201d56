// A button with a menu: `menuButton(t('More'), [{ text: t('Rename'), icon: 'pencil', act: rename }, null, …])`.
import { el } from './dom.js'
import { icon } from './icons.js'

const MARGIN = 8

/* Makes the button. An item has `text`, and `act` or `href`; it may have `icon`, `danger`, `disabled`, `download` and
   `checked`. `null` is a dividing line. Where `items` is a function, it is called each time the menu opens. `text` shows
   the label beside the icon. */
export function menuButton(label, items, { text = false, name = 'ellipsis', kind = 'quiet', ...properties } = {}) {
  const menu = el('div', { class: 'menu', role: 'menu', popover: 'auto', 'aria-label': label })
  const button = el('button', {
    type: 'button', class: text ? kind : `${kind} icon-button`, 'aria-haspopup': 'menu', 'aria-expanded': 'false',
    'aria-label': text ? null : label, title: text ? null : label, ...properties,
  }, icon(name), text ? el('span', { text: label }) : null)
  let wasOpen = false
  const open = (last = false) => {
    menu.replaceChildren(...(typeof items === 'function' ? items() : items).map((each) => (each ? entry(each) : el('hr'))))
    // Beside the button, so that it can also be used where a modal dialog has the button.
    button.after(menu)
    menu.showPopover()
    place(menu, button)
    const entries = enabled(menu)
    entries.at(last ? -1 : 0)?.focus()
  }
  button.addEventListener('pointerdown', () => { wasOpen = isOpen(menu) })
  button.addEventListener('click', () => {
    // A press outside the menu has closed it already.
    if (!wasOpen) open()
    wasOpen = false
  })
  button.addEventListener('keydown', (event) => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return
    event.preventDefault()
    open(event.key === 'ArrowUp')
  })
  menu.addEventListener('keydown', (event) => onKey(event, menu, button))
  menu.addEventListener('toggle', (event) => {
    button.setAttribute('aria-expanded', String(event.newState === 'open'))
    if (event.newState === 'closed' && !isOpen(menu)) menu.remove()
  })
  // Chosen with the mouse or the keyboard: the focus goes back before the item acts, which may open a dialog.
  menu.addEventListener('click', (event) => {
    if (!event.target.closest('[role^="menuitem"]')) return
    menu.hidePopover()
    button.focus()
  }, { capture: true })
  return button
}

const isOpen = (menu) => menu.isConnected && menu.matches(':popover-open')
const enabled = (menu) => [...menu.querySelectorAll('[role^="menuitem"]:not(:disabled)')]

function entry({ text, icon: name, act, href, download, danger, disabled, checked }) {
  const role = checked === undefined ? 'menuitem' : 'menuitemradio'
  const properties = { role, tabindex: -1, class: danger ? 'danger' : null, 'aria-checked': checked === undefined ? null : String(checked) }
  const parts = [name || checked !== undefined ? icon(name ?? 'check') : null, el('span', { text })]
  if (href) return el('a', { ...properties, class: 'button', href, download }, ...parts)
  return el('button', { ...properties, type: 'button', disabled, onclick: act }, ...parts)
}

// Below the button and in line with its end; above it, or further in, where there is no room.
function place(menu, button) {
  const at = button.getBoundingClientRect()
  const { width, height } = menu.getBoundingClientRect()
  const below = at.bottom + 4 + height <= innerHeight - MARGIN || at.top < height + MARGIN
  const left = Math.max(MARGIN, Math.min(at.right - width, innerWidth - width - MARGIN))
  const top = below ? Math.min(at.bottom + 4, innerHeight - height - MARGIN) : at.top - height - 4
  menu.style.left = `${left}px`
  menu.style.top = `${Math.max(MARGIN, top)}px`
}

function onKey(event, menu, button) {
  const entries = enabled(menu)
  const now = entries.indexOf(document.activeElement)
  const to = (index) => entries.at(index % entries.length)?.focus()
  const moves = { ArrowDown: () => to(now + 1), ArrowUp: () => to(now - 1), Home: () => to(0), End: () => to(-1) }
  if (event.key === 'Escape' || event.key === 'Tab') {
    menu.hidePopover()
    button.focus()
    if (event.key === 'Tab') return
  } else if (moves[event.key]) {
    moves[event.key]()
  } else if (event.key.length === 1 && event.key !== ' ' && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const wanted = event.key.toLocaleLowerCase()
    const later = [...entries.slice(now + 1), ...entries.slice(0, now + 1)]
    later.find((each) => each.textContent.toLocaleLowerCase().startsWith(wanted))?.focus()
  } else {
    return
  }
  event.preventDefault()
  event.stopPropagation()
}
