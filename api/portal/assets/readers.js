// The readers of a document: everyone who can see its collection, or a list of people and groups.
import { choices, FieldError } from './dialog.js'
import { el, foreign, say } from './dom.js'
import { icon } from './icons.js'
import { keepNames, loadNames } from './names.js'
import { countReaders, partsOf, SUBJECT } from './reader_words.js'
import { get, may } from './rest.js'
import { t, tn } from './text.js'

const NAMES = 500
const PEOPLE = 100
const TYPING_MS = 250
const SHOWN = 8
const ICONS = { user: 'user', group: 'users' }

// Returns the `fields`, and `read()` for what they say: null for everyone, or the list. `readers` is undefined where
// several documents differ: then nothing is preselected. `read` throws `FieldError` and says in the form what is wrong.
export async function readersForm(readers) {
  const [suggestions] = await Promise.all([known(), loadNames(readers ?? [])])
  const picker = new ReaderPicker(readers ?? [], suggestions)
  const who = choices(t('Who can read it'), 'who', [
    ['everybody', t('Everyone who can see the collection')],
    ['listed', t('Only these people and groups'), t('Administrators see it only if they are on the list, or with a key that belongs to no person.')],
  ], readers === undefined ? null : readers === null ? 'everybody' : 'listed')
  who.querySelector('legend').className = 'unseen' // the title of the dialog asks the same
  const wrong = el('p', { class: 'bad-ink', role: 'alert', hidden: true, text: t('Choose who can read them.') })
  const chosen = () => who.querySelector(':checked')?.value
  const show = () => { picker.place.hidden = chosen() !== 'listed'; wrong.hidden = true }
  who.addEventListener('change', show)
  show()
  const read = () => {
    if (chosen() === 'everybody') return null
    if (chosen()) return picker.read()
    wrong.hidden = false
    who.querySelector('input').focus()
    throw new FieldError()
  }
  return { fields: [who, picker.place, wrong], read }
}

// The people and groups that were chosen, and a field that suggests others by their names.
class ReaderPicker {
  constructor(chosen, suggestions) {
    this.chosen = new Set(chosen)
    this.suggestions = suggestions
    this.options = []
    this.active = 0
    this.list = el('ul', { class: 'chips readers', 'aria-label': t('People and groups') })
    this.field = el('input', {
      role: 'combobox', 'aria-expanded': 'false', 'aria-controls': 'found-readers', 'aria-autocomplete': 'list', 'aria-describedby': 'readers-wrong',
      'aria-label': t('Add a person or group'), placeholder: t('Name of a person or group'), autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', maxlength: 250,
    })
    this.found = el('ul', { id: 'found-readers', class: 'found-readers', role: 'listbox', 'aria-label': t('People and groups'), hidden: true })
    this.wrong = el('p', { id: 'readers-wrong', class: 'bad-ink', role: 'alert', hidden: true })
    this.place = el('div', { class: 'stacked' }, this.list, el('div', { class: 'reader-field' }, this.field, this.found), this.wrong)
    this.field.addEventListener('input', () => { this.accept(); this.find(); this.findMore() })
    // The list stays until something is chosen: a button below it must not move while it is pressed.
    for (const name of ['focus', 'click']) this.field.addEventListener(name, () => this.find())
    this.field.addEventListener('keydown', (event) => this.onKey(event))
    this.field.addEventListener('paste', (event) => this.onPaste(event))
    this.draw()
  }

  draw() {
    const chips = [...this.chosen].map((subject) => {
      const { kind, name } = partsOf(subject)
      return el('li', { data: { subject } }, icon(ICONS[kind]), foreign(name, 'span', { class: 'name' }),
        el('button', { type: 'button', class: 'quiet', 'aria-label': t('Remove {name}', { name }), onclick: () => { this.chosen.delete(subject); this.draw(); this.field.focus(); this.close() } }, icon('x')))
    })
    this.list.replaceChildren(...(chips.length ? chips : [el('li', { class: 'none soft', text: t('Nobody yet') })]))
  }

  // What was typed may be a name, or `user:NAME` or `group:NAME` as in the API.
  find() {
    const typed = this.field.value.trim()
    const folded = typed.toLocaleLowerCase()
    if (SUBJECT.test(typed)) this.options = [{ subject: typed }]
    else {
      const named = this.suggestions.filter((each) => !this.chosen.has(each.subject) && wordsOf(each).some((words) => words.toLocaleLowerCase().includes(folded)))
      const isKnown = this.suggestions.some((each) => wordsOf(each).includes(typed))
      const missing = (kind) => typed && !typed.includes(':') && !isKnown && !this.chosen.has(`${kind}:${typed}`)
      this.options = [...named.slice(0, SHOWN), ...['user', 'group'].filter(missing).map((kind) => ({ subject: `${kind}:${typed}`, isNew: true }))]
    }
    this.active = 0
    this.drawFound()
  }

