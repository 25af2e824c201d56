// The texts of the portal in the language of the page. The English text is the key of its translation, so write the
// text itself and no name for it: `t('No documents yet')`. `api/languages` has the translations.
import { LOCALE } from './locale.js'

const TEXTS = globalThis.leadlineTexts ?? {}
const whole = new Intl.NumberFormat(LOCALE)

// Translates a text. Values take the places of their names: `t('Shared by {name}', { name })`.
export const t = (text, values = {}) => fill(translation(text), values)

// Translates a text about a number of things, which stands in the place of `{n}`: `tn(2, '{n} page', '{n} pages')`.
export function tn(count, one, many, values = {}) {
  const forms = TEXTS[one]
  const text = Array.isArray(forms) ? forms[count === 1 ? 0 : 1] : count === 1 ? one : many
  return fill(text, { n: whole.format(count), ...values })
}

// Translates a text whose values are elements, and returns its parts in their order, for `append`.
export const tp = (text, values) => translation(text).split(/\{(\w+)\}/).map((part, at) => (at % 2 ? values[part] : part))

// Translates a text that the service sends, such as the title of an option. A text about one thing may be used alone, too.
export const translation = (text) => [TEXTS[text] ?? text].flat()[0]

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole))
