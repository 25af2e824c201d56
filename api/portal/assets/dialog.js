// Dialogs with a form, and those that show a secret this once.
import { el, readable, say, trouble } from './dom.js'
import { icon } from './icons.js'
import { t } from './text.js'

// Thrown by the `act` of a form whose field says itself what is wrong.
export class FieldError extends Error {}

// Shows a form; `act(values)` is done while it is open, and what goes wrong is told in it. Returns what `act` returned.
export function asked(title, fields, action, act, { kind = 'main' } = {}) {
  return new Promise((resolve) => {
    const why = el('div')
    const button = el('button', { type: 'submit', class: kind, text: action })
    const form = el('form', { method: 'dialog', class: 'stacked' }, ...fields, why,
      el('div', { class: 'row end' }, el('button', { type: 'button', text: t('Cancel'), onclick: () => close(null) }), button))
    const dialog = el('dialog', { 'aria-labelledby': 'asked-title' }, el('h2', { id: 'asked-title', text: title }), form)
    // Closing returns the focus to the button that opened the dialog; removing alone does not.
    const close = (result) => { dialog.close(); dialog.remove(); resolve(result) }
    dialog.addEventListener('cancel', (event) => { event.preventDefault(); close(null) })
    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      button.disabled = true
      try {
        close(await act(new FormData(form)))
      } catch (error) {
        why.replaceChildren(error instanceof FieldError ? '' : trouble(error))
        button.disabled = false
      }
    })
    document.body.append(dialog)
    dialog.showModal()
  })
}

export function shownOnce(title, secret, hint) {
  return new Promise((resolve) => {
    const field = el('textarea', { readonly: true, rows: 3, class: 'code secret', 'aria-label': title, spellcheck: 'false' })
    field.value = secret
    const dialog = el('dialog', { 'aria-labelledby': 'once-title' },
      el('h2', { id: 'once-title', text: title }), el('p', { text: hint }), field,
      el('div', { class: 'row end' },
        el('button', { type: 'button', onclick: () => copy(field) }, icon('copy'), t('Copy')),
        el('button', { type: 'button', class: 'main', text: t('Done'), onclick: () => { dialog.remove(); resolve() } })))
    // A stray Escape must not lose it.
    dialog.addEventListener('cancel', (event) => event.preventDefault())
    document.body.append(dialog)
    dialog.showModal()
    field.select()
  })
}

async function copy(field) {
  field.select()
  try {
    await navigator.clipboard.writeText(field.value)
    say(t('Copied'))
  } catch {
    say(t('This browser does not let the page copy. Copy the selected text yourself.'))
  }
}

export const labelled = (name, text, field, hint) => {
  field.id ||= `field-${name}`
  field.name = name
  if (hint) field.setAttribute('aria-describedby', `${field.id}-hint`)
  return el('div', {}, el('label', { for: field.id, text }), field, hint ? el('p', { class: 'hint', id: `${field.id}-hint`, text: hint }) : null)
}

export const choices = (legend, name, options, chosen, { many = false } = {}) => el('fieldset', {}, el('legend', { text: legend }),
  options.map(([value, text, hint]) => el('label', { class: 'inline choice' },
    el('input', { type: many ? 'checkbox' : 'radio', name, value, checked: many ? chosen.includes(value) : value === chosen }),
    el('span', {}, readable(text), hint ? el('span', { class: 'hint', text: hint }) : null))))

export const select = (options, chosen) => el('select', {}, options.map(([value, text]) => el('option', { value, text, selected: value === chosen })))
