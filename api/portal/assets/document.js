// A document: its state, what can be done with it, its outline and its text, some pages of it at a time.
import { cardRows, editCard } from './card.js'
import { byId, bytes, confirmed, el, foreign, number, plural, readable, say, time, trouble } from './dom.js'
import { asked as askedIn } from './dialog.js'
import { follow as followed } from './follow.js'
import { readersForm, readersOf } from './readers.js'
import { get, may, post, send } from './rest.js'
import { tableOf } from './record_table.js'
import { marked, pointsIn, textOf } from './spans.js'
import { OMITTED, removes, status, UNDER_WAY } from './status.js'
import { removeDocument, Uploads } from './uploads.js'

const PORTION = 20_000
const ROWS = 50
const id = byId('document').dataset.id
const asked = new URLSearchParams(location.search)
const ends = asked.getAll('end').map(Number)
const cited = asked.getAll('start').map((start, at) => [Number(start), ends[at]])
let found = null
let from = 0
let to = 0
let outlineCursor = null
let reads = 0 // counts how often the text was shown anew: what was asked for before is not shown in it
let opened = 0
let deleting = false

const fail = (error, retry) =>
  byId('trouble').replaceChildren(trouble(error, retry ? el('button', { type: 'button', text: 'Try again', onclick: retry }) : null))

async function load() {
  try {
    found = await get(`/v1/documents/${id}`)
  } catch (error) {
    if (deleting) return // the receipt says it
    byId('document').hidden = true
    fail(error, error.status === 404 ? null : load)
    return
  }
  byId('trouble').replaceChildren()
  byId('document').hidden = false
  show()
}

function show() {
  const title = found.title || found.name
  document.title = `${readable(title)} · Leadline`
  byId('title').textContent = readable(title)
  byId('status').replaceChildren(...status(found))
  byId('ask').href = `/ask?document=${id}`
  byId('ask').hidden = !found.active_version || !may('ask')
  byId('original').href = `/v1/documents/${id}/original`
  byId('original').hidden = found.state === 'cancelled'
  const cancel = byId('cancel')
  if (cancel) cancel.hidden = !UNDER_WAY.has(found.state)
  if (byId('retry')) byId('retry').hidden = found.state !== 'failed'
  if (byId('versions-part').open) versions()
  byId('notices').replaceChildren(...notices())
  byId('facts').replaceChildren(...facts())
  const card = cardRows(found.card)
  byId('card-part').hidden = !card.length && !may('write')
  byId('card').replaceChildren(...card)
  byId('card-empty').hidden = Boolean(card.length)
  const readableNow = Boolean(found.active_version)
  if (readableNow && byId('reading').dataset.version !== found.active_version) {
    byId('reading').dataset.version = found.active_version
    byId('reading').hidden = false
    read()
  }
}

function notices() {
  const made = []
  if (found.failure) {
    made.push(el('div', { class: 'notice bad' }, el('strong', { text: found.failure.detail }), found.failure.hint))
  } else if (!found.active_version && UNDER_WAY.has(found.state)) {
    made.push(el('div', { class: 'notice' }, el('strong', { text: 'Not searchable yet' }), 'Its text appears here as soon as it was read; nothing needs to be done.'))
  }
  if (found.omissions.length) {
    made.push(el('div', { class: 'notice warn' }, el('strong', { text: 'Not in the text' }),
      el('ul', {}, found.omissions.map((each) => {
        const [one, many] = OMITTED[each.kind] ?? OMITTED.other
        return el('li', {}, plural(each.count, one, many), each.detail ? [': ', foreign(each.detail)] : null)
      })),
      el('span', { class: 'hint', text: 'Answers cannot rest on these parts of the file.' })))
  }
  return made
}

function facts() {
  const rows = [
    ['File', foreign(found.name)],
    ['Type', found.media_type],
    ['Size', bytes(found.size_bytes)],
    ['Pages', number(found.pages)],
    ['Characters', number(found.characters)],
    ['Passages', number(found.progress.chunks)],
    ['Collection', found.collection],
    ['Who may see it', found.readers === null ? 'everybody who may see the collection' : found.readers.join(', ') || 'admins only'],
    ['Added', time(found.created_at)],
    ['Searchable since', time(found.searchable_at)],
    ['Ready since', time(found.ready_at)],
    ['Version', el('code', { text: found.version })],
  ]
  for (const [name, value] of Object.entries(found.metadata)) rows.push([name, foreign(typeof value === 'string' ? value : JSON.stringify(value))])
  return rows.flatMap(([name, value]) => [el('dt', {}, foreign(name)), el('dd', {}, value)])
}

