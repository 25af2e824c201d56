// Quotas in words, and the form that changes their limits.
import { bytes, el, money, number } from './dom.js'
import { LOCALE } from './locale.js'
import { t } from './text.js'

const FACTORS = { k: 1e3, m: 1e6, g: 1e9, t: 1e12 }
export const QUOTAS = {
  requests_per_minute: t('Requests per minute'), tokens_per_day: t('Tokens per day'), tokens_per_month: t('Tokens per month'),
  dollars_per_day: t('Cost per day'), dollars_per_month: t('Cost per month'), answers_at_once: t('Answers at the same time'),
  runs_at_once: t('Runs at the same time'), documents: t('Documents'), bytes: t('Storage'),
}

// Writes an amount of a quota: dollars, bytes, or a number.
export const amountOf = (quota, value) => (quota.startsWith('dollars') ? money(value) : quota === 'bytes' ? bytes(value) : number(value))

const partsOf = (value) => Object.fromEntries(new Intl.NumberFormat(LOCALE, { useGrouping: 'always' }).formatToParts(value).map((each) => [each.type, each.value]))
const { group: GROUP, decimal: DECIMAL } = partsOf(12345.6)

// Reads figures as this language writes them, such as `1,234.5` in English. Three figures after the decimal sign are
// refused: people whose language groups figures with that sign mean a thousand times as much.
function readFigures(figures) {
  const [whole, fraction, ...rest] = figures.replaceAll(/\s/g, ' ').split(DECIMAL)
  const groups = whole.split(/\s/.test(GROUP) ? ' ' : GROUP)
  const isGrouped = groups.length === 1 || (groups[0].length <= 3 && groups.slice(1).every((each) => each.length === 3))
  const isValid = isGrouped && [...groups, fraction ?? '0'].every((each) => /^\d+$/.test(each)) && fraction?.length !== 3 && !rest.length
  return isValid ? Number(`${groups.join('')}.${fraction ?? 0}`) : NaN
}

// Reads an amount such as `250000`, `250,000`, `2.5m`, `10g` or `12.50` dollars; NaN for other texts.
export function readAmount(quota, text) {
  const [, figures, suffix] = /^\$?\s*(\d.*?)\s*([kmgt]?)b?$/i.exec(text.trim()) ?? [null, '', '']
  const dollars = quota.startsWith('dollars')
  const amount = readFigures(figures) * (dollars ? 1 : FACTORS[suffix.toLowerCase()] ?? 1)
  return dollars ? (suffix ? NaN : amount) : Number.isInteger(Math.round(amount * 1e6) / 1e6) ? Math.round(amount) : NaN
}

const fieldValue = (amount) => (amount === null ? '' : new Intl.NumberFormat(LOCALE, { useGrouping: false, maximumFractionDigits: 9 }).format(amount))

// How much of a limit is used, as a bar and in words.
function useOf({ quota, limit, used }) {
  if (used === null) return el('td', { class: 'soft', 'data-label': t('Used'), text: t('not counted here') })
  const bar = limit === null ? null : el('progress', { max: Math.max(1e-9, limit), value: Math.min(used, limit), 'aria-label': t('{quota}: used', { quota: QUOTAS[quota] }) })
  return el('td', { 'data-label': t('Used') }, bar, el('span', { class: 'small soft', text: t('{used} used', { used: amountOf(quota, used) }) }))
}

const limitText = (quota, limit) => (limit === null ? t('no limit') : amountOf(quota, limit))

// A table of the limits of a tenant or key, which nobody can change here.
export function limitsTable(found, of) {
  return el('table', { class: 'limits' }, head([t('Limit'), t('Used')]),
    el('tbody', {}, found.limits.filter((each) => each.of === of).map((each) => el('tr', {},
      el('th', { scope: 'row', text: QUOTAS[each.quota] ?? each.quota }), el('td', { 'data-label': t('Limit'), text: limitText(each.quota, each.limit) }), useOf(each)))))
}

const head = (names) => el('thead', {}, el('tr', {}, el('th', { scope: 'col', text: t('Quota') }), names.map((text) => el('th', { scope: 'col', text }))))

// The fields of a form that changes the limits of a tenant or key. Where they only `lower` the limits, those allowed by
// an operator take the place of the defaults.
export function limitFields(found, of, { lower = false } = {}) {
  return el('table', { class: 'limits' }, head([t('Limit'), t('Used')]), el('tbody', {}, found.limits.filter((each) => each.of === of).map((each) => field(each, lower))))
}

function field(limit, lower) {
  const { quota } = limit
  const name = QUOTAS[quota] ?? quota
  const base = lower ? limit.allowed : limit.default
  const kind = limit.limit === base ? 'default' : limit.limit === null ? 'none' : 'limit'
  const amount = el('input', { name: quota, class: 'amount', value: fieldValue(limit.limit), data: { most: lower && limit.allowed !== null ? limit.allowed : Infinity }, inputmode: 'decimal', autocomplete: 'off', maxlength: 20, 'aria-label': t('{quota}: amount', { quota: name }), hidden: kind !== 'limit' })
  const choice = el('select', { name: `${quota}-kind`, 'aria-label': name, data: { was: kind } }, [
    ['default', lower ? t('As allowed: {limit}', { limit: limitText(quota, base) }) : t('Default: {limit}', { limit: limitText(quota, base) })], ...lower ? [] : [['none', t('No limit')]], ['limit', t('Limit:')],
  ].map(([value, text]) => el('option', { value, text, selected: value === kind })))
  choice.addEventListener('change', () => { amount.hidden = choice.value !== 'limit'; if (!amount.hidden) amount.focus() })
  amount.addEventListener('input', () => amount.setCustomValidity(''))
  return el('tr', {}, el('th', { scope: 'row', text: name }), el('td', { 'data-label': t('Limit') }, el('div', { class: 'row' }, choice, amount)), useOf(limit))
}

const wrongAmount = (quota) => (quota.startsWith('dollars')
  ? t('Enter an amount of dollars, such as {example}.', { example: fieldValue(12.5) })
  : t('Enter a whole number, such as {grouped}, {short} or 10g.', { grouped: number(250000), short: `${fieldValue(2.5)}m` }))

// Returns the limits that were changed in the fields, by quota, or null after it has said which amount is wrong.
export function changedLimits(form, found, of) {
  const changes = {}
  for (const { quota, limit } of found.limits.filter((each) => each.of === of)) {
    const choice = form.elements[`${quota}-kind`]
    const field = form.elements[quota]
    if (choice.value !== 'limit') {
      if (choice.value !== choice.dataset.was) changes[quota] = choice.value === 'none' ? null : 'default'
      continue
    }
    const amount = limit !== null && field.value === field.defaultValue ? limit : readAmount(quota, field.value)
    const isTooHigh = amount > Number(field.dataset.most)
    if (Number.isNaN(amount) || isTooHigh) {
      field.setCustomValidity(isTooHigh ? t('The operator of this installation allows at most {limit}.', { limit: limitText(quota, Number(field.dataset.most)) }) : wrongAmount(quota))
      field.reportValidity()
      return null
    }
    if (amount !== limit || choice.dataset.was !== 'limit') changes[quota] = amount
  }
  return changes
}
