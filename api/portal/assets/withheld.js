// What stands in an answer in the place of sentences that its reader must not see.
import { t } from './text.js'

// The service's words, which are a part of the text of the answer, and those for the reader.
const WORDS = new Map([
  ['[withheld: based on a document that was deleted or replaced]', () => t('[Not shown: based on a document that was deleted or replaced]')],
  ['[withheld: based on a document that you cannot access]', () => t('[Not shown: based on a document that you cannot read]')],
])

export const isWithheld = (text) => text.startsWith('[withheld: ')

export const sayWithheld = (text) => WORDS.get(text.trim())?.() ?? text
