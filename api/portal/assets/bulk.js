// One action on many documents: it is planned, explained, confirmed, and done in steps that can be stopped.
import { collectionField, collectionLabel, createCollection } from './collections.js'
import { asked, labelled } from './dialog.js'
import { bytes, el, number, percent, readable, say } from './dom.js'
import { icon } from './icons.js'
import { readerNames } from './reader_words.js'
import { readersForm } from './readers.js'
import { get, post } from './rest.js'
import { t, tn } from './text.js'

const SHOWN_REFUSALS = 10
// The present readers of as many documents as a page of the library shows are looked up.
const MOST_COMPARED = 50

export async function remove(choice) {
  const plan = await planned({ ...choice, action: 'delete' })
  return confirmed(t('Delete these documents?'), plan, [
    tn(plan.documents, '{n} document ({size}) is deleted permanently, with everything inside it if it is an archive or a mailbox.',
      '{n} documents ({size}) are deleted permanently, with everything inside them where they are archives or mailboxes.', { size: bytes(plan.bytes) }),
    tn(plan.chunks, '{n} passage is removed from the index.', '{n} passages are removed from the index.'),
    t('Searches and answers no longer find them. Stored answers that used them are withheld. An audit entry remains for each document.'),
  ], tn(plan.documents, 'Delete {n} document', 'Delete {n} documents'), { ...choice, action: 'delete' }, 'danger')
}

export async function retry(choice) {
  const body = { ...choice, action: 'retry' }
  const plan = await planned(body)
  if (!plan.documents) {
    say(t('None of them has failed.'))
    return false
  }
  return confirmed(t('Retry the failed documents?'), plan, [
    tn(plan.documents, '{n} document that failed is read again from the uploaded file.', '{n} documents that failed are read again from the uploaded files.'),
    plan.others ? tn(plan.others, '{n} other did not fail and does not change.', '{n} others did not fail and do not change.') : '',
  ], t('Retry'), body)
}

export async function openTo(choice) {
  const plan = await planned({ ...choice, action: 'readers', readers: null })
  let readers
  const current = await findReaders(choice)
  const form = await readersForm(current)
  const chosen = await asked(tn(plan.documents, 'Who can read {n} document', 'Who can read {n} documents'), [
    el('p', { text: t('This replaces their earlier permissions everywhere.') }),
    current === undefined ? el('p', { text: t('The documents have different permissions now, or too many are selected to compare them.') }) : null, ...form.fields,
  ], t('Continue'), async () => { readers = form.read(); return true })
  if (!chosen) return false
  return confirmed(t('Change the permissions?'), plan, [
    tn(plan.documents, 'This changes {n} document.', 'This changes {n} documents.'), readersLine(readers),
  ], t('Change'), { ...choice, action: 'readers', readers })
}

// Returns the readers that all of the documents have: null for everyone, or undefined if they differ or are not known.
async function findReaders({ documents }) {
  if (!documents || documents.length > MOST_COMPARED) return undefined
  const [first, ...others] = (await Promise.all(documents.map((id) => get(`/v1/documents/${id}`)))).map(({ readers }) => readers && [...readers].sort())
  return others.every((each) => JSON.stringify(each) === JSON.stringify(first)) ? first : undefined
}

function readersLine(readers) {
  if (readers === null) return t('Everyone who can see the collection of a document can then see the document.')
  return readers.length ? t('Then only {names} can see them.', { names: readerNames(readers) }) : t('Then no person can see them.')
}

