// A question with its answer.
import { el, readable } from './dom.js'
import { t } from './text.js'

export const turnOf = (question, ...parts) => el('article', { class: 'turn' }, el('h2', { class: 'unseen', text: t('Question') }),
  el('div', { class: 'asked foreign', dir: 'auto', text: readable(question) }), ...parts)
