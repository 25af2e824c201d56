// Pages of a document as images, one at a time: an image is only loaded when its page is shown, so that the number of
// pages does not matter. Keys: arrows turn pages, + and - zoom, 0 fits the page.
import { el } from './dom.js'
import { icon } from './icons.js'
import { t } from './text.js'

const ZOOMS = [0.5, 0.75, 1, 1.25, 1.5, 2, 3]
const FIT = ZOOMS.indexOf(1)
const WIDTHS = [500, 1_000, 1_500, 2_000]
const IMAGES = ['image/png', 'image/jpeg', 'image/tiff', 'image/bmp', 'image/gif', 'image/webp']

// Whether the service draws the pages of such a file.
export const hasPageImages = (type) => type === 'application/pdf' || IMAGES.includes(type)

// Makes the viewer of a document's pages. `boxes` maps numbers of pages to the boxes of cited words, as fractions of the
// page. `failed` is called if the first image cannot be drawn. `goTo(page)` of the result shows a page.
export function pageViewer({ id, version, pages, page: first = 1, boxes = new Map(), failed = () => {} }) {
  let page = 0
  let zoom = FIT
  let everShown = false
  const last = Math.max(1, pages ?? first, ...boxes.keys())
  const field = el('input', { type: 'number', min: 1, max: last, 'aria-label': t('Page number'), class: 'page-field' })
  const stage = el('div', { class: 'stage', tabindex: 0, role: 'region', 'aria-label': t('Page') })
  const shown = el('output', { class: 'small zoom' })
  const tool = (name, sign, act) => el('button', { type: 'button', class: 'quiet', 'aria-label': name, title: name, onclick: act }, icon(sign))
  const previous = tool(t('Previous page'), 'chevron-left', () => goTo(page - 1))
  const next = tool(t('Next page'), 'chevron-right', () => goTo(page + 1))
  const smaller = tool(t('Zoom out'), 'zoom-out', () => scale(zoom - 1))
  const larger = tool(t('Zoom in'), 'zoom-in', () => scale(zoom + 1))
  const fit = tool(t('Fit the width'), 'maximize', () => scale(FIT))

  function goTo(wanted) {
    const at = Math.min(last, Math.max(1, Math.trunc(wanted) || page || first))
    field.value = at
    if (at === page) return
    page = at
    previous.disabled = page === 1
    next.disabled = page === last
    draw()
  }

  function scale(wanted) {
    const now = Math.min(ZOOMS.length - 1, Math.max(0, wanted))
    if (now === zoom) return
    const across = (stage.scrollLeft + stage.clientWidth / 2) / (stage.scrollWidth || 1)
    const down = (stage.scrollTop + stage.clientHeight / 2) / (stage.scrollHeight || 1)
    zoom = now
    size()
    stage.scrollLeft = across * stage.scrollWidth - stage.clientWidth / 2
    stage.scrollTop = down * stage.scrollHeight - stage.clientHeight / 2
    const image = stage.querySelector('img')
    if (image && sourceOf() !== image.getAttribute('src')) image.src = sourceOf()
  }

  function size() {
    const sheet = stage.firstElementChild
    if (sheet) sheet.style.width = `${ZOOMS[zoom] * 100}%`
    shown.textContent = `${ZOOMS[zoom] * 100} %`
    smaller.disabled = zoom === 0
    larger.disabled = zoom === ZOOMS.length - 1
  }

  const sourceOf = () => {
    const wanted = (stage.clientWidth || 500) * ZOOMS[zoom] * Math.min(2, devicePixelRatio)
    const query = new URLSearchParams({ width: WIDTHS.find((each) => each >= wanted) ?? WIDTHS.at(-1), ...(version ? { version } : {}) })
    return `/v1/documents/${id}/pages/${page}/image?${query}`
  }

  function draw() {
    const marks = boxes.get(page) ?? []
    const image = el('img', { src: sourceOf(), alt: marks.length ? t('Page {page} with the cited words marked', { page }) : t('Page {page}', { page }) })
    const waiting = el('p', { class: 'small soft', text: t('Page {page} is loading…', { page }) })
    const sheet = el('figure', { class: 'sheet' }, image, waiting)
    image.addEventListener('load', () => {
      if (!waiting.isConnected) return // another size of the same page
      waiting.remove()
      everShown = true
      sheet.append(...marks.map(boxOf))
      const mark = sheet.querySelector('.box')
      if (mark) stage.scrollTop = mark.offsetTop - stage.clientHeight / 3
    })
    image.addEventListener('error', () => {
      if (!everShown) failed()
      image.remove()
      waiting.textContent = t('Page {page} cannot be shown.', { page })
    })
    stage.replaceChildren(sheet)
    stage.scrollTop = stage.scrollLeft = 0
    size()
  }

  field.addEventListener('change', () => goTo(Number(field.value)))
  const isWide = () => stage.scrollWidth > stage.clientWidth + 1
  const keys = {
    ArrowLeft: () => !isWide() && goTo(page - 1), ArrowRight: () => !isWide() && goTo(page + 1),
    PageUp: () => goTo(page - 1), PageDown: () => goTo(page + 1), Home: () => goTo(1), End: () => goTo(last),
    '+': () => scale(zoom + 1), '=': () => scale(zoom + 1), '-': () => scale(zoom - 1), 0: () => scale(FIT),
  }
  stage.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return
    if (keys[event.key]() !== false) event.preventDefault()
  })

  const cited = [...boxes.keys()].sort((a, b) => a - b)
  const viewer = el('section', { class: 'viewer', 'aria-label': t('Pages') },
    el('div', { class: 'row tools' },
      last > 1 ? [previous, el('span', { class: 'small of-pages' }, field, t('of {pages}', { pages: last })), next] : null,
      smaller, shown, larger, fit,
      cited.length > 1 ? cited.map((each) => el('button', { type: 'button', class: 'small', text: t('Page {page}', { page: each }), title: t('Cited words on page {page}', { page: each }), onclick: () => goTo(each) })) : null),
    stage)
  // The width of the stage, and with it that of the image, is known once the viewer is laid out.
  requestAnimationFrame(() => goTo(first))
  return { element: viewer, goTo, focus: () => stage.focus({ preventScroll: true }) }
}

function boxOf(box) {
  const mark = el('div', { class: 'box' })
  Object.assign(mark.style, {
    left: `${box.left * 100}%`, top: `${box.top * 100}%`,
    width: `${(box.right - box.left) * 100}%`, height: `${(box.bottom - box.top) * 100}%`,
  })
  return mark
}
