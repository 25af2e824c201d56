// Who can see a document: everyone who can see its collection, or a list of people and groups.
import { choices, labelled } from './dialog.js'
import { el } from './dom.js'
import { icon } from './icons.js'
import { get, may } from './rest.js'
import { t } from './text.js'

const NAMES = 500

export async function readersForm(readers) {
  const list = el('datalist', { id: 'subjects' }, (await known()).map((value) => el('option', { value })))
  const field = el('textarea', { rows: 4, spellcheck: 'false', autocapitalize: 'none', placeholder: 'group:hr\nuser:ann' })
  field.value = (readers ?? []).join('\n')
  const adding = el('input', { list: 'subjects', placeholder: t('group:NAME or user:NAME'), 'aria-label': t('Add a person or group'), autocapitalize: 'none', spellcheck: 'false' })
  const add = () => {
    const subject = adding.value.trim()
    if (!subject) return
    field.value = [...new Set([...lines(field.value), subject])].join('\n')
    adding.value = ''
    adding.focus()
  }
  adding.addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); add() } })
  const who = choices(t('Who can see it'), 'who', [
    ['everybody', t('Everyone who can see the collection')],
    ['listed', t('Only these people and groups, and administrators')],
  ], readers === null ? 'everybody' : 'listed')
  const listed = el('div', { class: 'stacked', hidden: readers === null },
    labelled('readers', t('People and groups, one per line'), field, t('Write user:NAME or group:NAME. If the list is empty, only administrators can see it.')),
    list, el('div', { class: 'row' }, el('div', { class: 'grow' }, adding), el('button', { type: 'button', onclick: add }, icon('user-plus'), t('Add'))))
  who.addEventListener('change', () => { listed.hidden = field.form.elements.who.value === 'everybody' })
  return [who, listed]
}

export const readersOf = (values) => (values.get('who') === 'everybody' ? null : lines(values.get('readers')))

const lines = (text) => [...new Set(text.split('\n').map((line) => line.trim()).filter(Boolean))]

// Names to suggest: an administrator gets the names of all people and groups, and everyone else their own.
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
