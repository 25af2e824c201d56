// What keys and people may do, in plain words.
import { el, foreign } from './dom.js'

export const SCOPES = [
  ['read', 'Read', 'find and read documents, answers and runs'],
  ['ask', 'Ask', 'ask questions, which spends the model’s time and money'],
  ['write', 'Write', 'upload, change and delete documents'],
  ['admin', 'Administer', 'manage people, keys and collections of this tenant, and see every document'],
  ['operator', 'Operate', 'manage the tenants of this installation'],
]

export const inWords = (scopes) => SCOPES.filter(([name]) => scopes.includes(name)).map(([, word]) => word.toLowerCase()).join(', ') || 'nothing'

export const chips = (names) => el('ul', { class: 'chips' }, names.map((name) => el('li', {}, foreign(name))))
