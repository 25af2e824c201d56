// The readers of a document: everyone who can see its collection, or a list of people and groups.
import { choices, FieldError, labelled } from './dialog.js'
import { el } from './dom.js'
import { icon } from './icons.js'
import { get, may } from './rest.js'
import { t } from './text.js'

const NAMES = 500
const SUBJECT = /^(user|group):\S(.{0,198}\S)?$/u

// Returns the `fields`, and `read()` for what they say: null for everyone, or the list. `readers` is undefined where
// several documents differ: then nothing is preselected. `read` throws `FieldError` and says in the form what is wrong.
export async function readersForm(readers) {
  const list = el('datalist', { id: 'subjects' }, (await known()).map((value) => el('option', { value })))
  const field = el('textarea', { rows: 4, spellcheck: 'false', autocapitalize: 'none', placeholder: 'group:hr\nuser:ann' })
  field.value = (readers ?? []).join('\n')
  const wrong = el('div', { class: 'stacked', role: 'alert', hidden: true })
  const adding = el('input', { list: 'subjects', placeholder: t('group:NAME or user:NAME'), 'aria-label': t('Add a person or group'), autocapitalize: 'none', spellcheck: 'false' })
  const refuse = (at, ...parts) => {
    wrong.replaceChildren(...parts)
    wrong.hidden = false
    if (at === field || at === adding) at.setAttribute('aria-invalid', 'true')
    at.focus()
    return false
  }
  const accept = () => {
    wrong.hidden = true
    for (const each of [field, adding]) each.removeAttribute('aria-invalid')
    return true
  }
  const put = (entries) => { field.value = [...new Set(entries)].join('\n'); return accept() }

  // A name alone may be a person's or a group's, so both are offered.
  const check = (entry, at, replace) => {
    if (SUBJECT.test(entry)) return true
    if (entry.includes(':')) return refuse(at, el('p', { class: 'bad-ink', text: t('“{entry}” is not a person or group. Write user:NAME or group:NAME.', { entry }) }))
    return refuse(at, el('p', { class: 'bad-ink', text: t('Is “{entry}” a group or a person?', { entry }) }),
      el('div', { class: 'row' }, [['users', `group:${entry}`], ['user-plus', `user:${entry}`]].map(([name, subject]) => el('button', { type: 'button', class: 'small', onclick: () => replace(subject) }, icon(name), subject))))
  }
  const add = () => {
    const entry = adding.value.trim()
    if (!entry) return true
    const take = (subject) => { adding.value = ''; adding.focus(); return put([...lines(field.value), subject]) }
    return check(entry, adding, take) && take(entry)
  }
  const checkList = () => lines(field.value).every((entry) => check(entry, field, (subject) => put(lines(field.value).map((each) => (each === entry ? subject : each)))))

  adding.addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); add() } })
  for (const each of [field, adding]) each.addEventListener('input', accept)
  const who = choices(t('Who can see it'), 'who', [
    ['everybody', t('Everyone who can see the collection')],
    ['listed', t('Only these people and groups, and administrators')],
  ], readers === undefined ? null : readers === null ? 'everybody' : 'listed')
  who.querySelector('legend').className = 'unseen' // the title of the dialog asks the same
  const chosen = () => who.querySelector(':checked')?.value
  const listed = el('div', { class: 'stacked' },
    labelled('readers', t('People and groups, one per line'), field, t('Write user:NAME or group:NAME. If the list is empty, only administrators can see it.')),
    list, el('div', { class: 'row' }, el('div', { class: 'grow' }, adding), el('button', { type: 'button', onclick: add }, icon('user-plus'), t('Add'))))
  const show = () => { listed.hidden = chosen() !== 'listed'; accept() }
  who.addEventListener('change', show)
  show()
  const read = () => {
    if (!chosen()) refuse(who.querySelector('input'), el('p', { class: 'bad-ink', text: t('Choose who can see them.') }))
    else if (chosen() === 'everybody') return null
    else if (add() && checkList()) return lines(field.value)
    throw new FieldError()
  }
  return { fields: [who, listed, wrong], read }
}

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
