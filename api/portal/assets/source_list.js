// Sources that stay in sync: their state, a form to add or change one, their history, and what was
// refused or failed.
import { asked, FieldError, labelled, select } from './dialog.js'
import { byId, confirmed, el, foreign, number, readable, say, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { menuButton } from './menu.js'
import { explain, Problem } from './problems.js'
import { get, post, send } from './rest.js'
import { listed } from './source_lists.js'
import { OptionFields } from './source_form.js'
import { t, tn, translation } from './text.js'

// A sync in progress is followed closely. Others begin by themselves, or are asked for elsewhere.
const POLL_MS = 1500
const IDLE_POLL_MS = 20_000
const HOUR = 3600
const FIRST_KIND = 'folder'
const SCHEDULES = [[String(HOUR / 4), t('every 15 minutes')], [String(HOUR), t('every hour')], [String(6 * HOUR), t('every 6 hours')], [String(24 * HOUR), t('every day')], ['0', t('only when asked')]]
const SYNCS = {
  queued: ['soft waiting', t('Waiting')], running: ['soft waiting', t('Synchronizing…')], needs_approval: ['bad bad-ink', t('Needs an answer')],
  succeeded: ['good', t('In sync')], failed: ['bad bad-ink', t('Failed')], cancelled: ['soft', t('Cancelled')],
}
const UNFINISHED = new Set(['queued', 'running'])
const NEVER_SAVED = new Set(['source_not_permitted', 'source_folder_not_permitted', 'source_loader_not_permitted', 'source_options_invalid'])
let kinds = new Map()
// The sources as they are shown, by their ids.
let shown = new Map()
let polling

const fail = (error) => byId('trouble').replaceChildren(trouble(error))
const at = (source, path = '') => `/v1/sources/${encodeURIComponent(source.id)}${path}`
const attempt = (act) => () => act().then(show).catch(fail)

const kindLabel = (name) => translation(kinds.get(name)?.options.title ?? name)

async function show() {
  clearTimeout(polling)
  const { sources } = await get('/v1/sources')
  sources.sort((one, other) => one.name.localeCompare(other.name))
  const before = shown
  shown = new Map(sources.map((source) => {
    const known = before.get(source.id)
    const state = JSON.stringify(source)
    // An open menu stays open, and its row is drawn again later.
    const isKept = known && (known.state === state || known.row.querySelector('.menu'))
    return [source.id, isKept ? known : { source, state, row: row(source) }]
  }))
  redraw([...shown.values()].map((each) => each.row))
  byId('table').hidden = !sources.length
  byId('empty').hidden = Boolean(sources.length)
  for (const { source } of shown.values()) announceEnd(before.get(source.id)?.source, source)
  const isBusy = sources.some(({ last_sync: sync }) => UNFINISHED.has(sync?.state))
  clearTimeout(polling)
  polling = setTimeout(() => show().catch(lost), isBusy ? POLL_MS : IDLE_POLL_MS)
}

// After an error, such as a lost connection, the page tries again.
function lost(error) {
  fail(error)
  polling = setTimeout(() => show().then(() => byId('trouble').replaceChildren()).catch(lost), IDLE_POLL_MS)
}

// Rows that did not change stay, with an open menu. The focus stays where it was, also in a row that is drawn again.
function redraw(rows) {
  const list = byId('rows')
  const focused = document.activeElement?.closest?.('#rows [data-act]')
  const { id } = focused?.closest('tr').dataset ?? {}
  for (const old of [...list.children]) if (!rows.includes(old)) old.remove()
  rows.forEach((each, at) => { if (list.children[at] !== each) list.insertBefore(each, list.children[at] ?? null) })
  if (!focused || focused.isConnected) return
  const again = [focused.dataset.act, 'menu'].map((name) => list.querySelector(`tr[data-id="${id}"] [data-act="${name}"]`))
  again.find(Boolean)?.focus()
}

function announceEnd(before, { name, last_sync: sync }) {
  if (!UNFINISHED.has(before?.last_sync?.state) || UNFINISHED.has(sync.state) || sync.state === 'cancelled') return
  const values = { name: readable(name), status: SYNCS[sync.state][1] }
  say(t('{name}: {status}', values))
}

function row(source) {
  const sync = source.last_sync
  return el('tr', { data: { id: source.id } },
    el('td', { class: 'named' }, el('strong', {}, foreign(source.name)), el('div', { class: 'small soft' }, kindLabel(source.kind), ' · ', foreign(t('into {collection}', { collection: source.collection })))),
    el('td', {}, badge(source), sync?.failure ? reasonOf(sync.failure) : null, approvalOf(source)),
    el('td', { class: 'small', 'data-label': t('Last sync') }, UNFINISHED.has(sync?.state) ? progressOf(sync) : sync ? [time(sync.ended_at ?? sync.created_at), el('div', { class: 'soft', text: countsOf(sync.counts, sync.state === 'needs_approval' ? '' : undefined) })] : t('never')),
    el('td', { class: 'small whole', 'data-label': t('Next sync') }, source.paused ? t('paused') : source.next_sync_at ? [time(source.next_sync_at), el('div', { class: 'soft', text: scheduleOf(source.interval_seconds) })] : t('when asked')),
    el('td', { class: 'small right whole', 'data-label': t('Items') },
      source.items ? act('items', { class: 'link', 'aria-label': readable(`${tn(source.items, '{n} item', '{n} items')}: ${source.name}`), onclick: () => items(source).catch(fail) }, number(source.items)) : number(0),
      source.refused_items ? el('div', {}, act('refused', { class: 'link', onclick: () => refused(source).catch(fail) }, tn(source.refused_items, '{n} refused', '{n} refused'))) : null,
      source.failed_documents ? el('div', {}, act('failed', { class: 'link', onclick: () => failed(source).catch(fail) }, tn(source.failed_documents, '{n} failed', '{n} failed'))) : null),
    el('td', { class: 'act' }, el('div', { class: 'row' },
      UNFINISHED.has(sync?.state)
        ? action('cancel', 'x', t('Cancel'), source, attempt(() => post(at(source, `/syncs/${sync.id}/cancel`))))
        : action('sync', 'refresh-cw', t('Sync now'), source, attempt(() => post(at(source, '/syncs')))),
      menuButton(t('Actions for {title}', { title: readable(source.name) }), () => actions(source), { class: 'quiet icon-button small', data: { act: 'menu' } }))))
}

const act = (name, properties, ...children) => el('button', { type: 'button', data: { act: name }, ...properties }, ...children)

// A failure with its next step. In other languages, the service's own words are behind "Details".
function reasonOf(failure) {
  const problem = new Problem(failure)
  return el('div', { class: 'small reason' }, el('div', {}, el('strong', { text: problem.message }), ' ', problem.hint),
    problem.details && !problem.details.startsWith(problem.message) ? el('details', {}, el('summary', { text: t('Details') }), foreign(problem.details, 'p')) : null)
}

// What a sync has done so far. It cannot know how much remains, because the list is still being read.
function progressOf({ state, counts }) {
  if (!counts.listed) return state === 'queued' ? t('begins…') : t('The list is being read…')
  return [el('div', {}, tn(counts.listed, '{n} item found', '{n} items found')), el('div', { class: 'soft', text: countsOf(counts, '') })]
}

const scheduleOf = (seconds) => SCHEDULES.find(([value]) => value === String(seconds))?.[1] ?? tn(Math.round(seconds / 60), 'every {n} minute', 'every {n} minutes')

const action = (name, shape, text, source, start) => act(name, { class: 'quiet', 'aria-label': readable(`${text}: ${source.name}`), onclick: start }, icon(shape), text)

function badge(source) {
  if (source.paused && !UNFINISHED.has(source.last_sync?.state)) return el('span', { class: 'status soft', text: t('Paused') })
  const { failed_documents: count, last_sync: sync } = source
  // A sync can succeed although the service cannot read files that it has added.
  if (count && sync?.state === 'succeeded') return el('span', { class: 'status bad bad-ink', text: tn(count, 'In sync, {n} document failed', 'In sync, {n} documents failed') })
  const [kind, text] = SYNCS[sync?.state] ?? ['soft waiting', t('Not synchronized yet')]
  return el('span', { class: `status ${kind}`, text })
}

// A sync that would remove many documents waits for an answer.
function approvalOf(source) {
  const sync = source.last_sync
  if (sync?.state !== 'needs_approval') return null
  return el('div', { class: 'notice warn' },
    el('span', { text: tn(sync.pending_removals, 'This sync would remove {n} document, a large share of all, so none was removed. Check the source: if it is complete, remove them. If it is not, repair it, and synchronize again.', 'This sync would remove {n} documents, a large share of all, so none was removed. Check the source: if it is complete, remove them. If it is not, repair it, and synchronize again.') }),
    el('div', { class: 'row' },
      act('gone', { onclick: () => gone(source).catch(fail) }, t('Show them')),
      act('approve', { class: 'danger', onclick: attempt(() => approve(source, sync)) }, t('Remove the documents'))))
}

async function approve(source, sync) {
  const lines = [el('p', {}, foreign(source.name)), tn(sync.pending_removals, '{n} document is removed, because its item is no longer in the source.', '{n} documents are removed, because their items are no longer in the source.')]
  if (await confirmed(t('Remove these documents?'), lines, t('Remove'))) await post(at(source, `/syncs/${sync.id}/approve`), { removals: sync.pending_removals })
}

function countsOf(counts, none = t('no changes')) {
  const parts = [[counts.added, t('added')], [counts.changed, t('changed')], [counts.removed, t('removed')], [counts.refused, t('refused')]]
  return parts.filter(([count]) => count).map(([count, text]) => `${number(count)} ${text}`).join(', ') || none
}

const actions = (source) => [
  { text: t('Change…'), icon: 'pencil', act: () => change(source).catch(fail) },
  source.paused
    ? { text: t('Resume'), icon: 'play', act: attempt(() => send('PATCH', at(source), { json: { paused: false } })) }
    : { text: t('Pause'), icon: 'pause', act: attempt(() => send('PATCH', at(source), { json: { paused: true } })) },
  { text: t('History'), icon: 'history', act: () => past(source).catch(fail) },
  { text: t('Documents'), icon: 'file-text', act: () => items(source).catch(fail) },
  { text: t('Refused items'), icon: 'ban', act: () => refused(source).catch(fail) },
  { text: t('Failed documents'), icon: 'triangle-alert', act: () => failed(source).catch(fail) },
  null,
  { text: t('Remove'), icon: 'trash-2', danger: true, act: () => remove(source).catch(fail) },
]

// What a check found: the names of some items, or the reason why there are none.
function foundBy(check) {
  if (check.failure) return trouble(check.failure)
  if (!check.items.length) return el('p', { class: 'notice warn', role: 'status', text: t('The source can be read, and is empty.') })
  return el('div', { class: 'notice', role: 'status' }, el('strong', { text: t('The source can be read. It has:') }),
    el('ul', {}, check.items.map((each) => el('li', {}, foreign(each.path || each.name))), check.has_more ? el('li', { text: t('and more') }) : null))
}

// Asks for the name, the options, the collection and the schedule. The source is checked before it is saved.
function form(title, source, save) {
  const kind = select([...kinds.keys()].map((name) => [name, kindLabel(name)]).sort((one, other) => one[1].localeCompare(other[1])), source?.kind ?? FIRST_KIND)
  const place = el('div')
  const result = el('div')
  let fields
  let isChecked = ''
  const draw = () => {
    fields = new OptionFields(kinds.get(kind.value), source?.options, source?.credentials)
    place.replaceChildren(fields.element)
    result.replaceChildren()
  }
  kind.addEventListener('change', draw)
  draw()
  async function check({ isSaving = false } = {}) {
    result.replaceChildren(el('p', { class: 'hint', role: 'status', text: t('Checking the source…') }))
    try {
      const options = fields.read()
      const found = source ? await post(at(source, '/check'), { options }) : await post('/v1/sources/check', { kind: kind.value, options })
      // A source that cannot be read for now may be saved by a second click. Options that are not permitted may not.
      const isRetryable = !NEVER_SAVED.has(found.failure?.code)
      isChecked = found.is_usable || (isSaving && isRetryable) ? JSON.stringify(options) : ''
      result.replaceChildren(foundBy(found), found.failure && isRetryable && isSaving ? el('p', { class: 'hint', text: t('Correct the options. Or press “Save” again to add the source as it is: each sync then tries again.') }) : '')
      result.scrollIntoView({ block: 'nearest' })
      return found.is_usable
    } catch (error) {
      result.replaceChildren()
      throw error
    }
  }
  const every = source ? String(source.interval_seconds) : String(HOUR)
  const schedules = SCHEDULES.some(([value]) => value === every) ? SCHEDULES : [...SCHEDULES, [every, scheduleOf(source.interval_seconds)]]
  return asked(title, [
    labelled('name', t('Name'), el('input', { required: true, maxlength: 200, autocomplete: 'off', autofocus: true, value: source?.name ?? '' })),
    source ? null : labelled('kind', t('Kind'), kind),
    place,
    source ? null : labelled('collection', t('Collection'), el('input', { required: true, maxlength: 128, pattern: '[\\w.\\-]+', value: 'default', list: 'known-collections', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none' }), t('Its documents go here. A new name creates a collection.')),
    labelled('every', t('Synchronize'), select(schedules, every)),
    el('div', { class: 'row' }, el('button', { type: 'button', text: t('Check'), onclick: () => check().catch((error) => result.replaceChildren(trouble(error))) })),
    result,
  ].filter(Boolean), t('Save'), async (values) => {
    const options = fields.read()
    if (isChecked !== JSON.stringify(options) && !await check({ isSaving: true })) throw new FieldError()
    const seconds = values.get('every')
    return save({ name: values.get('name').trim(), options, interval_seconds: Number(seconds) }, { kind: kind.value, collection: values.get('collection') })
  })
}

async function add() {
  const { collections } = await get('/v1/collections')
  byId('known-collections').replaceChildren(...collections.map(({ name, title }) => el('option', { value: name, label: title || name })))
  const made = await form(t('Add source'), null, (body, more) => post('/v1/sources', { ...body, ...more }))
  if (!made) return
  say(t('The source was added. Its first sync has started.'))
  await show()
}

async function change(source) {
  const done = await form(t('Change {title}', { title: readable(source.name) }), source, async (json) => (await send('PATCH', at(source), { json })).json())
  if (done) { say(t('The source was changed.')); await show() }
}

async function remove(source) {
  const documents = select([['keep', t('Keep its documents')], ['remove', t('Delete its documents')]], 'keep')
  const done = await asked(t('Remove this source?'), [
    el('p', {}, foreign(source.name)),
    labelled('documents', t('Documents'), documents, t('Documents that are kept no longer change.')),
  ], t('Remove'), async (values) => { await send('DELETE', `${at(source)}?documents=${values.get('documents')}`); return true }, { kind: 'danger' })
  if (done) { say(t('The source was removed.')); await show() }
}

const past = (source) => listed(t('History of {title}', { title: readable(source.name) }), at(source, '/syncs'), 'syncs', {}, (sync) => {
  const [kind, text] = SYNCS[sync.state]
  return el('li', {}, el('span', { class: `status ${kind}`, text }), ' ', el('span', { class: 'soft small', text: time(sync.ended_at ?? sync.started_at ?? sync.created_at) }),
    el('div', { text: countsOf(sync.counts) }), sync.failure ? reasonOf(sync.failure) : null,
    sync.pending_removals ? el('div', { class: 'small', text: tn(sync.pending_removals, '{n} document was not removed: that needs an approval.', '{n} documents were not removed: that needs an approval.') }) : null,
    sync.approved_removals ? el('div', { class: 'small', text: tn(sync.approved_removals, 'This sync had stopped. The removal of {n} document was approved.', 'This sync had stopped. The removal of {n} documents was approved.') }) : null)
}, t('There was no sync yet.'))

const nameOf = (item) => foreign(item.path || item.name)

const itemOf = (item) => el('li', {},
  item.document ? el('a', { href: `/library/${encodeURIComponent(item.document)}` }, nameOf(item)) : el('strong', {}, nameOf(item)),
  [item.failure, item.document_failure].filter(Boolean).map(reasonOf))

const items = (source) => listed(t('Documents of {title}', { title: readable(source.name) }), at(source, '/items'), 'items', {}, itemOf, t('The source has no documents yet.'))

const refused = (source) => listed(t('Refused items of {title}', { title: readable(source.name) }), at(source, '/items'), 'items', { refused: true }, itemOf, t('No item was refused.'))

const failed = (source) => listed(t('Failed documents of {title}', { title: readable(source.name) }), at(source, '/items'), 'items', { failed: true }, itemOf, t('No document failed.'))

const gone = (source) => listed(t('No longer in {title}', { title: readable(source.name) }), at(source, '/items'), 'items', { gone: true }, itemOf, t('Nothing waits for an approval any more.'))

async function start() {
  byId('empty').replaceChildren(icon('refresh-cw'), el('h2', { text: t('No sources yet') }), el('p', { text: t('Add a folder, a web site or another source. Its documents then stay as they are there.') }))
  kinds = new Map((await get('/v1/source-kinds')).kinds.map((each) => [each.name, each]))
  await show()
}

byId('add').addEventListener('click', () => add().catch(fail))
start().catch(fail)
