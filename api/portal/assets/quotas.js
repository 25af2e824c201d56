// Quotas in words, and the form that changes their limits.
import { bytes, el, money, number } from './dom.js'
import { t } from './text.js'

const FACTORS = { k: 1e3, m: 1e6, g: 1e9, t: 1e12 }
export const QUOTAS = {
  requests_per_minute: t('Requests per minute'), tokens_per_day: t('Tokens per day'), tokens_per_month: t('Tokens per month'),
  dollars_per_day: t('Cost per day'), dollars_per_month: t('Cost per month'), answers_at_once: t('Answers at the same time'),
  runs_at_once: t('Runs at the same time'), documents: t('Documents'), bytes: t('Storage'),
}

// Writes an amount of a quota: dollars, bytes, or a number.
export const amountOf = (quota, value) => (quota.startsWith('dollars') ? money(value) : quota === 'bytes' ? bytes(value) : number(value))

// Reads an amount such as `250000`, `2.5m`, `10g` or `12.50` dollars; NaN for other texts.
export function readAmount(quota, text) {
  const [, figures, suffix] = /^\$?\s*(\d+(?:[.,]\d+)?)\s*([kmgt]?)b?$/i.exec(text.trim()) ?? [null, '', '']
  const dollars = quota.startsWith('dollars')
  const amount = figures ? Number(figures.replace(',', '.')) * (dollars ? 1 : FACTORS[suffix.toLowerCase()] ?? 1) : NaN
  return dollars ? (suffix ? NaN : amount) : Number.isInteger(Math.round(amount * 1e6) / 1e6) ? Math.round(amount) : NaN
}

const usedOf = (found, quota, of) => found.quotas.find((each) => each.quota === quota && each.of === of)

// How much of a limit is used, as a bar and in words.
function useOf(found, { quota, of, limit }) {
  const status = usedOf(found, quota, of)
  if (!status) return el('td', { class: limit === null ? 'soft nothing' : 'soft', 'data-label': t('Used'), text: limit === null ? '–' : t('not counted here') })
  const text = t('{used} used', { used: amountOf(quota, status.used) })
  return el('td', { 'data-label': t('Used') }, el('progress', { max: Math.max(1e-9, status.limit), value: Math.min(status.used, status.limit), 'aria-label': t('{quota}: used', { quota: QUOTAS[quota] }) }), el('span', { class: 'small soft', text }))
}

const limitText = (quota, limit) => (limit === null ? t('no limit') : amountOf(quota, limit))

// A table of the limits of a tenant or key, which nobody can change here.
export function limitsTable(found, of) {
  return el('table', { class: 'limits' }, head([t('Limit'), t('Used')]),
    el('tbody', {}, found.limits.filter((each) => each.of === of).map((each) => el('tr', {},
      el('th', { scope: 'row', text: QUOTAS[each.quota] ?? each.quota }), el('td', { 'data-label': t('Limit'), text: limitText(each.quota, each.limit) }), useOf(found, each)))))
}

const head = (names) => el('thead', {}, el('tr', {}, el('th', { scope: 'col', text: t('Quota') }), names.map((text) => el('th', { scope: 'col', text }))))

// The fields of a form that changes the limits of a tenant or key. `changes(form)` returns what to send, or the field with an error.
export function limitFields(found, of) {
  return el('table', { class: 'limits' }, head([t('Limit'), t('Used')]), el('tbody', {}, found.limits.filter((each) => each.of === of).map((each) => field(found, each))))
}

function field(found, limit) {
  const { quota } = limit
  const name = QUOTAS[quota] ?? quota
  const kind = limit.limit === limit.default ? 'default' : limit.limit === null ? 'none' : 'limit'
  const amount = el('input', { name: quota, class: 'amount', value: limit.limit ?? '', inputmode: 'decimal', autocomplete: 'off', maxlength: 20, 'aria-label': t('{quota}: amount', { quota: name }), hidden: kind !== 'limit' })
  const choice = el('select', { name: `${quota}-kind`, 'aria-label': name, data: { was: kind } }, [
    ['default', t('Default: {limit}', { limit: limitText(quota, limit.default) })], ['none', t('No limit')], ['limit', t('Limit:')],
  ].map(([value, text]) => el('option', { value, text, selected: value === kind })))
  choice.addEventListener('change', () => { amount.hidden = choice.value !== 'limit'; if (!amount.hidden) amount.focus() })
  amount.addEventListener('input', () => amount.setCustomValidity(''))
  return el('tr', {}, el('th', { scope: 'row', text: name }), el('td', { 'data-label': t('Limit') }, el('div', { class: 'row' }, choice, amount)), useOf(found, limit))
}

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
    const amount = readAmount(quota, field.value)
    if (Number.isNaN(amount)) {
      field.setCustomValidity(quota.startsWith('dollars') ? t('Enter an amount of dollars, such as 12.50.') : t('Enter a whole number, such as 250000, 2.5m or 10g.'))
      field.reportValidity()
      return null
    }
    if (amount !== limit || choice.dataset.was !== 'limit') changes[quota] = amount
  }
  return changes
}
