// The library: uploads, and the documents a page at a time.
import { openTo, remove as removeMany, retry } from './bulk.js'
import { cardLine } from './card.js'
import { byId, bytes, confirmed, el, foreign, number, plural, readable, say, time, trouble } from './dom.js'
import { whenReleased } from './drawing.js'
import { Facets } from './facets.js'
import { Pager } from './pager.js'
import { get, may, post } from './rest.js'
import { leftOut, removes, status, typeName, UNDER_WAY } from './status.js'
import { UploadList } from './upload_list.js'
import { dropped, removeDocument, Uploads } from './uploads.js'

const PAGE = 50
const LOOK_MS = 3000
const list = new UploadList()
const uploads = new Uploads(() => { list.draw(); soon() })
list.bind(uploads)

let shown = []
let total = null
let counted = ''
let faceted = ''
let pending
const picked = new Set()
let allPicked = false
const facets = new Facets(() => again())

// Returns the parameters of the listing, which are also those of the page's address.
function listing() {
  return {
    named: byId('named').value.trim(),
    collection: byId('in-collection').value,
    state: byId('in-state').value.split(' ').filter(Boolean),
    type: byId('of-type').value,
    with_omissions: byId('with-omissions').checked ? 'true' : '',
  }
}

const filters = () => ({ ...listing(), filters: facets.text() })
const filtered = () => Object.values(filters()).some((value) => value.length)

// Keeps the filters in the page's address, so that they outlast a reload and the way back from a document.
function remember() {
  const params = new URLSearchParams(location.search)
  for (const [name, value] of Object.entries({ ...listing(), order: byId('order').value === 'newest' ? '' : byId('order').value })) {
    params.delete(name)
    for (const each of [value].flat().filter(Boolean)) params.append(name, each)
  }
  facets.write(params)
  history.replaceState(null, '', params.size ? `?${params}` : location.pathname)
}

// Sets the filters from the page's address.
function restore() {
  const params = new URLSearchParams(location.search)
  byId('named').value = params.get('named') ?? ''
  for (const [id, name] of [['in-collection', 'collection'], ['of-type', 'type']]) {
    if (params.has(name)) byId(id).append(el('option', { value: params.get(name), text: params.get(name), selected: true }))
  }
  const choose = (id, value) => { if ([...byId(id).options].some((each) => each.value === value)) byId(id).value = value }
  choose('in-state', params.getAll('state').join(' '))
  choose('order', params.get('order'))
  byId('with-omissions').checked = params.has('with_omissions')
  facets.read(params)
}

const pager = new Pager(async (cursor) => {
  const wanted = filters()
  // Counting costs as much as the page: it is done again when the first page is shown, not while pages are turned.
  const counting = !cursor || counted !== JSON.stringify(wanted)
  const page = await get('/v1/documents', { ...wanted, order: byId('order').value, limit: PAGE, cursor, with_total: counting ? 'true' : '' })
  return { ...page, counted: counting ? JSON.stringify(wanted) : null }
}, (page) => {
  shown = page.documents
  if (page.counted) {
    if (total !== null && total !== page.total) totals()
    total = page.total
    counted = page.counted
    // While documents are processed, the page is loaded every few seconds. Counting the values each time costs too much.
    const counting = `${total} ${counted}`
    if (counting !== faceted || !shown.some((each) => UNDER_WAY.has(each.state))) facets.load(listing())
    faceted = counting
  }
  whenReleased(draw)
}, { describe: (page) => `${number((page - 1) * PAGE + 1)} to ${number((page - 1) * PAGE + shown.length)} of ${number(total)}`, retry: load })

async function load() {
  await pager.again()
  // The last page may have been deleted.
  if (!shown.length && pager.page > 1) await again()
}
const again = () => { remember(); pickNone(); pager.cursors = [null]; return load() }

// Loads again in a moment, while something is under way and the page is looked at.
function soon() {
  if (pending) return
  pending = setTimeout(() => {
    pending = null
    if (!document.hidden && !document.querySelector('dialog[open]')) load()
    else soon()
  }, LOOK_MS)
}

function draw() {
  const focused = document.activeElement?.closest?.('#rows tr')?.dataset.id
  const label = document.activeElement?.getAttribute?.('aria-label') ?? document.activeElement?.textContent
  byId('rows').replaceChildren(...shown.map(row))
  if (focused) {
    const same = [...byId('rows').querySelectorAll(`tr[data-id="${CSS.escape(focused)}"] :is(a, button, input)`)]
    same.find((each) => (each.getAttribute('aria-label') ?? each.textContent) === label)?.focus()
  }
  byId('table').hidden = !shown.length
  byId('empty').hidden = Boolean(shown.length)
  byId('filters').hidden = !shown.length && !filtered()
  for (const head of document.querySelectorAll('[data-order]')) {
    const [first, second] = head.dataset.order.split(' ')
    const now = byId('order').value
    const falls = now.startsWith('-') || now === 'newest'
    if (now === first || now === second) head.setAttribute('aria-sort', falls ? 'descending' : 'ascending')
    else head.removeAttribute('aria-sort')
  }
  chosen()
  if (!shown.length) empty()
  if (shown.some((each) => UNDER_WAY.has(each.state))) soon()
}

