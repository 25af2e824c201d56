// The library: uploads, the documents a page at a time, and passages of their texts.
import { move, openTo, remove as removeMany, retry } from './bulk.js'
import { collectionLabel, createCollection, loadCollections, manageCollections, writableCollections } from './collections.js'
import { asked, labelled } from './dialog.js'
import { byId, confirmed, el, foreign, number, readable, say, trouble } from './dom.js'
import { whenReleased } from './drawing.js'
import { Facets } from './facets.js'
import { icon } from './icons.js'
import { installIntake } from './intake.js'
import { documentRow } from './library_rows.js'
import { loadNames } from './names.js'
import { Pager } from './pager.js'
import { get, may, post } from './rest.js'
import { Selection } from './selection.js'
import { canRetry as isRetryable, removes, typeName, UNDER_WAY } from './status.js'
import { t, tn } from './text.js'
import { TextSearch } from './text_search.js'
import { UploadList } from './upload_list.js'
import { removeDocument, Uploads } from './uploads.js'

const PAGE = 50
const LOOK_MS = 3000
const SOON_MS = 400
let shown = []
const list = new UploadList()
let uploaded = 0
const uploads = new Uploads(() => {
  list.draw()
  if (!shown.length) empty()
  const now = uploads.all.filter((each) => each.document).length
  soon(now === uploaded ? LOOK_MS : SOON_MS) // a new document leaves the uploads, so the list has to show it
  uploaded = now
})
list.bind(uploads)

let total = null
let counted = ''
let drawn = ''
let faceted = ''
let pending = null
const facets = new Facets(() => again())
const selection = new Selection(() => draw())
const search = new TextSearch({
  scope: () => ({ collection: byId('in-collection').value, filters: facets.filter() }),
  namesInstead: () => { byId('in-names').checked = true; again(); byId('named').focus() },
})

const inTexts = () => byId('in-texts').checked

// Returns the parameters of the listing, which are also those of the page's address.
function listing() {
  return {
    named: inTexts() ? '' : byId('named').value.trim(),
    collection: byId('in-collection').value,
    state: byId('in-state').value.split(' ').filter(Boolean),
    type: byId('of-type').value,
    with_omissions: byId('with-omissions').checked ? 'true' : '',
  }
}

const filters = () => ({ ...listing(), filters: facets.text() })
const listed = () => JSON.stringify([filters(), byId('order').value, pager.cursor])
const filtered = () => Object.values(filters()).some((value) => value.length)

// Keeps the filters in the page's address, so that they outlast a reload and the way back from a document.
function remember() {
  const params = new URLSearchParams(location.search)
  const kept = { ...listing(), order: byId('order').value === 'newest' ? '' : byId('order').value, text: inTexts() ? byId('named').value.trim() || ' ' : '' }
  for (const [name, value] of Object.entries(kept)) {
    params.delete(name)
    for (const each of [value].flat().filter(Boolean)) params.append(name, each)
  }
  facets.write(params)
  history.replaceState(null, '', params.size ? `?${params}` : location.pathname)
}

// Sets the filters from the page's address.
function restore() {
  const params = new URLSearchParams(location.search)
  byId('in-texts').checked = params.has('text')
  byId('named').value = (params.get('text') ?? params.get('named') ?? '').trim()
  for (const [id, name, label] of [['in-collection', 'collection', collectionLabel], ['of-type', 'type', typeName]]) {
    if (params.has(name)) byId(id).append(el('option', { value: params.get(name), text: label(params.get(name)), selected: true }))
  }
  const choose = (id, value) => { if ([...byId(id).options].some((each) => each.value === value)) byId(id).value = value }
  choose('in-state', params.getAll('state').join(' '))
  choose('order', params.get('order'))
  byId('with-omissions').checked = params.has('with_omissions')
  facets.read(params)
}

// Until the rows that the filters ask for are here, nobody can select those of the filters before.
function holdRows() {
  const isOld = drawn !== listed()
  byId('rows').inert = isOld
  if (byId('pick-all')) byId('pick-all').disabled = isOld
}

const pager = new Pager(async (cursor) => {
  holdRows()
  const wanted = filters()
  const asked = listed()
  // Counting costs as much as the page: it is done again when the first page is shown, not while pages are turned.
  const counting = !cursor || counted !== JSON.stringify(wanted)
  const page = await get('/v1/documents', { ...wanted, order: byId('order').value, limit: PAGE, cursor, with_total: counting ? 'true' : '' })
  await loadNames(page.documents.flatMap(({ readers }) => readers ?? []))
  return { ...page, listed: asked, counted: counting ? JSON.stringify(wanted) : null }
}, (page) => {
  shown = page.documents
  drawn = page.listed
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
}, {
  describe: (page) => t('{from} to {to} of {n}', { from: number((page - 1) * PAGE + 1), to: number((page - 1) * PAGE + shown.length), n: number(total) }),
  retry: load,
})

async function load() {
  await pager.again()
  // The last page may have been deleted.
  if (!shown.length && pager.page > 1) await again()
}

