// Keeps the last turn in view: the page follows what is written while its reader is at the end, and never otherwise.
import { byId, el } from './dom.js'
import { icon } from './icons.js'
import { t } from './text.js'

const NEAR_END_PX = 64
const SETTLED_FRAMES = 3
const MOST_FRAMES = 40

let isAtEnd = true
// Somebody who returns reads from the question on: the page follows the end once they go there.
let isHeld = false
let placing = 0
let size = 0
let last = 0
const newest = el('button', { type: 'button', class: 'to-newest', hidden: true, onclick: toNewest }, icon('arrow-down'), t('To the newest'))

const scroller = () => document.scrollingElement
const isNearEnd = () => !isHeld && left() <= NEAR_END_PX
const left = () => scroller().scrollHeight - scroller().clientHeight - scroller().scrollTop

function scrollTo(top) {
  scroller().scrollTo({ top, behavior: 'instant' })
}

function toNewest() {
  scrollTo(scroller().scrollHeight)
  isHeld = false
  isAtEnd = true
  newest.hidden = true
}

// Places a turn with its question at the top of the window, also while what is above it is still being laid out. With
// `holds`, the question stays there while the answer grows.
export function showAtTop(place, { holds = false } = {}) {
  placing += 1
  isHeld = holds
  const mine = placing
  const question = place.querySelector('.asked') ?? place
  let settled = 0
  let frames = 0
  const settle = () => {
    if (mine !== placing || !place.isConnected || frames >= MOST_FRAMES) return
    frames += 1
    const before = scroller().scrollTop
    question.scrollIntoView({ block: 'start', behavior: 'instant' })
    settled = Math.abs(scroller().scrollTop - before) < 1 ? settled + 1 : 0
    isAtEnd = isNearEnd()
    if (settled < SETTLED_FRAMES) requestAnimationFrame(settle)
  }
  newest.hidden = true
  measure()
  settle()
}

// Replaces the content of a turn without moving what is being read; `isDrawn` says when all of it is there.
export function replaceInPlace(place, parts, isDrawn) {
  const top = scroller().scrollTop
  const wasAtEnd = isAtEnd
  place.style.minBlockSize = `${place.offsetHeight}px`
  isAtEnd = false
  place.replaceChildren(...parts)
  scrollTo(top)
  const release = () => {
    if (!isDrawn()) { setTimeout(release, 50); return }
    place.style.minBlockSize = ''
    isAtEnd = isNearEnd()
    // Sources below an answer are not new to somebody who has read its end.
    newest.hidden = isAtEnd || wasAtEnd
  }
  setTimeout(release)
}

// Adds something below the turns for which nobody waits: what is being read does not move. The page does not follow an
// end that is near but out of view either: it would move the answer while its reader presses something in it.
export function addBelow(add) {
  isAtEnd = false
  add()
  isAtEnd = !isHeld && left() < 1
}

function grown() {
  const now = byId('turns').offsetHeight
  if (now > size && !isAtEnd && left() > NEAR_END_PX && byId('turns').querySelector('[data-live]')) newest.hidden = false
  size = now
  if (isAtEnd) scrollTo(scroller().scrollHeight)
}

// Tells the styles how much of the window the composer takes, and how much there is below the turns.
function measure() {
  const root = document.documentElement
  const height = byId('composer')?.offsetHeight ?? 0
  const below = scroller().scrollHeight - scroller().scrollTop - byId('turns').getBoundingClientRect().bottom
  root.style.setProperty('--composer-size', `${height}px`)
  root.style.setProperty('--below-turns', `${Math.round(below)}px`)
  root.style.scrollPaddingBlockEnd = `${height}px`
}

export function keepInView() {
  byId('turns').after(newest)
  const composer = byId('composer')
  const measured = () => {
    measure()
    if (isAtEnd && byId('turns').hasChildNodes()) scrollTo(scroller().scrollHeight)
  }
  if (composer) new ResizeObserver(measured).observe(composer)
  new ResizeObserver(grown).observe(byId('turns'))
  // Only a person moves away from the end: what grows moves the end, not the reader.
  addEventListener('scroll', () => {
    const top = scroller().scrollTop
    if (left() <= NEAR_END_PX) {
      isAtEnd = !isHeld
      newest.hidden = true
    } else if (top < last - 1) {
      isAtEnd = false
      if (byId('turns').querySelector('[data-live]')) newest.hidden = false
    }
    last = top
  }, { passive: true })
  for (const kind of ['wheel', 'touchmove', 'keydown', 'pointerdown']) addEventListener(kind, () => { placing += 1; isHeld = false }, { passive: true })
}