  // Asks for people who are not among the first ones, once nothing has been typed for a moment.
  findMore() {
    clearTimeout(this.typing)
    const query = this.field.value.trim()
    if (!query || SUBJECT.test(query)) return
    this.typing = setTimeout(async () => {
      const known = new Set(this.suggestions.map(({ subject }) => subject))
      const others = (await people(query)).filter(({ subject }) => !known.has(subject))
      if (!others.length) return
      this.suggestions.push(...others)
      if (this.field.value.trim() === query) this.find()
    }, TYPING_MS)
  }

  drawFound() {
    this.found.replaceChildren(...this.options.map((option, at) => el('li', {
      role: 'option', id: `reader-${at}`, 'aria-selected': String(at === this.active), class: at === this.active ? 'active' : null,
      onpointerdown: (event) => event.preventDefault(), onclick: () => this.take(option.subject),
    }, ...described(option))))
    const isOpen = this.options.length > 0
    this.found.hidden = !isOpen
    this.field.setAttribute('aria-expanded', String(isOpen))
    if (isOpen) this.field.setAttribute('aria-activedescendant', `reader-${this.active}`)
    else this.field.removeAttribute('aria-activedescendant')
    this.found.children[this.active]?.scrollIntoView({ block: 'nearest' })
  }

  close() {
    this.options = []
    this.drawFound()
  }

  take(...subjects) {
    for (const each of subjects) this.chosen.add(each)
    this.field.value = ''
    this.accept()
    this.draw()
    this.close()
    say(countReaders([...this.chosen]))
  }

  onKey(event) {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (move && !this.options.length) this.find()
    else if (move) {
      this.active = (this.active + move + this.options.length) % this.options.length
      this.drawFound()
    } else if (event.key === 'Enter' && !event.isComposing) {
      if (this.options.length) this.take(this.options[this.active].subject)
      else if (this.field.value.trim()) this.complain()
      else return // sends the form
    } else if (event.key === 'Escape' && this.options.length) this.close()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  // A list from elsewhere, such as one line for each reader.
  onPaste(event) {
    const entries = event.clipboardData.getData('text/plain').split(/[\n,;]/).map((each) => each.trim()).filter(Boolean)
    if (entries.length < 2 || !entries.every((each) => SUBJECT.test(each))) return
    event.preventDefault()
    this.take(...entries)
  }

  accept() {
    this.wrong.hidden = true
    this.field.removeAttribute('aria-invalid')
  }

  complain() {
    const entry = this.field.value.trim()
    this.wrong.textContent = entry.includes(':') ? t('“{entry}” is not a person or group. Type the name alone, and choose it from the list.', { entry }) : t('Is “{entry}” a person or a group? Choose it from the list.', { entry })
    this.wrong.hidden = false
    this.field.setAttribute('aria-invalid', 'true')
    this.field.focus()
    this.find()
  }

  // Returns the list, with what is in the field still if it can mean only one.
  read() {
    const typed = this.field.value.trim()
    if (typed) {
      const named = this.suggestions.filter((each) => wordsOf(each).includes(typed))
      const [only = null, ...others] = SUBJECT.test(typed) ? [typed] : named.map(({ subject }) => subject)
      if (!only || others.length) {
        this.complain()
        throw new FieldError()
      }
      this.take(only)
    }
    return [...this.chosen]
  }
}

// The name of a suggestion, and the mail address of a person that the identity provider has verified.
const wordsOf = ({ subject, mail, isVerified }) => [partsOf(subject).name, ...(mail && isVerified ? [mail] : [])]

function described({ subject, members, mail, isVerified, isNew }) {
  const { kind, name } = partsOf(subject)
  const words = kind === 'group' ? (members ? t('group, {members}', { members: tn(members, '{n} member', '{n} members') }) : t('group')) : !mail ? t('person') : isVerified ? mail : t('{mail} (not verified)', { mail })
  return [icon(ICONS[kind]), foreign(name, 'span', { class: 'name' }), el('span', { class: 'soft small', dir: 'auto', text: isNew && may('admin') ? t('{kind}, not known yet', { kind: words }) : words })]
}

// Names to suggest: people who signed in with the identity provider. Besides, an administrator gets the names of all users
// and groups, and everyone else their own.
async function known() {
  try {
    if (!may('admin')) {
      const [me, others] = await Promise.all([get('/v1/me'), people()])
      const own = [...(me.user ? [`user:${me.user}`] : []), ...me.groups.map((each) => `group:${each}`)]
      await loadNames(own)
      return [...own.filter((each) => !others.some(({ subject }) => subject === each)).map((subject) => ({ subject })), ...others]
    }
    const [groups, users, others] = await Promise.all([get('/v1/groups'), get('/v1/users', { limit: NAMES }), people()])
    return [...others, ...groups.groups.map((each) => ({ subject: `group:${each.name}`, members: each.members })), ...users.users.map((each) => ({ subject: `user:${each.name}` }))]
  } catch {
    return []
  }
}

// People who signed in with the identity provider, of all names or those that match.
async function people(query = '') {
  try {
    const found = (await get('/v1/people', { query, limit: PEOPLE })).people
    keepNames(found)
    return found.map(({ user, mail, mail_verified: isVerified }) => ({ subject: `user:${user}`, mail, isVerified }))
  } catch {
    return []
  }
}
