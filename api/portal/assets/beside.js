// The panel beside an answer: a source, or the records behind a figure. On a phone it is a sheet at the bottom.
import { byId, el } from './dom.js'
import { icon } from './icons.js'
import { t } from './text.js'

const WIDE = 'leadline-wide-source'
let shown = 0
let opener = null

// Shows the panel under a title and returns the number of what it shows now, which `isShown` knows.
export function showBeside(title) {
  if (!byId('beside').contains(document.activeElement)) {
    opener = document.activeElement !== document.body ? document.activeElement : document.querySelector('.cite[aria-pressed="true"]')
  }
  byId('beside').hidden = false
  byId('desk').classList.add('with-source')
  byId('beside-title').textContent = title
  byId('beside').scrollTop = 0
  return ++shown
}

export const isShown = (number) => number === shown

export const focusBeside = () => byId('beside').focus({ preventScroll: true })

// Shows something else than a source beside the answer.
export function openBeside(title, fill) {
  showBeside(title)
  const place = el('div', {}, el('p', { class: 'soft', text: t('Loading…') }))
  byId('beside-body').replaceChildren(place)
  focusBeside()
  fill(place)
}

// Closes the panel, and goes back to what opened it.
export function closeBeside() {
  shown += 1
  byId('beside').hidden = true
  byId('desk').classList.remove('with-source')
  const cite = document.querySelector('.cite[aria-pressed="true"]')
  cite?.setAttribute('aria-pressed', 'false')
  const back = opener?.isConnected ? opener : cite ?? byId('question')
  back?.focus()
}

export function closable() {
  const close = byId('close-beside')
  close.setAttribute('aria-label', t('Close source'))
  close.title = t('Close source')
  close.replaceChildren(icon('x'))
  close.addEventListener('click', closeBeside)
  close.before(wideButton())
  addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && !event.defaultPrevented && !byId('beside').hidden && !document.querySelector('dialog[open]')) closeBeside()
  })
}

function wideButton() {
  const button = el('button', { type: 'button', class: 'quiet widen', 'aria-label': t('Wide panel'), title: t('Wide panel') }, icon('columns-2'))
  const set = (wide) => {
    byId('desk').classList.toggle('wide-source', wide)
    button.setAttribute('aria-pressed', String(wide))
  }
  set(localStorage.getItem(WIDE) === 'yes')
  button.addEventListener('click', () => {
    const wide = !byId('desk').classList.contains('wide-source')
    localStorage.setItem(WIDE, wide ? 'yes' : 'no')
    set(wide)
  })
  return button
}
