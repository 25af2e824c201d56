// Sources that stay in sync: their state, a form to add or change one, their history, and the items that were refused.
import { asked, labelled, select } from './dialog.js'
import { byId, confirmed, el, foreign, number, readable, say, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { menuButton } from './menu.js'
import { explain } from './problems.js'
import { get, post, send } from './rest.js'
import { kindLabel, OptionFields } from './source_form.js'
import { t, tn } from './text.js'

const PAGE = 20
const POLL_MS = 1500
const HOUR = 3600
const SCHEDULES = [[String(HOUR / 4), t('every 15 minutes')], [String(HOUR), t('every hour')], [String(6 * HOUR), t('every 6 hours')], [String(24 * HOUR), t('every day')], ['0', t('only when asked')]]
const SYNCS = {
  queued: ['soft waiting', t('Waiting')], running: ['soft waiting', t('Synchronizing…')], needs_approval: ['bad bad-ink', t('Needs an answer')],
  succeeded: ['good', t('In sync')], failed: ['bad bad-ink', t('Failed')], cancelled: ['soft', t('Cancelled')],
}
const UNFINISHED = new Set(['queued', 'running'])
let kinds = new Map()
let polling

const fail = (error) => byId('trouble').replaceChildren(trouble(error))
const at = (source, path = '') => `/v1/sources/${encodeURIComponent(source.id)}${path}`
const attempt = (act) => () => act().then(show).catch(fail)

async function show() {
  const { sources } = await get('/v1/sources')
  byId('rows').replaceChildren(...sources.map(row))
  byId('table').hidden = !sources.length
  byId('empty').hidden = Boolean(sources.length)
  byId('empty').replaceChildren(icon('refresh-cw'), el('h2', { text: t('No sources yet') }), el('p', { text: t('Add a folder, a web site or another source. Its documents then stay as they are there.') }))
  clearTimeout(polling)
  if (sources.some(({ last_sync: sync }) => UNFINISHED.has(sync?.state))) polling = setTimeout(() => show().catch(fail), POLL_MS)
}

function row(source) {
  const sync = source.last_sync
  return el('tr', { data: { id: source.id } },
    el('td', { class: 'named' }, el('strong', {}, foreign(source.name)), el('div', { class: 'small soft' }, kindLabel(source.kind), ' · ', foreign(t('into {collection}', { collection: source.collection })))),
    el('td', {}, badge(source), sync?.failure ? el('div', { class: 'small', text: explain(sync.failure).message }) : null, approvalOf(source)),
    el('td', { class: 'small', 'data-label': t('Last sync') }, sync ? [time(sync.ended_at ?? sync.started_at ?? sync.created_at), el('div', { class: 'soft', text: countsOf(sync.counts) })] : t('never')),
    el('td', { class: 'small whole', 'data-label': t('Next sync'), text: source.paused ? t('paused') : source.next_sync_at ? time(source.next_sync_at) : t('when asked') }),
    el('td', { class: 'small right', 'data-label': t('Items') }, number(source.items), source.refused_items ? el('div', {}, el('button', { type: 'button', class: 'quiet small', onclick: () => refused(source).catch(fail) }, tn(source.refused_items, '{n} refused', '{n} refused'))) : null),
    el('td', { class: 'act' }, el('div', { class: 'row' },
      UNFINISHED.has(sync?.state)
        ? action('x', t('Cancel'), source, attempt(() => post(at(source, `/syncs/${sync.id}/cancel`))))
        : action('refresh-cw', t('Sync now'), source, attempt(() => post(at(source, '/syncs')))),
      menuButton(t('Actions for {title}', { title: readable(source.name) }), () => actions(source), { class: 'quiet icon-button small' }))))
}

const action = (name, text, source, act) => el('button', { type: 'button', class: 'quiet', 'aria-label': readable(`${text}: ${source.name}`), onclick: act }, icon(name), text)

function badge(source) {
  if (source.paused && !UNFINISHED.has(source.last_sync?.state)) return el('span', { class: 'status soft', text: t('Paused') })
  const [kind, text] = SYNCS[source.last_sync?.state] ?? ['soft waiting', t('Not synchronized yet')]
  return el('span', { class: `status ${kind}`, text })
}

// A sync that would remove many documents waits for an answer.
function approvalOf(source) {
  const sync = source.last_sync
  if (sync?.state !== 'needs_approval') return null
  return el('div', { class: 'notice warn' },
    el('span', { text: tn(sync.pending_removals, 'This sync would remove {n} document, a large share of all, so none was removed. Check the source first.', 'This sync would remove {n} documents, a large share of all, so none was removed. Check the source first.') }),
    el('div', { class: 'row' },
      el('button', { type: 'button', class: 'danger', text: t('Remove the documents'), onclick: attempt(() => approve(source, sync)) })))
}

async function approve(source, sync) {
  const lines = [el('p', {}, foreign(source.name)), tn(sync.pending_removals, '{n} document is removed, because its item is no longer in the source.', '{n} documents are removed, because their items are no longer in the source.')]
  if (await confirmed(t('Remove these documents?'), lines, t('Remove'))) await post(at(source, `/syncs/${sync.id}/approve`), { removals: sync.pending_removals })
}

function countsOf(counts) {
  const parts = [[counts.added, t('added')], [counts.changed, t('changed')], [counts.removed, t('removed')], [counts.refused, t('refused')]]
  return parts.filter(([count]) => count).map(([count, text]) => `${number(count)} ${text}`).join(', ') || t('no changes')
}

const actions = (source) => [
  { text: t('Change…'), icon: 'pencil', act: () => change(source).catch(fail) },
  source.paused
    ? { text: t('Resume'), icon: 'play', act: attempt(() => send('PATCH', at(source), { json: { paused: false } })) }
    : { text: t('Pause'), icon: 'pause', act: attempt(() => send('PATCH', at(source), { json: { paused: true } })) },
  { text: t('History'), icon: 'history', act: () => past(source).catch(fail) },
  { text: t('Refused items'), icon: 'ban', act: () => refused(source).catch(fail) },
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
  const kind = select([...kinds.keys()].map((name) => [name, kindLabel(name)]), source?.kind)
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
  async function check() {
    result.replaceChildren(el('p', { class: 'hint', role: 'status', text: t('Checking the source…') }))
    try {
      const options = fields.read()
      const found = source ? await post(at(source, '/check'), { options }) : await post('/v1/sources/check', { kind: kind.value, options })
      isChecked = JSON.stringify(options)
      result.replaceChildren(foundBy(found))
      return found.is_usable
    } catch (error) {
      result.replaceChildren()
      throw error
    }
  }
  const every = source ? String(source.interval_seconds) : String(HOUR)
  const schedules = SCHEDULES.some(([value]) => value === every) ? SCHEDULES : [...SCHEDULES, [every, tn(Math.round(every / 60), 'every {n} minute', 'every {n} minutes')]]
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
    // A source that could not be read may be saved all the same, by a second click: its server may be away for now.
    if (isChecked !== JSON.stringify(options) && !await check()) throw new Error(t('The source could not be read. Correct the options, or save it anyway.'))
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

// A list in a dialog, with a button for more of it.
async function listed(title, path, member, params, line, none) {
  const list = el('ul', { class: 'entries' })
  const more = el('button', { type: 'button', text: t('Show more') })
  let cursor = null
  async function load() {
    const page = await get(path, { ...params, limit: PAGE, cursor })
    list.append(...page[member].map(line))
    cursor = page.next_cursor
    more.hidden = !cursor
  }
  await load()
  const dialog = el('dialog', { class: 'wide', 'aria-labelledby': 'listed-title' }, el('h2', { id: 'listed-title', text: title }),
    list.childElementCount ? list : el('p', { class: 'hint', text: none }),
    el('div', { class: 'row end' }, more, el('button', { type: 'button', class: 'main', text: t('Close'), onclick: () => dialog.close() })))
  more.addEventListener('click', () => load().catch((error) => list.append(el('li', {}, trouble(error)))))
  dialog.addEventListener('close', () => dialog.remove(), { once: true })
  document.body.append(dialog)
  dialog.showModal()
}

const past = (source) => listed(t('History of {title}', { title: readable(source.name) }), at(source, '/syncs'), 'syncs', {}, (sync) => {
  const [kind, text] = SYNCS[sync.state]
  return el('li', {}, el('span', { class: `status ${kind}`, text }), ' ', el('span', { class: 'soft small', text: time(sync.ended_at ?? sync.started_at ?? sync.created_at) }),
    el('div', { text: countsOf(sync.counts) }), sync.failure ? el('div', { class: 'small', text: [explain(sync.failure).message, explain(sync.failure).hint].join(' ') }) : null)
}, t('There was no sync yet.'))

const refused = (source) => listed(t('Refused items of {title}', { title: readable(source.name) }), at(source, '/items'), 'items', { refused: true }, (each) => el('li', {},
  el('strong', {}, foreign(each.path || each.name)), el('div', { text: explain(each.failure).message }), explain(each.failure).hint ? el('div', { class: 'small soft', text: explain(each.failure).hint }) : null), t('No item was refused.'))

async function start() {
  kinds = new Map((await get('/v1/source-kinds')).kinds.map((each) => [each.name, each]))
  await show()
}

byId('add').addEventListener('click', () => add().catch(fail))
start().catch(fail)