// Moves documents to a collection that the reader chooses, or creates.
export async function move(choice, from = '') {
  const field = collectionField(from)
  const create = el('button', { type: 'button', class: 'quiet' }, icon('folder-plus'), t('New collection'))
  create.addEventListener('click', async () => {
    const made = await createCollection()
    if (made) field.append(el('option', { value: made.name, text: readable(made.title || made.name), selected: true }))
  })
  let collection
  const chosen = await asked(t('Move to another collection'), [
    labelled('collection', t('Collection'), field, t('The permissions of that collection apply at once.')), el('div', {}, create),
  ], t('Continue'), async (values) => { collection = values.get('collection'); return true })
  if (!chosen) return false
  const body = { ...choice, action: 'move', collection }
  const plan = await planned(body)
  const title = readable(collectionLabel(collection))
  if (!plan.documents) {
    say(t('They are in “{title}” already.', { title }))
    return false
  }
  return confirmed(t('Move to “{title}”?', { title }), plan, [
    tn(plan.documents, '{n} document is moved. Everyone who can see the collection “{title}” can then see it, and nobody else.',
      '{n} documents are moved. Everyone who can see the collection “{title}” can then see them, and nobody else.', { title }),
    t('Searches in the old collection no longer find them. Documents with permissions of their own keep these permissions.'),
    plan.others ? tn(plan.others, '{n} other is there already.', '{n} others are there already.') : '',
  ], t('Move'), body)
}

const planned = (body) => post('/v1/documents/bulk/plan', body)

// Asks, works step by step with a progress bar, and lists what was refused.
function confirmed(title, plan, lines, action, body, kind = 'main') {
  return new Promise((resolve) => {
    let stopped = false
    let begun = false
    const bar = el('progress', { max: 1, value: 0, 'aria-label': title, hidden: true })
    const told = el('div', { 'aria-live': 'polite' }, lines.filter(Boolean).map((line) => el('p', { text: line })))
    const stop = el('button', { type: 'button', text: t('Cancel'), autofocus: true, onclick: () => (begun ? (stopped = true) : close(false)) })
    const go = el('button', { type: 'button', class: kind, text: action, disabled: !plan.documents, onclick: () => run() })
    const dialog = el('dialog', { 'aria-labelledby': 'bulk-title' }, el('h2', { id: 'bulk-title', text: title }), told, bar, el('div', { class: 'row end' }, stop, go))
    const close = (result) => { dialog.remove(); resolve(result) }
    dialog.addEventListener('cancel', (event) => { event.preventDefault(); if (begun) stopped = true; else close(false) })

    async function run() {
      begun = true
      go.hidden = true
      stop.textContent = t('Stop')
      bar.hidden = false
      const refused = []
      let done = 0
      let cursor = plan.cursor
      let problem = null
      try {
        while (cursor && !stopped) {
          const step = await post('/v1/documents/bulk', { ...body, cursor })
          done += step.done
          refused.push(...step.refused)
          cursor = step.next_cursor
          const share = Math.min(1, (done + refused.length) / Math.max(1, plan.documents))
          bar.value = share
          told.replaceChildren(el('p', { text: t('{done} of {all} ({share})', { done: number(done), all: number(plan.documents), share: percent(share) }) }))
        }
      } catch (error) {
        problem = error
      }
      say(tn(done, '{n} document done', '{n} documents done'))
      if (!refused.length && !problem && !cursor) return close(true)
      bar.hidden = true
      told.replaceChildren(
        el('p', { text: stopped ? t('Stopped after {done} of {all}.', { done: number(done), all: number(plan.documents) }) : t('{done} of {all} done.', { done: number(done), all: number(plan.documents) }) }),
        problem ? el('p', { class: 'bad-ink' }, el('strong', { text: t('Then an error occurred.') }), ` ${problem.message} ${problem.hint ?? ''}`) : '',
        refused.length ? el('p', { text: tn(refused.length, '{n} did not change:', '{n} did not change:') }) : '',
        el('ul', {}, refused.slice(0, SHOWN_REFUSALS).map((each) => el('li', {}, el('a', { href: `/library/${each.id}`, text: each.id }), `: ${each.problem.detail}`))))
      stop.replaceWith(el('button', { type: 'button', class: 'main', text: t('Close'), onclick: () => close(true) }))
      dialog.querySelector('button.main:last-of-type')?.focus()
    }
    document.body.append(dialog)
    dialog.showModal()
  })
}