function empty() {
  const place = byId('empty')
  if (filtered()) {
    place.replaceChildren(el('h2', { text: 'Nothing matches' }),
      el('p', { text: 'No document has all of this. Take a filter away, or look for fewer characters of the name.' }),
      el('button', { type: 'button', text: 'Show all documents', onclick: () => { byId('filters').reset(); facets.clear(); again() } }))
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
  return el('tr', { data: { id: each.id }, class: picked.has(each.id) || allPicked ? 'picked' : null },
    may('write') ? el('td', { class: 'pick' }, el('input', { type: 'checkbox', checked: picked.has(each.id) || allPicked, 'aria-label': readable(`Choose ${title}`), onchange: (event) => pick(each.id, event.target.checked) })) : null,
    el('td', { class: 'main-cell' },
      el('a', { class: 'title', href: `/library/${each.id}` }, foreign(title)),
      each.title && each.title !== each.name ? el('span', { class: 'soft small' }, foreign(each.name)) : null,
      cardLine(each.card) ? el('div', { class: 'soft small' }, foreign(cardLine(each.card))) : null,
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

function pick(id, is) {
  // Who takes one away of all that match goes on with those of this page.
  if (allPicked) { allPicked = false; for (const each of shown) picked.add(each.id) }
  if (is) picked.add(id)
  else picked.delete(id)
  draw()
}

// What the page shows as chosen is what the next action is for: it does not wait for the list.
function pickNone() {
  const some = allPicked || picked.size
  allPicked = false
  picked.clear()
  if (some) draw()
}

function chosen() {
  const place = byId('chosen')
  if (!place) return
  const here = shown.filter((each) => picked.has(each.id)).length
  place.hidden = !allPicked && !picked.size
  byId('pick-all').checked = Boolean(shown.length) && (allPicked || here === shown.length)
  byId('pick-all').indeterminate = !allPicked && here > 0 && here < shown.length
  byId('chosen-count').textContent = allPicked ? `All ${plural(total ?? 0, 'document')} ${filtered() ? 'that match' : 'of the library'}` : `${plural(picked.size, 'document')} chosen`
  byId('choose-matching').hidden = allPicked || !total || total <= picked.size || here !== shown.length
  byId('choose-matching').textContent = `Choose all ${number(total)}${filtered() ? ' that match' : ''}`
}

// What is chosen, as the API names it.
function choice() {
  if (!allPicked) return { documents: [...picked] }
  const { collection, type, with_omissions: omissions, ...rest } = listing()
  return { matching: { ...rest, collection: collection || null, type: type ? [type] : [], with_omissions: Boolean(omissions), filters: facets.filter() } }
}

async function many(act) {
  try {
    if (!await act(choice())) return
    pickNone()
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
  totals()
  await again()
}

async function totals() {
  try {
    const [found, state] = await Promise.all([get('/v1/collections'), get('/v1/status')])
    const names = found.collections.map((each) => each.name)
    byId('collections').replaceChildren(...names.map((name) => el('option', { value: name })))
    const before = { collection: byId('in-collection').value, type: byId('of-type').value }
    byId('in-collection').replaceChildren(el('option', { value: '', text: 'All collections' }),
      ...found.collections.map((each) => el('option', { value: each.name, text: `${each.name} (${number(each.documents)})` })))
    byId('in-collection').value = before.collection
    byId('of-type').replaceChildren(el('option', { value: '', text: 'Any type' }),
      ...Object.entries(state.types).map(([type, count]) => el('option', { value: type, text: `${typeName(type)} (${number(count)})` })))
    byId('of-type').value = before.type
    const all = Object.values(state.documents).reduce((sum, count) => sum + count, 0)
    counted = ''
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

const sent = (input) => {
  const files = [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }))
  input.value = ''
  upload(files)
}

byId('choose-files').addEventListener('click', () => byId('files').click())
byId('choose-folder').addEventListener('click', () => byId('folder').click())
byId('files').addEventListener('change', (event) => sent(event.target))
byId('folder').addEventListener('change', (event) => sent(event.target))

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
for (const head of document.querySelectorAll('[data-order]')) {
  head.querySelector('button').addEventListener('click', () => {
    const [first, second] = head.dataset.order.split(' ')
    byId('order').value = byId('order').value === first ? second : first
    again()
  })
}
byId('pick-all')?.addEventListener('change', (event) => {
  allPicked = false
  for (const each of shown) {
    if (event.target.checked) picked.add(each.id)
    else picked.delete(each.id)
  }
  draw()
})
byId('choose-matching')?.addEventListener('click', () => { picked.clear(); allPicked = true; draw() })
byId('choose-none')?.addEventListener('click', pickNone)
byId('delete-chosen')?.addEventListener('click', () => many(removeMany))
byId('retry-chosen')?.addEventListener('click', () => many(retry))
byId('open-chosen')?.addEventListener('click', () => many(openTo))

restore()
totals()
load()
