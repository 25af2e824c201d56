// Tells administrators once that the built-in model answers, and what a larger one needs.
import { byId, el } from './dom.js'
import { icon } from './icons.js'
import { get, may } from './rest.js'
import { t, tp } from './text.js'

const KEY = `built-in-model-noted:${document.body.dataset.who ?? ''}`

function isDismissed() {
  try {
    return localStorage.getItem(KEY) !== null
  } catch {
    return false  // storage is switched off
  }
}

function dismiss(banner) {
  try {
    localStorage.setItem(KEY, '1')
  } catch { /* it comes back on the next page */ }
  banner.remove()
  byId('main').focus()
}

function bannerOf(model) {
  const close = el('button', { type: 'button', class: 'quiet icon-button small', 'aria-label': t('Dismiss'), title: t('Dismiss'), onclick: () => dismiss(banner) }, icon('x'))
  const banner = el('aside', { class: 'notice info admin-banner', 'aria-label': t('For administrators') }, el('div', { class: 'row' },
    el('div', { class: 'grow' }, el('strong', { text: t('Answers come from the small built-in model') }),
      el('p', {}, tp('{model} cannot count, compute or check its own sentences, and makes more mistakes than a larger model. To use a larger one, set {variable} to its address and name, for example {example}, and restart the service.', {
        model: el('span', { text: model }), variable: el('code', { text: 'LEADLINE_LLM' }), example: el('code', { text: 'http://127.0.0.1:11434/v1 qwen3:8b' }),
      })), el('p', { class: 'small soft', text: t('Only administrators see this message.') })), close))
  return banner
}

async function show() {
  if (!may('admin') || !may('read') || isDismissed()) return
  const model = (await get('/v1/status')).language_model
  if (model?.is_built_in) (document.querySelector('.talk, .manage-page') ?? byId('main')).prepend(bannerOf(model.model))
}

show().catch(() => { /* the page works without it */ })
