// The list of conversations, by day, with a search; and what can be done with each of them.
import { conversation } from './conversation.js'
import { asked, labelled } from './dialog.js'
import { byId, confirmed, el, foreign, readable, say, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { LOCALE } from './locale.js'
import { menuButton } from './menu.js'
import { loadNames } from './names.js'
import { loadKeyNames, me, ownerName } from './owners.js'
import { get, may, send } from './rest.js'
import { t } from './text.js'

const AT_ONCE = 30
const TYPING_MS = 250
// A page of a search may be empty although more follow: this many are read before the reader has to ask for more.
const SEARCH_PAGES = 10
// How often the list is loaded again while a question is being answered in another conversation.
const RUNNING_MS = 3000
const DAY_MS = 86_400_000
const MONTH = new Intl.DateTimeFormat(LOCALE, { month: 'long', year: 'numeric' })
const NARROW = matchMedia('(max-width: 75rem)')

let listed = []
let next = null
let asking = 0
let watching

// Administrators may read the conversations of all people, and see their own until they choose otherwise.
const WHOSE = 'leadline-whose-conversations'
const showsAll = () => byId('whose')?.querySelector('input[value="all"]').checked ?? false
const isMine = ({ by }) => by === me()

export async function listConversations(more = false) {
  const mine = ++asking
  const search = byId('find-conversation').value.trim()
  if (!more) next = null
  try {
    let found = []
    for (let pages = 0; pages < (search ? SEARCH_PAGES : 1); pages += 1) {
      const page = await get('/v1/conversations', { limit: AT_ONCE, cursor: next, search, mine: !showsAll() })
      if (mine !== asking) return
      found = [...found, ...page.conversations]
      next = page.next_cursor
      if (!next || found.length >= AT_ONCE) break
    }
    if (found.some((each) => each.by?.startsWith('key:') && !isMine(each))) await loadKeyNames().catch(() => {})
    await loadNames(found.filter((each) => !isMine(each)).map(({ by }) => by))
    listed = more ? [...listed, ...found] : found
    draw(search)
    watch()
  } catch (error) {
    if (mine === asking) byId('conversations').replaceChildren(trouble(error))
  }
}

// The sign of a running answer goes when the answer is complete. Only the first page is kept up to date.
function watch() {
  clearTimeout(watching)
  if (!listed.slice(0, AT_ONCE).some((each) => each.running && each.id !== conversation.id)) return
  watching = setTimeout(async () => {
    if (document.hidden || document.querySelector('dialog[open], .menu:popover-open')) { watch(); return }
    try {
      const { conversations: first } = await get('/v1/conversations', { limit: AT_ONCE, mine: !showsAll() })
      const now = new Map(first.map((each) => [each.id, each]))
      const before = listed
      listed = listed.map((each) => ({ ...each, running: now.get(each.id)?.running ?? false, unanswered: now.get(each.id)?.unanswered ?? each.unanswered }))
      for (const [at, each] of listed.entries()) if (each.running !== before[at].running || each.unanswered !== before[at].unanswered) drawSign(each)
    } catch { /* the next question says what is wrong */ }
    watch()
  }, RUNNING_MS)
}

function drawSign(each) {
  const place = byId('conversations').querySelector(`a[href="/ask/${CSS.escape(each.id)}"]`)
  place?.querySelector('.state')?.remove()
  place?.prepend(...signOf(each))
}

// The sign of a conversation whose last question has no answer. The page shows the state of the open conversation.
function signOf({ id, running, unanswered }) {
  if (id === conversation.id || !(running || unanswered)) return []
  const words = running ? t('The answer is being written') : t('The last question has no answer')
  return [el('span', { class: running ? 'state running' : 'state unanswered', title: words },
    running ? el('span', { class: 'spinner', 'aria-hidden': 'true' }) : icon('triangle-alert'), el('span', { class: 'unseen', text: words }))]
}

function draw(search) {
  const groups = new Map()
  for (const each of listed) {
    const name = groupOf(new Date(each.created_at))
    groups.set(name, [...(groups.get(name) ?? []), each])
  }
  const nothing = search ? t('No conversation contains these words.') : showsAll() ? t('Nobody has asked a question yet.') : t('Your questions and their answers are kept here.')
  byId('conversations').replaceChildren(...(listed.length
    ? [...groups].map(([name, some]) => el('section', {}, el('h3', { text: name }), el('ol', {}, some.map(entry))))
    : [el('p', { class: 'hint', text: nothing })]))
  byId('more-conversations').hidden = !next
  if (search) say(listed.length ? t('Conversations found') : nothing)
}

// Conversations are in the order in which they began, so their day is the one on which they began.
function groupOf(date) {
  const today = new Date().setHours(0, 0, 0, 0)
  if (date >= today) return t('Today')
  if (date >= today - DAY_MS) return t('Yesterday')
  if (date >= today - 7 * DAY_MS) return t('Last 7 days')
  if (date >= today - 30 * DAY_MS) return t('Last 30 days')
  return MONTH.format(date)
}

function entry(each) {
  const title = readable(each.title)
  return el('li', {},
    el('a', { href: `/ask/${each.id}`, 'aria-current': each.id === conversation.id ? 'page' : null, title: `${title}\n${time(each.created_at)}` },
      ...signOf(each), foreign(each.title, 'span', { class: 'title' }),
      isMine(each) ? null : el('span', { class: 'by' }, icon('user'), foreign(ownerName(each.by)))),
    each.excerpt ? foreign(each.excerpt, 'p', { class: 'excerpt' }) : null,
    menuButton(t('Actions for “{title}”', { title }), () => actions(each), { class: 'quiet icon-button small' }))
}

const actions = (each) => [
  ...(may('ask') ? [{ text: t('Rename'), icon: 'pencil', act: () => rename(each) }] : []),
  { text: t('Export as Markdown'), icon: 'download', href: `/v1/conversations/${each.id}/export`, download: '' },
  { text: t('Export as JSON'), icon: 'code', href: `/v1/conversations/${each.id}/export?form=json`, download: '' },
  ...(may('ask') ? [null, { text: t('Delete'), icon: 'trash-2', danger: true, act: () => forget(each) }] : []),
]

async function rename({ id, title }) {
  const field = el('input', { type: 'text', required: true, maxlength: 200, value: title, autocomplete: 'off', dir: 'auto' })
  const renamed = await asked(t('Rename the conversation'), [labelled('title', t('Title'), field)], t('Rename'),
    async (values) => (await send('PATCH', `/v1/conversations/${id}`, { json: { title: values.get('title') } })).json())
  if (!renamed) return
  if (id === conversation.id) showTitle(renamed.title)
  listed = listed.map((each) => (each.id === id ? { ...each, title: renamed.title } : each))
  draw('')
  say(t('The conversation was renamed'))
}

async function forget({ id }) {
  if (!await confirmed(t('Delete this conversation?'), [t('Its questions and answers are deleted permanently. Documents are not changed.')], t('Delete'))) return
  try {
    await send('DELETE', `/v1/conversations/${id}`)
    if (id === conversation.id) return location.assign('/ask')
    listed = listed.filter((each) => each.id !== id)
    draw('')
    say(t('The conversation was deleted'))
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
}

let current = ''

// `by` is who began the conversation: a colleague's one, which an administrator may read, says so.
export function showTitle(title, by = me()) {
  current = title
  showOwner(by)
  byId('talk-title').textContent = readable(title)
  byId('talk-title').title = readable(title)
  document.title = `${readable(title)} · Leadline`
  byId('share').hidden = !may('ask')
  byId('talk-menu').hidden = false
}

async function showOwner(by) {
  const isOther = by !== me()
  byId('talk-by').hidden = !isOther
  if (!isOther) return
  if (by?.startsWith('key:')) await loadKeyNames().catch(() => {})
  await loadNames([by])
  const name = ownerName(by)
  byId('talk-by').replaceChildren(icon('user'), ' ', t('A conversation of {name}. What you ask here becomes a part of it.', { name }))
}

// On a narrow screen the list is a sheet over the page, which Escape and a press beside it close.
function showList(open) {
  byId('desk').classList.toggle('with-history', open)
  byId('show-history').setAttribute('aria-expanded', String(open))
  if (open) byId('find-conversation').focus()
  else byId('show-history').focus()
}

const isSheet = () => NARROW.matches && byId('desk').classList.contains('with-history')

byId('show-history').addEventListener('click', () => showList(!byId('desk').classList.contains('with-history')))
byId('close-history').addEventListener('click', () => showList(false))
addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || !isSheet() || event.defaultPrevented || document.querySelector('dialog[open]')) return
  event.stopImmediatePropagation()
  showList(false)
}, { capture: true })
addEventListener('pointerdown', (event) => {
  if (isSheet() && !event.target.closest('#history, #show-history, .menu, dialog')) showList(false)
})

if (byId('whose')) {
  if (sessionStorage.getItem(WHOSE) === 'all') byId('whose').querySelector('input[value="all"]').checked = true
  byId('whose').addEventListener('change', () => { sessionStorage.setItem(WHOSE, showsAll() ? 'all' : 'mine'); listConversations() })
}

let typing
byId('find-conversation').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(listConversations, TYPING_MS) })
byId('more-conversations').addEventListener('click', () => listConversations(true))
byId('share').addEventListener('click', share)
byId('talk-menu').append(menuButton(t('Actions for this conversation'), () => actions({ id: conversation.id, title: current })))

// Loads the dialog when it is first needed, so that the page itself loads less.
async function share() {
  try {
    const { openShares } = await import('./shares.js')
    await openShares({ conversation: conversation.id }, { goesOn: true })
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
}
