// The library: uploads, and the documents a page at a time.
import { byId, bytes, confirmed, el, foreign, number, plural, say, time, trouble } from './dom.js'
import { get, may, post } from './rest.js'
import { leftOut, removes, status, UNDER_WAY } from './status.js'
import { UploadList } from './upload_list.js'
import { dropped, removeDocument, Uploads } from './uploads.js'

const PAGE = 50
const LOOK_MS = 3000
const list = new UploadList()
const uploads = new Uploads(() => { list.draw(); soon() })
list.bind(uploads)

let cursors = [null]
let shown = []
let next = null
let pending
let asked = 0

function filters() {
  return {
    named: byId('named').value.trim(),
    collection: byId('in-collection').value,
    state: byId('in-state').value.split(' ').filter(Boolean),
    order: byId('order').value,
    with_omissions: byId('with-omissions').checked ? 'true' : '',
  }
}

const filtered = () => Object.entries(filters()).some(([name, value]) => name !== 'order' && value.length)

async function load() {
  const mine = ++asked
  try {
    const page = await get('/v1/documents', { ...filters(), limit: PAGE, cursor: cursors.at(-1) })
    if (mine !== asked) return
    shown = page.documents
    next = page.next_cursor
    byId('trouble').replaceChildren()
    draw()
  } catch (error) {
    if (mine === asked) byId('trouble').replaceChildren(trouble(error, el('button', { type: 'button', text: 'Try again', onclick: load })))
  }
}

// Loads again in a moment, while something is under way and the page is looked at.
function soon() {
  if (pending) return
  pending = setTimeout(() => {
    pending = null
    if (!document.hidden) load()
    else soon()
  }, LOOK_MS)
}

function draw() {
  const focused = document.activeElement?.closest?.('#rows tr')?.dataset.id
  const label = document.activeElement?.textContent
  byId('rows').replaceChildren(...shown.map(row))
  if (focused) {
    const same = [...byId('rows').querySelectorAll(`tr[data-id="${CSS.escape(focused)}"] :is(a, button)`)]
    same.find((each) => each.textContent === label)?.focus()
  }
  const first = cursors.length === 1
  byId('table').hidden = !shown.length
  byId('empty').hidden = Boolean(shown.length)
  byId('pages').hidden = first && !next
  byId('previous').disabled = first
  byId('next').disabled = !next
  byId('page').textContent = `Page ${number(cursors.length)}`
  if (!shown.length) empty()
  if (shown.some((each) => UNDER_WAY.has(each.state))) soon()
}

function empty() {
  const place = byId('empty')
  if (filtered()) {
    place.replaceChildren(el('h2', { text: 'Nothing matches' }),
      el('p', { text: 'No document has all of this. Take a filter away, or look for fewer characters of the name.' }),
      el('button', { type: 'button', text: 'Show all documents', onclick: () => { byId('filters').reset(); again() } }))
  } else if (may('write')) {
    place.replaceChildren(el('h2', { text: 'No documents yet' }),
      el('p', { text: 'Drop a few files here to begin. When the first is searchable, ask about it.' }))
  } else {
    place.replaceChildren(el('h2', { text: 'No documents yet' }),
      el('p', { text: 'Somebody whose key has the scope “write” can add some; then they appear here.' }))
  }
}

function row(each) {
  const title = each.title || each.name
  return el('tr', { data: { id: each.id } },
    el('td', {},
      el('a', { class: 'title', href: `/library/${each.id}` }, foreign(title)),
      each.title && each.title !== each.name ? el('span', { class: 'soft small' }, foreign(each.name)) : null,
      each.failure ? el('div', { class: 'small bad-ink', text: `${each.failure.detail} ${each.failure.hint}` }) : null,
      each.omissions.length ? el('div', { class: 'small warn-ink', text: `Not in the text: ${leftOut(each.omissions)}` }) : null),
    el('td', {}, status(each)),
    el('td', {}, el('span', { class: 'small', text: each.collection })),
    el('td', { class: 'right', text: number(each.pages) }),
    el('td', { class: 'right', text: bytes(each.size_bytes) }),
    el('td', { class: 'when small', text: time(each.created_at) }),
    el('td', { class: 'act' }, may('write') ? actions(each, title) : null))
}

