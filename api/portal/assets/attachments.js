// Files that are attached to a question: they are uploaded into a collection, and the question looks only in them.
import { asked, labelled, select } from './dialog.js'
import { el, foreign, percent, readable, say } from './dom.js'
import { icon } from './icons.js'
import { explain } from './problems.js'
import { get } from './rest.js'
import { choose } from './scope.js'
import { words } from './status.js'
import { t, tn } from './text.js'
import { Uploads } from './uploads.js'

const SEARCHABLE = new Set(['searchable', 'embedding', 'ready', 'duplicate'])
const FAILED = new Set(['refused', 'failed'])
const LISTED = 5
const CHOSEN = 'leadline-attach-to'

let hear = () => {}
const uploads = new Uploads(changed)

// Calls `listener` whenever an attached file has moved on.
export const onAttachments = (listener) => { hear = listener }
export const countPending = () => uploads.all.filter((each) => !SEARCHABLE.has(each.state) && !FAILED.has(each.state) && each.state !== 'cancelled').length
export const countFailed = () => uploads.all.filter((each) => FAILED.has(each.state)).length

// Asks which collection gets the files, and uploads them into it.
export async function attach(files) {
  if (!files.length) return
  const found = (await get('/v1/collections')).collections.filter((each) => each.role !== 'reader')
  const names = found.map((each) => [each.name, each.title || each.name])
  if (!found.some((each) => each.name === 'default')) names.unshift(['default', 'default'])
  const last = sessionStorage.getItem(CHOSEN)
  const into = select(names, names.some(([name]) => name === last) ? last : names[0][0])
  const listed = files.slice(0, LISTED).map(({ name }) => el('li', {}, foreign(name)))
  if (files.length > LISTED) listed.push(el('li', { text: tn(files.length - LISTED, 'and {n} more file', 'and {n} more files') }))
  const collection = await asked(tn(files.length, 'Attach {n} file', 'Attach {n} files'), [
    el('ul', { class: 'attached' }, listed),
    labelled('into', t('Collection'), into, t('Everybody who can read this collection can find and read the files.')),
  ], t('Attach'), async (values) => values.get('into'))
  if (!collection) return
  sessionStorage.setItem(CHOSEN, collection)
  say(tn(files.length, '{n} file is being uploaded', '{n} files are being uploaded'))
  await uploads.add(files, collection)
}

// Adds an attached file to the scope of the question as soon as it can be searched.
function changed() {
  for (const each of uploads.all) {
    if (!SEARCHABLE.has(each.state) || each.isChosen || !each.document) continue
    each.isChosen = true
    choose({ kind: 'document', id: each.document.id, name: each.document.title || each.document.name || each.name })
  }
  uploads.all = uploads.all.filter((each) => !each.isChosen && each.state !== 'cancelled')
  hear()
}

const chips = new WeakMap()

export const drawAttachments = () => uploads.all.map((each) => {
  if (!chips.has(each)) chips.set(each, drawChip(each))
  const chip = chips.get(each)
  chip.className = FAILED.has(each.state) ? 'failed' : 'uploading'
  chip.title = `${readable(each.name)}\n${stage(each)}`
  chip.querySelector('.soft').textContent = stage(each)
  return chip
})

const drawChip = (upload) => el('li', {}, icon('paperclip'), foreign(upload.name, 'span', { class: 'name' }), el('span', { class: 'soft' }),
  el('button', { type: 'button', class: 'quiet', 'aria-label': t('Remove {name}', { name: readable(upload.name) }), onclick: () => removeUpload(upload) }, icon('x')))

// Says of each file that failed why it did.
export const describeFailures = () => uploads.all.filter((each) => FAILED.has(each.state)).map((each) => {
  const reason = each.problem ?? (each.document?.failure && explain(each.document.failure))
  return { name: each.name, reason: [reason?.detail ?? reason?.message, reason?.hint].filter(Boolean).join(' ') }
})

async function removeUpload(upload) {
  if (!FAILED.has(upload.state)) await uploads.cancel(upload)
  uploads.all = uploads.all.filter((each) => each !== upload)
  hear()
}

function stage(upload) {
  switch (upload.state) {
    case 'waiting': return t('Waiting')
    case 'sending': return t('Uploading {part}', { part: percent(upload.sent) })
    case 'refused': return t('Not accepted')
    default: return upload.document ? words(upload.document) : ''
  }
}
