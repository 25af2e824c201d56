// Who may see a document: everybody who may see its collection, or a list of people and groups.
import { choices, labelled } from './dialog.js'
import { el } from './dom.js'
import { get, may } from './rest.js'

const NAMES = 500

export async function readersForm(readers) {
  const list = el('datalist', { id: 'subjects' }, (await known()).map((value) => el('option', { value })))
  const field = el('textarea', { rows: 4, spellcheck: 'false', autocapitalize: 'none', placeholder: 'group:hr\nuser:ann' })
  field.value = (readers ?? []).join('\n')
  const adding = el('input', { list: 'subjects', placeholder: 'group:… or user:…', 'aria-label': 'Add somebody', autocapitalize: 'none', spellcheck: 'false' })
  const add = () => {
    const subject = adding.value.trim()
    if (!subject) return
    field.value = [...new Set([...lines(field.value), subject])].join('\n')
    adding.value = ''
    adding.focus()
  }
  adding.addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); add() } })
  const who = choices('Open to', 'who', [
    ['everybody', 'Everybody who may see the collection'],
    ['listed', 'Only these people and groups, and admins'],
  ], readers === null ? 'everybody' : 'listed')
  const listed = el('div', { class: 'stacked', hidden: readers === null },
    labelled('readers', 'People and groups, one a line', field, 'Write user:NAME or group:NAME. Without any, only admins see it.'),
    list, el('div', { class: 'row' }, el('div', { class: 'grow' }, adding), el('button', { type: 'button', text: 'Add', onclick: add })))
  who.addEventListener('change', () => { listed.hidden = field.form.elements.who.value === 'everybody' })
  return [who, listed]
}

export const readersOf = (values) => (values.get('who') === 'everybody' ? null : lines(values.get('readers')))

const lines = (text) => [...new Set(text.split('\n').map((line) => line.trim()).filter(Boolean))]

// Names to choose from: an admin's are all there are, and everybody else's their own.
async function known() {
  try {
    if (!may('admin')) {
      const me = await get('/v1/me')
      return [...(me.user ? [`user:${me.user}`] : []), ...me.groups.map((each) => `group:${each}`)]
    }
    const [groups, users] = await Promise.all([get('/v1/groups'), get('/v1/users', { limit: NAMES })])
    return [...groups.groups.map((each) => `group:${each.name}`), ...users.users.map((each) => `user:${each.name}`)]
  } catch {
    return []
  }
}
