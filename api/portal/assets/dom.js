// Makes elements. Text never becomes HTML here: every string ends up in a text node or an attribute.
import { LOCALE } from './locale.js'
import { Problem } from './problems.js'
import { t } from './text.js'

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue
    if (name === 'class') made.className = value
    else if (name === 'data') Object.assign(made.dataset, value)
    else if (name.startsWith('on')) made.addEventListener(name.slice(2), value)
    else if (name === 'text') made.textContent = value
    else made.setAttribute(name, value === true ? '' : value)
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false))
  return made
}

export const byId = (id) => document.getElementById(id)

// Shows text of a document, whose direction is its own.
export const foreign = (text, tag = 'span', properties = {}) =>
  el(tag, { dir: 'auto', ...properties, class: `foreign ${properties.class ?? ''}`.trim(), text: readable(text) })

// Characters that cannot be seen and turn the direction of others around are shown as what they are.
export function readable(text) {
  return String(text ?? '').replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '\u00b7')
}

const MOMENT_MS = 12

// Does something with each item, and lets the page answer between as many as a moment holds.
export async function inTurns(items, work) {
  let until = performance.now() + MOMENT_MS
  for (const each of items) {
    if (performance.now() > until) {
      await new Promise((resolve) => setTimeout(resolve))
      until = performance.now() + MOMENT_MS
    }
    work(each)
  }
}

// Makes the content when it is opened: pages have many of these, and they can be long.
export function onDemand(summary, make, open = false) {
  const made = el('details', { open }, summary)
  const fill = () => { if (made.childElementCount === 1) made.append(...[make()].flat(2).filter(Boolean)) }
  if (open) fill()
  else made.addEventListener('toggle', fill, { once: true })
  return made
}

let pending
export function say(text) {
  const place = byId('said')
  if (!place) return
  place.textContent = ''
  clearTimeout(pending)
  pending = setTimeout(() => { place.textContent = text }, 60)
}

// Says what went wrong: a `Problem`, or the API's problem or failure with its `code`.
export function trouble(error, ...actions) {
  const problem = error.code && !(error instanceof Problem) ? new Problem(error) : error
  const { message, hint, details, status, requestId, links = [] } = problem
  return el('div', { class: 'notice bad', role: 'alert' },
    el('strong', { text: message || t('Something went wrong.') }),
    hint ? el('span', { text: hint }) : null,
    requestId && status >= 500 ? el('span', { class: 'request', text: t('Request number: {id}', { id: requestId }) }) : null,
    links.length ? el('p', { class: 'row' }, links.map(([text, href]) => el('a', { href, text }))) : null,
    details && details !== [message, hint].filter(Boolean).join(' ')
      ? el('details', {}, el('summary', { text: t('Details') }), el('p', { text: readable(details) })) : null,
    ...actions)
}

export async function confirmed(title, lines, action) {
  const dialog = el('dialog', { 'aria-labelledby': 'confirm-title' },
    el('h2', { id: 'confirm-title', text: title }),
    ...lines.map((line) => (typeof line === 'string' ? el('p', { text: line }) : line)),
    el('div', { class: 'row end' },
      el('button', { type: 'button', text: t('Cancel'), autofocus: true, onclick: () => dialog.close('no') }),
      el('button', { type: 'button', class: 'danger', text: action, onclick: () => dialog.close('yes') })))
  document.body.append(dialog)
  dialog.showModal()
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }))
  dialog.remove()
  return dialog.returnValue === 'yes'
}

const whole = new Intl.NumberFormat(LOCALE)
const dated = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'short' })
const percents = new Intl.NumberFormat(LOCALE, { style: 'percent', maximumFractionDigits: 0 })

const dollars = new Intl.NumberFormat(LOCALE, { style: 'currency', currency: 'USD', maximumFractionDigits: 4 })
const days = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeZone: 'UTC' })

export const money = (value) => dollars.format(value)
export const day = (iso) => days.format(new Date(iso))
export const number = (value) => (value === null || value === undefined ? '–' : whole.format(value))
export const percent = (fraction) => percents.format(fraction)
export const time = (iso) => (iso ? dated.format(new Date(iso)) : '–')

export function bytes(count) {
  let unit = 0
  let left = count
  while (left >= 1000 && unit < 4) { left /= 1000; unit += 1 }
  const n = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: left < 10 && unit ? 1 : 0 }).format(left)
  return [t('{n} B', { n }), t('{n} kB', { n }), t('{n} MB', { n }), t('{n} GB', { n }), t('{n} TB', { n })][unit]
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return ''
  if (seconds < 60) return t('about {n} s', { n: number(Math.max(1, Math.round(seconds))) })
  if (seconds < 5400) return t('about {n} min', { n: number(Math.round(seconds / 60)) })
  return t('about {n} h', { n: number(Math.round(seconds / 3600)) })
}

// For texts that are not in the catalogue yet; `tn` of `text.js` is for all others.
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`