function again() {
  remember()
  selection.clear()
  pager.cursors = [null]
  document.body.classList.toggle('in-texts', inTexts())
  byId('named').placeholder = inTexts() ? t('Words or a question') : t('Name or title')
  if (inTexts()) search.run(byId('named').value.trim())
  else search.hide()
  return load()
}

// Loads again in a moment, while something is in progress and the page is looked at.
function soon(wait = LOOK_MS) {
  const at = performance.now() + wait
  if (pending && at >= pending.at) return
  clearTimeout(pending?.timer)
  const timer = setTimeout(() => {
    pending = null
    if (!document.hidden && !document.querySelector('dialog[open], .menu:popover-open')) load()
    else soon()
  }, wait)
  pending = { at, timer }
}

let waiting
function draw() {
  // Drawn anew, a row would take its open menu away.
  clearTimeout(waiting)
  if (document.querySelector('#rows .menu:popover-open')) {
    waiting = setTimeout(() => whenReleased(draw), SOON_MS)
    return
  }
  const focused = document.activeElement?.closest?.('#rows tr')?.dataset.id
  const label = document.activeElement?.getAttribute?.('aria-label') ?? document.activeElement?.textContent
  const acts = { move: act(move), permissions: act(openTo), retry: act(retryOne), replace, canRetry, cancel: act(cancel), remove }
  byId('rows').replaceChildren(...shown.map((each) => documentRow(each, { selected: selection.has(each.id), select: (id, is) => selection.select(id, is), acts })))
  if (focused) {
    const same = [...byId('rows').querySelectorAll(`tr[data-id="${CSS.escape(focused)}"] :is(a, button, input)`)]
    same.find((each) => (each.getAttribute('aria-label') ?? each.textContent) === label)?.focus()
  }
  holdRows()
  byId('table').hidden = !shown.length
  byId('filters').hidden = !shown.length && !filtered() && !inTexts()
  for (const head of document.querySelectorAll('[data-order]')) {
    const [first, second] = head.dataset.order.split(' ')
    const now = byId('order').value
    const falls = now.startsWith('-') || now === 'newest'
    const isSorted = now === first || now === second
    if (isSorted) head.setAttribute('aria-sort', falls ? 'descending' : 'ascending')
    else head.removeAttribute('aria-sort')
    head.querySelector('.icon').replaceWith(icon(isSorted ? (falls ? 'arrow-down' : 'arrow-up') : 'chevrons-up-down'))
  }
  selection.draw(shown, { total, filtered: filtered(), listing: { ...listing(), filters: facets.text() } })
  empty()
  offerTexts()
  if (shown.some((each) => UNDER_WAY.has(each.state))) soon()
}

function empty() {
  const place = byId('empty')
  // Below a running upload, the list is not empty for long.
  place.hidden = shown.length > 0 || (!filtered() && uploads.all.length > 0)
  if (place.hidden) return
  if (filtered()) {
    place.replaceChildren(icon('search'), el('h2', { text: t('Nothing matches') }),
      el('p', { text: t('No document meets all conditions. Remove a filter, or type fewer characters of the name.') }),
      el('div', { class: 'row centre' },
        byId('named').value.trim() ? el('button', { type: 'button', class: 'main', onclick: lookInTexts }, icon('quote'), t('Search in the text instead')) : null,
        el('button', { type: 'button', text: t('Show all documents'), onclick: () => { byId('filters').reset(); facets.clear(); again() } })))
  } else {
    place.replaceChildren(icon('library'), el('h2', { text: t('No documents yet') }),
      el('p', { text: may('write') ? t('Drop a few files here to begin. You can ask about the first one after a few seconds.') : t('People with the permission “write” can add documents, which then appear here.') }))
  }
}

// Below the names that match, leads to the texts that do.
function offerTexts() {
  const words = byId('named').value.trim()
  byId('look-in-texts').hidden = inTexts() || !words || !shown.length
  byId('look-in-texts-words').textContent = t('Search for “{words}” in the text', { words: readable(words) })
}

function lookInTexts() {
  byId('in-texts').checked = true
  again()
  byId('named').focus()
}

// An action of a row's menu, of which the bulk actions are told the one document.
const act = (action) => (each) => attempt(() => action({ documents: [each.id] }, each.collection))
// The service keeps no file of a cancelled document, but this page has those that were chosen here.
const canRetry = (each) => isRetryable(each) || (each.state === 'cancelled' && Boolean(uploads.find(each.id)))
async function retryOne({ documents: [id] }) {
  if (shown.find((each) => each.id === id)?.state === 'cancelled') await uploads.retry([uploads.find(id)])
  else uploads.resume(await post(`/v1/documents/${id}/retry`))
  return true
}
const cancel = async ({ documents: [id] }) => { await post(`/v1/documents/${id}/cancel`); return true }

// Asks for the file that becomes the next version of a document.
let replaced = null
function replace(each) {
  replaced = each
  byId('replacement').click()
}

