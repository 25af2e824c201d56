// The remarks of the service in the language of the page, such as the notes of an answer. The service sends a code and
// values with its English text: `ingest/storage/remarks.py` has the codes, and `api/languages` the translations.
import { number } from './dom.js'
import { explain, isKnown } from './problems.js'

const REMARKS = globalThis.leadlineRemarks ?? {}

// Returns a remark in the language of the page; its English text if it has no code, or no code that this page knows.
export function remarkOf(coded, text = coded?.text ?? '') {
  const forms = REMARKS[coded?.code]
  if (forms === undefined) return text
  if (coded.code === 'problem') return problemOf(coded.values)
  const template = Array.isArray(forms) ? forms[coded.values.n === 1 ? 0 : 1] : forms
  return template.replace(/\{(\w+)\}/g, (whole, name) => (name in coded.values ? shown(coded.values[name]) : whole)).replace(/\.\.$/, '.').trim()
}

// Returns the notes or reasons of an answer, each with its code where it has one.
export const remarksOf = (coded, texts) => texts.map((text, at) => remarkOf(coded?.[at], text))

const problemOf = ({ problem, detail }) => (isKnown(problem) ? explain({ code: problem }).message : detail)

function shown(value) {
  if (typeof value === 'number') return number(value)
  if (Array.isArray(value)) return value.map(shown).join(', ')
  return typeof value === 'object' && value ? partOf(value) : String(value ?? '')
}

// A part of a sentence keeps the space at its edges.
const partOf = (value) => (REMARKS[value.code] === undefined ? value.text : (/^\s/.test(value.text) ? ' ' : '') + remarkOf(value))
