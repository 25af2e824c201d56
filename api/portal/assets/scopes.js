// Names the permissions of keys and people in plain words.
import { el, foreign } from './dom.js'
import { t } from './text.js'

export const SCOPES = [
  ['read', t('Read'), t('find and read documents, answers and runs')],
  ['ask', t('Ask'), t('ask questions, which uses the model’s time and money')],
  ['write', t('Write'), t('upload, change and delete documents')],
  ['admin', t('Administer'), t('manage people, keys and collections of this organisation, and see every collection')],
  ['operator', t('Operate'), t('manage the organisations of this installation')],
]

export const inWords = (scopes) => SCOPES.filter(([name]) => scopes.includes(name)).map(([, word]) => word.toLowerCase()).join(', ') || t('nothing')

export const chips = (names) => el('ul', { class: 'chips' }, names.map((name) => el('li', {}, foreign(name))))
