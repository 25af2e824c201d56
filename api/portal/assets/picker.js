// Finds documents and collections by name as one types, and chooses those that the question looks in.
import { byId, el, foreign, number, readable, say, trouble } from './dom.js'
import { icon } from './icons.js'
import { get } from './rest.js'
import { choose, chooseEverything, isChosen, isEverything, onScope, remove } from './scope.js'
import { t, tn } from './text.js'

const SHOWN = 8
const TYPING_MS = 150
const MINUTES_MS = 60_000

let collections = []
let loadedAt = 0
let options = []
let active = 0
let typing
let asking = 0
// Called with what was typed and whether something was chosen, where the picker was opened by `#` in the question.
let leave = null

const panel = () => byId('picker')
const field = () => byId('find-document')

// Opens the picker. With `left`, it was opened by `#` in the question, and closes after one choice.
export function openPicker(left = null) {
  leave = left
  panel().hidden = false
  byId('choose-scope').setAttribute('aria-expanded', 'true')
  field().value = ''
  field().focus()
  find()
}

export function closePicker(chosen = false) {
  if (panel().hidden) return
  panel().hidden = true
  byId('choose-scope').setAttribute('aria-expanded', 'false')
  const left = leave
  leave = null
  left?.(field().value, chosen)
}

async function find() {
  const mine = ++asking
  const query = field().value.trim()
  try {
    if (Date.now() - loadedAt > MINUTES_MS) {
      collections = (await get('/v1/collections')).collections
      loadedAt = Date.now()
    }
    const page = await get('/v1/documents', { named: query, order: query ? 'name' : 'newest', limit: 3 * SHOWN })
    if (mine !== asking) return
    const folded = query.toLocaleLowerCase()
    const named = collections.filter((each) => `${each.name} ${each.title ?? ''}`.toLocaleLowerCase().includes(folded))
    options = [
      ...named.slice(0, SHOWN).map((each) => ({ kind: 'collection', id: each.name, name: each.title || each.name, count: each.documents })),
      ...page.documents.filter((each) => each.active_version).slice(0, SHOWN).map((each) => ({ kind: 'document', id: each.id, name: each.title || each.name, file: each.name })),
    ]
    active = 0
    draw()
    say(options.length ? tn(options.length, '{n} result', '{n} results') : t('Nothing found'))
  } catch (error) {
    if (mine === asking) byId('found-documents').replaceChildren(el('li', { role: 'presentation' }, trouble(error)))
  }
}

function draw() {
  byId('found-documents').replaceChildren(...options.map((each, at) => el('li', {
    role: 'option', id: `choice-${at}`, 'aria-selected': String(isChosen(each)), class: at === active ? 'active' : null,
    title: readable(each.file ?? each.name), onpointerdown: (event) => event.preventDefault(), onclick: () => take(at),
  }, icon(each.kind === 'collection' ? 'folder' : 'file-text'), foreign(each.name, 'span', { class: 'name' }),
  each.kind === 'collection' ? el('span', { class: 'soft small', text: number(each.count) }) : null,
  isChosen(each) ? icon('check') : null)))
  byId('nothing-found').hidden = options.length > 0
  byId('choose-all').hidden = isEverything()
  if (options.length) field().setAttribute('aria-activedescendant', `choice-${active}`)
  else field().removeAttribute('aria-activedescendant')
  byId(`choice-${active}`)?.scrollIntoView({ block: 'nearest' })
}

function take(at) {
  const option = options[at]
  if (!option) return
  const had = isChosen(option)
  if (had) remove(option)
  else choose(option)
  say(had ? t('Removed') : t('Chosen'))
  if (leave) closePicker(true)
  else draw()
}

const moves = { ArrowDown: 1, ArrowUp: -1 }

function onKey(event) {
  if (moves[event.key] && options.length) {
    active = (active + moves[event.key] + options.length) % options.length
    draw()
  } else if (event.key === 'Enter' && !event.isComposing) {
    if (options.length) take(active)
    else closePicker()
  } else if (event.key === ' ' && leave && !field().value) {
    closePicker()
    return  // the space goes into the question, which has the focus now
  } else return
  event.preventDefault()
}

export function installPicker() {
  field().addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(find, TYPING_MS) })
  field().addEventListener('keydown', onKey)
  byId('choose-all').addEventListener('click', () => { chooseEverything(); field().focus() })
  onScope(() => { if (!panel().hidden) draw() })
}