const VERSIONS = { ready: 'Ready', failed: 'Failed', cancelled: 'Cancelled', retired: 'Replaced', deleted: 'Deleted' }

async function versions() {
  try {
    const list = (await get(`/v1/documents/${id}/versions`)).versions
    byId('versions').replaceChildren(el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Versions' }, el('table', { class: 'figures' },
      el('thead', {}, el('tr', {}, ['Sent', 'File', 'State', 'Size', 'Pages'].map((name) => el('th', { scope: 'col', text: name })))),
      el('tbody', {}, list.map((each) => el('tr', {},
        el('td', { class: 'small', text: time(each.created_at) }),
        el('td', { class: 'named' }, foreign(each.name || '–')),
        el('td', {}, VERSIONS[each.state] ?? 'Under way', each.active ? el('strong', { text: ' · searches find this one' }) : '', each.failure ? el('div', { class: 'small bad-ink' }, foreign(each.failure.detail)) : ''),
        el('td', { text: bytes(each.size_bytes) }),
        el('td', { text: number(each.pages) })))))))
  } catch (error) {
    byId('versions').replaceChildren(trouble(error))
  }
}

async function openTo() {
  const changed = await askedIn('Who may see this document', [
    el('p', { text: 'It holds at once, for searches and answers too.' }), ...await readersForm(found.readers),
  ], 'Change', (values) => send('PATCH', `/v1/documents/${id}`, { json: { readers: readersOf(values) }, more: { 'If-Match': '*' } }))
  if (changed) {
    say('Changed')
    await load()
  }
}

async function edit() {
  if (!await editCard(id)) return
  say('Changed')
  await load()
}

async function read() {
  reads += 1
  outlineCursor = null
  byId('outline').replaceChildren()
  try {
    await Promise.all([outline(), open(Math.max(0, (cited[0]?.[0] ?? 0) - 2_000)), tables()])
    const mark = byId('text').querySelector('mark')
    if (mark) mark.scrollIntoView({ block: 'center' })
  } catch (error) {
    fail(error, load)
  }
}

async function open(start) {
  opened += 1
  from = to = start
  byId('text').replaceChildren()
  await later()
}

async function later() {
  const mine = opened
  const begin = to
  const text = await textOf(id, begin, begin + PORTION)
  // guard: latest-part-shown
  if (mine !== opened || begin !== to) return // another part was opened meanwhile, or this one was asked for twice
  byId('text').append(...marked(text, to, cited))
  to += pointsIn(text)
  edges()
}

async function earlier() {
  const mine = opened
  const end = from
  const start = Math.max(0, end - PORTION)
  const text = await textOf(id, start, end)
  if (mine !== opened || end !== from) return
  const height = document.documentElement.scrollHeight
  byId('text').prepend(...marked(text, start, cited))
  scrollBy(0, document.documentElement.scrollHeight - height)
  from = start
  edges()
}

function edges() {
  byId('earlier').hidden = from === 0
  byId('later').hidden = to >= (found.characters ?? 0)
}

async function outline() {
  const mine = reads
  const cursor = outlineCursor
  const page = await get(`/v1/documents/${id}/outline`, { limit: 300, cursor })
  if (mine !== reads || cursor !== outlineCursor) return
  byId('outline').append(...page.entries.map(entry))
  outlineCursor = page.next_cursor
  byId('outline-more').hidden = !outlineCursor
  byId('outline-part').hidden = !byId('outline').children.length
}

function entry(each) {
  const title = each.title || (each.kind === 'table' ? 'Table' : each.place)
  const depth = each.kind === 'heading' ? Math.min(4, each.level ?? 1) : 1
  const where = each.kind === 'heading' || each.kind === 'table' ? each.place : ''
  return el('li', { class: `depth-${depth}` },
    el('button', { type: 'button', class: 'entry', onclick: () => jump(each.start) },
      foreign(title), where ? el('span', { class: 'where', text: where }) : null))
}

async function jump(start) {
  try {
    await open(start)
  } catch (error) {
    fail(error)
    return
  }
  byId('text').focus()
  byId('text').scrollIntoView({ block: 'start' })
}