function actions(each, title) {
  const under = UNDER_WAY.has(each.state)
  return [
    under ? el('button', { type: 'button', class: 'quiet', text: 'Cancel', 'aria-label': `Cancel ${title}`, onclick: () => act(`/v1/documents/${each.id}/cancel`) }) : null,
    el('button', { type: 'button', class: 'quiet', text: 'Delete', 'aria-label': `Delete ${title}`, onclick: () => remove(each, title) }),
  ]
}

async function act(path) {
  try {
    await post(path)
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
  load()
}

async function remove(each, title) {
  if (!await confirmed('Delete this document?', [el('p', {}, foreign(title)), ...removes(each)], 'Delete')) return
  try {
    const receipt = await removeDocument(each.id)
    say(`Deleted. ${plural(receipt.chunks_removed, 'passage')} removed; receipt ${receipt.receipt}.`)
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
  load()
  totals()
}

function again() {
  cursors = [null]
  load()
}

async function totals() {
  try {
    const [found, state] = await Promise.all([get('/v1/collections'), get('/v1/status')])
    const names = found.collections.map((each) => each.name)
    byId('collections').replaceChildren(...names.map((name) => el('option', { value: name })))
    const chosen = byId('in-collection').value
    byId('in-collection').replaceChildren(el('option', { value: '', text: 'All collections' }),
      ...found.collections.map((each) => el('option', { value: each.name, text: `${each.name} (${number(each.documents)})` })))
    byId('in-collection').value = chosen
    const all = Object.values(state.documents).reduce((sum, count) => sum + count, 0)
    byId('totals').textContent = all ? plural(all, 'document') : ''
  } catch { /* the listing says what is wrong */ }
}

async function upload(files) {
  if (!may('write') || !files.length) return
  const into = byId('into')
  if (!into.reportValidity()) return
  say(`${plural(files.length, 'file')} to upload`)
  await uploads.add(files, into.value.trim() || 'default')
  totals()
  again()
}

const chosen = (input) => {
  const files = [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }))
  input.value = ''
  upload(files)
}

byId('choose-files').addEventListener('click', () => byId('files').click())
byId('choose-folder').addEventListener('click', () => byId('folder').click())
byId('files').addEventListener('change', (event) => chosen(event.target))
byId('folder').addEventListener('change', (event) => chosen(event.target))

let depth = 0
addEventListener('dragenter', (event) => { if (event.dataTransfer?.types.includes('Files')) { depth += 1; document.body.classList.add('dropping') } })
addEventListener('dragleave', () => { depth = Math.max(0, depth - 1); if (!depth) document.body.classList.remove('dropping') })
addEventListener('dragover', (event) => { if (event.dataTransfer?.types.includes('Files')) event.preventDefault() })
addEventListener('drop', async (event) => {
  depth = 0
  document.body.classList.remove('dropping')
  if (!event.dataTransfer?.types.includes('Files')) return
  event.preventDefault()
  upload(await dropped(event.dataTransfer))
})
addEventListener('paste', (event) => {
  if (event.target.closest?.('input, textarea')) return
  const files = [...event.clipboardData.files].map((file) => ({ file, name: file.name || 'Pasted file' }))
  const text = event.clipboardData.getData('text/plain')
  if (!files.length && text.trim()) {
    const name = `Pasted ${new Date().toISOString().slice(0, 16).replace('T', ' ').replace(':', '.')}.txt`
    files.push({ file: new File([text], name, { type: 'text/plain' }), name })
  }
  if (files.length) {
    event.preventDefault()
    upload(files)
  }
})

let typing
byId('filters').addEventListener('submit', (event) => event.preventDefault())
byId('filters').addEventListener('change', again)
byId('named').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(again, 200) })
byId('next').addEventListener('click', () => { cursors.push(next); load() })
byId('previous').addEventListener('click', () => { cursors.pop(); load() })

totals()
load()
