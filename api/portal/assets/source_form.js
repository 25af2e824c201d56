// The form of a source: its fields are made from the JSON schema of the options of its kind. The texts in a schema are
// English, and the catalogue has their translations.
import { labelled, select } from './dialog.js'
import { el } from './dom.js'
import { t, translation } from './text.js'

// Shows `names in backticks` of a description as code.
const described = (text) => text.split('`').map((part, at) => (at % 2 ? el('code', { text: part }) : part))

// The part of a schema that describes a value: an option that may be null has another part for that.
function valueOf(schema, definitions) {
  if (schema.$ref) return { ...valueOf(definitions[schema.$ref.split('/').at(-1)], definitions), ...schema, $ref: undefined }
  const parts = (schema.anyOf ?? schema.allOf ?? []).filter((part) => part.type !== 'null')
  return parts.length ? { ...valueOf(parts[0], definitions), ...schema, anyOf: undefined, allOf: undefined } : schema
}

export class OptionFields {
  // `values` are the options as they are now, and `set` the names of credentials that are stored and not shown.
  constructor({ options: schema, credentials }, values = {}, set = []) {
    Object.assign(this, { credentials, values, set, required: new Set(schema.required ?? []) })
    this.schemas = Object.entries(schema.properties ?? {}).map(([name, each]) => [name, valueOf(each, schema.$defs ?? {})])
    this.fields = new Map(this.schemas.map(([name, each]) => [name, this.#field(name, each)]))
    const [first, more] = [true, false].map((isFirst) => this.schemas.filter(([name]) => this.#isFirst(name) === isFirst).map(([name, each]) => this.#labelled(name, each)))
    this.element = el('div', { class: 'stacked' }, first, more.length ? el('details', {}, el('summary', { text: t('More options') }), el('div', { class: 'stacked' }, more)) : null)
    // A field that is not valid is shown, so that the browser can say why.
    this.element.addEventListener('invalid', () => { for (const each of this.element.querySelectorAll('details')) each.open = true }, true)
  }

  // Options without which the source cannot be read, and those that are set, are not hidden among the others.
  // The option before a credential, such as a user name, belongs to it.
  #isFirst(name) {
    const next = this.schemas[this.schemas.findIndex(([each]) => each === name) + 1]?.[0]
    return this.required.has(name) || [name, next].some((each) => this.credentials.includes(each)) || name in this.values
  }

  #field(name, schema) {
    const required = this.required.has(name) && !this.set.includes(name)
    const value = this.values[name] ?? schema.default
    if (this.credentials.includes(name)) {
      return el('input', { type: 'password', autocomplete: 'new-password', required, placeholder: this.set.includes(name) ? t('set; leave empty to keep it') : null })
    }
    if (schema.enum) return select(schema.enum.map((each) => [each, translation(schema.labels?.[each] ?? each)]), value)
    switch (schema.type) {
      case 'boolean': return el('input', { type: 'checkbox', checked: value === true })
      case 'integer': case 'number':
        return el('input', { type: 'number', required, min: schema.minimum, max: schema.maximum, step: schema.type === 'integer' ? 1 : 'any', value: value ?? '' })
      case 'array': return area((value ?? []).join('\n'), required)
      case 'object': return area(Object.entries(value ?? {}).map(([key, each]) => `${key} = ${typeof each === 'string' ? each : JSON.stringify(each)}`).join('\n'), required)
      default: return el('input', { required, maxlength: 2000, autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none', value: value ?? '' })
    }
  }

  #labelled(name, schema) {
    const field = this.fields.get(name)
    const title = translation(schema.title)
    const lines = { array: t('One in each line.'), object: t('One in each line, as NAME = VALUE.') }[schema.type] ?? ''
    const hint = [translation(schema.description ?? ''), lines].filter(Boolean).join(' ')
    const made = schema.type === 'boolean'
      ? el('div', {}, el('label', { class: 'inline' }, field, ` ${title}`), el('p', { class: 'hint', id: `option-${name}-hint` }))
      : labelled(`option-${name}`, title, field, hint)
    const shown = made.querySelector('.hint')
    if (shown) shown.replaceChildren(...described(hint))
    if (schema.type === 'boolean') field.setAttribute('aria-describedby', `option-${name}-hint`)
    return made
  }

  // The options as the form has them. Those that are empty or as by default are left out, or null if they were set.
  read() {
    const found = {}
    for (const [name, schema] of this.schemas) {
      const value = read(this.fields.get(name), schema)
      const isDefault = value === null || JSON.stringify(value) === JSON.stringify(schema.default)
      if (!isDefault || this.required.has(name)) { if (value !== null) found[name] = value }
      else if (name in this.values) found[name] = null
    }
    return found
  }
}

const area = (value, required) => {
  const field = el('textarea', { rows: Math.min(Math.max(value.split('\n').length, 2), 8), required, spellcheck: 'false', autocapitalize: 'none' })
  field.value = value
  return field
}

const linesOf = (field) => field.value.split('\n').map((each) => each.trim()).filter(Boolean)

function read(field, schema) {
  switch (schema.type) {
    case 'boolean': return field.checked
    case 'integer': case 'number': return field.value === '' ? null : Number(field.value)
    case 'array': return linesOf(field)
    case 'object': return Object.fromEntries(linesOf(field).map((line) => {
      const [key, ...rest] = line.split('=')
      return [key.trim(), valueFrom(rest.join('=').trim())]
    }))
    default: return field.value.trim() || null
  }
}

// Numbers, lists and the like are JSON; everything else is text.
function valueFrom(text) {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