async function attempt(action) {
  byId('trouble').replaceChildren()
  let changed = true
  try {
    changed = await action()
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
  if (!changed) return
  totals()
  await load()
}

async function remove(each) {
  if (!await confirmed(t('Delete this document?'), [el('p', {}, foreign(each.title || each.name)), ...removes(each)], t('Delete'))) return
  await attempt(async () => {
    const receipt = await removeDocument(each.id)
    say(tn(receipt.chunks_removed, 'Deleted, with {n} passage. Audit entry {receipt}.', 'Deleted, with {n} passages. Audit entry {receipt}.', { receipt: receipt.receipt }))
    return true
  })
}

// The filter in force, as the bulk routes want it.
function matching() {
  const { collection, type, with_omissions: omissions, ...rest } = listing()
  return { ...rest, collection: collection || null, type: type ? [type] : [], with_omissions: Boolean(omissions), filters: facets.filter() }
}

async function many(action) {
  try {
    if (!await action(selection.choice(matching()))) return
    selection.clear()
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
  totals()
  await again()
}

async function totals() {
  try {
    const [found, state] = await Promise.all([loadCollections(), get('/v1/status')])
    const before = { collection: byId('in-collection').value, type: byId('of-type').value }
    byId('in-collection').replaceChildren(el('option', { value: '', text: t('All collections') }),
      ...found.map((each) => el('option', { value: each.name, text: `${readable(collectionLabel(each.name))} (${number(each.documents)})` })))
    byId('in-collection').value = before.collection
    byId('of-type').replaceChildren(el('option', { value: '', text: t('All types') }),
      ...Object.entries(state.types).map(([type, count]) => el('option', { value: type, text: `${typeName(type)} (${number(count)})` })))
    byId('of-type').value = before.type
    offerCollections()
    const all = Object.values(state.documents).reduce((sum, count) => sum + count, 0)
    counted = ''
    byId('totals').textContent = all ? tn(all, '{n} document', '{n} documents') : ''
    if (shown.length) whenReleased(draw) // with the titles of collections
  } catch { /* the listing says what is wrong */ }
}

const NEW = '+'
const INTO = 'leadline-upload-collection'
const remembered = () => localStorage.getItem(INTO) ?? 'default'

function offerCollections(chosen = remembered()) {
  const names = writableCollections().map((each) => each.name)
  if (!names.includes('default')) names.unshift('default')
  byId('into').replaceChildren(...names.map((name) => el('option', { value: name, text: readable(collectionLabel(name)) })), el('option', { value: NEW, text: t('New collection…') }))
  byId('into').value = names.includes(chosen) ? chosen : 'default'
}

async function upload(files) {
  if (!may('write') || !files.length) return
  say(tn(files.length, '{n} file to upload', '{n} files to upload'))
  await uploads.add(files, byId('into').value)
  totals()
  again()
}

// A page of the web, which the service fetches.
async function addFromUrl() {
  const address = el('input', { type: 'url', required: true, maxlength: 1000, placeholder: 'https://', autocomplete: 'off', autofocus: true })
  const made = await asked(t('Add a web page'), [labelled('url', t('Address'), address, t('The main content of the page, or the file at this address, becomes a document.'))],
    t('Add'), (values) => post('/v1/documents/from-url', { url: values.get('url'), collection: byId('into').value }))
  if (!made) return
  say(made.duplicate ? t('The document is already in the library.') : t('“{name}” was added', { name: readable(made.name) }))
  totals()
  again()
}

let typing
byId('filters').addEventListener('submit', (event) => { event.preventDefault(); clearTimeout(typing); again() })
byId('filters').addEventListener('change', (event) => { if (event.target !== byId('named')) again() })
byId('named').addEventListener('input', () => { holdRows(); clearTimeout(typing); typing = setTimeout(again, inTexts() ? 400 : 200) })
byId('look-in-texts').addEventListener('click', lookInTexts)
for (const head of document.querySelectorAll('[data-order]')) {
  head.querySelector('button').addEventListener('click', () => {
    const [first, second] = head.dataset.order.split(' ')
    byId('order').value = byId('order').value === first ? second : first
    again()
  })
}
byId('delete-chosen')?.addEventListener('click', () => many(removeMany))
byId('retry-chosen')?.addEventListener('click', () => many(retry))
byId('open-chosen')?.addEventListener('click', () => many(openTo))
byId('move-chosen')?.addEventListener('click', () => many((choice) => move(choice, byId('in-collection').value)))
byId('manage-collections')?.addEventListener('click', async () => { if (await manageCollections()) { totals(); load() } })
byId('into').addEventListener('change', async () => {
  if (byId('into').value !== NEW) {
    localStorage.setItem(INTO, byId('into').value)
    return
  }
  const made = await createCollection()
  if (made) localStorage.setItem(INTO, made.name)
  offerCollections()
  if (made) totals()
})

byId('replacement').addEventListener('change', async (event) => {
  const [file] = event.target.files
  event.target.value = ''
  if (!file) return
  await uploads.add([{ file, name: file.name, replaces: replaced.id }], replaced.collection)
  load()
})
installIntake(upload)
byId('add-url').addEventListener('click', addFromUrl)
restore()
if (remembered() !== 'default') byId('into').append(el('option', { value: remembered(), text: readable(collectionLabel(remembered())), selected: true }))
totals()
again()