async function tables() {
  const mine = reads
  const page = await get(`/v1/documents/${id}/tables`, { limit: 50 })
  if (mine !== reads) return
  byId('tables').hidden = byId('to-tables').hidden = !page.tables.length
  byId('to-tables').textContent = page.tables.length === 1 ? 'To its table' : 'To its tables'
  byId('table-list').replaceChildren(...page.tables.map((table) => {
    const body = el('div')
    return el('details', { class: 'more', ontoggle: (event) => { if (event.target.open && !body.hasChildNodes()) rows(table, body, null) } },
      el('summary', {}, foreign(table.name || 'Table'), el('span', { class: 'soft small', text: ` ${plural(table.rows, 'row')}${table.place ? `, ${table.place}` : ''}` })),
      body)
  }))
}

async function rows(table, body, cursor) {
  try {
    const page = await get(`/v1/documents/${id}/tables/${table.table}/rows`, { limit: ROWS, cursor })
    const names = table.columns.map((column) => column.name)
    body.replaceChildren(tableOf(names, page.rows.map((row) => names.map((name) => row.values[name])), { caption: table.name || 'Table' }),
      el('div', { class: 'row end' },
        el('span', { class: 'soft small', text: `Rows ${number(page.rows[0]?.row)} to ${number(page.rows.at(-1)?.row)} of ${number(page.total)}` }),
        cursor ? el('button', { type: 'button', text: 'First rows', onclick: () => rows(table, body, null) }) : null,
        page.next_cursor ? el('button', { type: 'button', text: 'Next rows', onclick: () => rows(table, body, page.next_cursor) }) : null))
  } catch (error) {
    body.replaceChildren(trouble(error))
  }
}

let stop = () => {}
function follow() {
  stop()
  stop = followed(`/v1/documents/${id}/events`, {
    told: (body) => { if (deleting) return; found = body; if (found.state === 'deleted') load(); else show() },
    lost: async () => { await load(); return !byId('document').hidden && UNDER_WAY.has(found?.state) },
  })
}

byId('earlier').addEventListener('click', () => earlier().catch(fail))
byId('later').addEventListener('click', () => later().catch(fail))
byId('outline-more').addEventListener('click', () => outline().catch(fail))
byId('versions-part').addEventListener('toggle', (event) => { if (event.target.open) versions() })
byId('open-to')?.addEventListener('click', () => openTo().catch(fail))
byId('edit-card')?.addEventListener('click', () => edit().catch(fail))
byId('retry')?.addEventListener('click', async () => {
  try {
    await post(`/v1/documents/${id}/retry`)
    await load()
    follow()
  } catch (error) {
    fail(error)
  }
})
byId('cancel')?.addEventListener('click', async () => {
  try {
    await post(`/v1/documents/${id}/cancel`)
  } catch (error) {
    fail(error)
  }
  await load()
})
byId('delete')?.addEventListener('click', async () => {
  if (!await confirmed('Delete this document?', removes(found), 'Delete')) return
  deleting = true
  try {
    const receipt = await removeDocument(id)
    stop()
    byId('document').hidden = true
    byId('trouble').replaceChildren(el('div', { class: 'notice', role: 'status' }, el('strong', { text: 'Deleted' }),
      el('dl', { class: 'facts' }, [
        ['Receipt', el('code', { text: receipt.receipt })], ['Versions', number(receipt.versions)],
        ['Passages', number(receipt.chunks_removed)], ['Bytes', bytes(receipt.bytes_removed)],
        ['Answers withheld', number(receipt.answers_redacted)], ['Runs withheld', number(receipt.runs_redacted)],
      ].flatMap(([name, value]) => [el('dt', { text: name }), el('dd', {}, value)])),
      el('a', { href: '/library', text: 'Back to the library' })))
  } catch (error) {
    deleting = false
    fail(error)
  }
})

const uploads = new Uploads(() => {
  const upload = uploads.all.at(-1)
  if (!upload) return
  if (upload.state === 'refused') fail(upload.problem)
  else if (upload.state === 'duplicate') say('These bytes are there already; nothing was changed.')
  if (upload.document && upload.told !== upload.document.version) {
    upload.told = upload.document.version
    load().then(follow)
  }
})
byId('replace')?.addEventListener('click', () => byId('replacement').click())
byId('replacement')?.addEventListener('change', (event) => {
  const [file] = event.target.files
  event.target.value = ''
  if (file) uploads.add([{ file, name: file.name, replaces: id }], found.collection)
})

await load()
if (found && UNDER_WAY.has(found.state)) follow()
