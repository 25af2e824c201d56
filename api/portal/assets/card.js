// The card of a document, which tells it apart from similar documents: its fields, their origins, and a form.
import { asked, labelled } from './dialog.js'
import { el, foreign } from './dom.js'
import { languageName } from './facets.js'
import { send } from './rest.js'
import { t } from './text.js'

const FIELDS = [
  ['kind', t('Kind'), t('For example contract, minutes or manual')],
  ['subjects', t('Subjects'), t('Organizations, people, products and places, one per line')],
  ['periods', t('Periods'), t('For example 2023, 2023-H1, 2023-Q2 or 2023-04, one per line')],
  ['dates', t('Dates'), t('For example 2023-04-01, one per line')],
  ['version', t('Version'), t('For example 2.1')],
  ['language', t('Language'), t('A code such as en or de')],
]
const LISTS = new Set(['subjects', 'periods', 'dates'])
const ORIGINS = { person: t('set by a person'), model: t('written by the language model'), rules: t('found in the text'), source: t('found in the file') }

// Returns the known fields as terms and descriptions.
export function cardRows(card) {
  return FIELDS.filter(([name]) => textOf(card, name)).flatMap(([name, title]) => [
    el('dt', { text: title }),
    el('dd', {}, foreign(name === 'language' ? languageName(card.fields.language) : textOf(card, name, ' · ')), el('span', { class: 'soft small', text: ` ${ORIGINS[card.origins[name]] ?? ''}` })),
  ])
}

// Returns the line below a document's name in the library.
// A kind that only repeats the type of the file stands in the column of types.
export function cardLine({ card, media_type: type, name }) {
  const repeats = (kind) => type.split(/[/.+-]/).includes(kind) || name.toLowerCase().endsWith(`.${kind}`)
  const texts = ['kind', 'version', 'periods', 'dates'].map((field) => textOf(card, field, ', '))
  return texts.filter((text, at) => text && !(at === 0 && repeats(text))).join(' · ')
}

// Shows a form for the card and sends the changes. Returns true if the form was sent, and null if it was closed.
export async function editCard(id) {
  const response = await send('GET', `/v1/documents/${id}`)
  const { card } = await response.json()
  const fields = FIELDS.map(([name, title, hint]) => {
    const field = LISTS.has(name) ? el('textarea', { rows: 3 }) : el('input', { maxlength: 200 })
    field.value = textOf(card, name)
    field.dir = 'auto'
    const made = labelled(name, title, field, hint)
    if (card.origins[name] === 'person') made.append(el('label', { class: 'inline' }, el('input', { type: 'checkbox', name: `${name}-found`, onchange: (event) => { field.disabled = event.target.checked } }), t('As found in the document')))
    return made
  })
  return asked(t('Card of this document'), [
    el('p', { text: t('Changes apply immediately to searches, filters and answers, and are kept for later versions. An empty field means that the document has none.') }), ...fields,
  ], t('Change'), async (values) => {
    const changes = changesOf(card, values)
    if (Object.keys(changes).length) await send('PATCH', `/v1/documents/${id}/card`, { json: changes, more: { 'If-Match': response.headers.get('ETag') } })
    return true
  })
}

// Returns only the fields that differ: the others keep the values found in the document, also in later versions.
function changesOf(card, values) {
  const changes = {}
  for (const [name] of FIELDS) {
    if (values.get(`${name}-found`)) changes[name] = null
    else if (lines(values.get(name)).join('\n') !== textOf(card, name)) changes[name] = LISTS.has(name) ? lines(values.get(name)) : values.get(name).trim()
  }
  return changes
}

const lines = (text) => [...new Set((text ?? '').split('\n').map((line) => line.trim()).filter(Boolean))]

function textOf(card, name, between = '\n') {
  const value = card?.fields[name] ?? ''
  return Array.isArray(value) ? value.join(between) : value
}
