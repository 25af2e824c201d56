// A document: its state, what can be done with it, and what is known about it. `document_reading.js` shows its text.
import { showAccess } from './access.js'
import { cardRows, editCard } from './card.js'
import { asked as askedIn } from './dialog.js'
import { factsOf, noticesOf, receiptOf, showVersions } from './document_facts.js'
import { Reading } from './document_reading.js'
import { byId, confirmed, el, readable, say, trouble } from './dom.js'
import { follow as followed } from './follow.js'
import { loadNames } from './names.js'
import { readersForm } from './readers.js'
import { get, may, post, send } from './rest.js'
import { canRetry, needsNewFile, removes, status, UNDER_WAY } from './status.js'
import { t } from './text.js'
import { removeDocument, Uploads } from './uploads.js'

const id = byId('document').dataset.id
const parameters = new URLSearchParams(location.search)
const ends = parameters.getAll('end').map(Number)
const cited = parameters.getAll('start').map((start, at) => [Number(start), ends[at]])
let found = null
let deleting = false

const fail = (error, retry) =>
  byId('trouble').replaceChildren(trouble(error, retry ? el('button', { type: 'button', text: t('Try again'), onclick: retry }) : null))

const reading = new Reading(id, cited, fail)

async function load() {
  try {
    found = await get(`/v1/documents/${id}`)
    await loadNames(found.readers ?? [])
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
  if (byId('retry')) byId('retry').hidden = !canRetry(found)
  byId('replace')?.classList.toggle('main', needsNewFile(found) && !found.source)
  showAccess(found)
  if (byId('versions-part').open) showVersions(id)
  byId('notices').replaceChildren(...noticesOf(found))
  byId('facts').replaceChildren(...factsOf(found))
  const card = cardRows(found.card)
  byId('card-part').hidden = !card.length && !may('write')
  byId('card').replaceChildren(...card)
  byId('card-empty').hidden = Boolean(card.length)
  if (found.active_version && byId('reading').dataset.version !== found.active_version) {
    byId('reading').dataset.version = found.active_version
    byId('reading').hidden = false
    reading.show(found)
  }
}

async function openTo() {
  const form = await readersForm(found.readers)
  const changed = await askedIn(t('Who can read this document'), [
    el('p', { text: t('The change applies immediately, also to searches and answers.') }), ...form.fields,
  ], t('Change'), async () => send('PATCH', `/v1/documents/${id}`, { json: { readers: form.read() }, more: { 'If-Match': '*' } }))
  if (changed) {
    say(t('Changed'))
    await load()
  }
}

async function edit() {
  if (!await editCard(id)) return
  say(t('Changed'))
  await load()
}

let stop = () => {}
function follow() {
  stop()
  stop = followed(`/v1/documents/${id}/events`, {
    told: (body) => { if (deleting) return; found = body; if (found.state === 'deleted') load(); else show() },
    lost: async () => { await load(); return !byId('document').hidden && UNDER_WAY.has(found?.state) },
  })
}

byId('versions-part').addEventListener('toggle', (event) => { if (event.target.open) showVersions(id) })
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
  if (!await confirmed(t('Delete this document?'), removes(found), t('Delete'))) return
  deleting = true
  try {
    const receipt = await removeDocument(id)
    stop()
    byId('document').hidden = true
    byId('trouble').replaceChildren(receiptOf(receipt))
  } catch (error) {
    deleting = false
    fail(error)
  }
})

const uploads = new Uploads(() => {
  const upload = uploads.all.at(-1)
  if (!upload) return
  if (upload.state === 'refused') fail(upload.problem)
  if (upload.document && upload.told !== upload.document.version) {
    upload.told = upload.document.version
    load().then(follow).then(() => { if (upload.duplicate) byId('trouble').replaceChildren(el('p', { class: 'notice', role: 'status', text: t('The document has these contents already. Nothing was changed.') })) })
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
