// One action on many documents: planned, said, confirmed, and done in steps that can be stopped.
import { asked } from './dialog.js'
import { bytes, el, number, percent, plural, say } from './dom.js'
import { post } from './rest.js'
import { readersForm, readersOf } from './readers.js'

const SHOWN_REFUSALS = 10

export async function remove(choice) {
  const plan = await planned({ ...choice, action: 'delete' })
  return confirmed('Delete these documents?', plan, [
    `Removed for good: ${plural(plan.documents, 'document')} (${bytes(plan.bytes)}), their text and ${plural(plan.chunks, 'passage')} of the index; and what is in them, where they are archives or mailboxes.`,
    'Searches and answers find nothing of them from then on. Kept answers that rested on them are withheld. For each, a receipt stays.',
  ], `Delete ${number(plan.documents)}`, { ...choice, action: 'delete' }, 'danger')
}

export async function retry(choice) {
  const body = { ...choice, action: 'retry' }
  const plan = await planned(body)
  if (!plan.documents) {
    say('None of them has failed.')
    return false
  }
  return confirmed('Try again?', plan, [`${plural(plan.documents, 'document')} that failed ${plan.documents === 1 ? 'is' : 'are'} read again from the bytes that were sent.`,
    plan.others ? `${plural(plan.others, 'other')} did not fail and ${plan.others === 1 ? 'stays' : 'stay'} as ${plan.others === 1 ? 'it is' : 'they are'}.` : ''], 'Try again', body)
}

export async function openTo(choice) {
  const plan = await planned({ ...choice, action: 'readers', readers: null })
  let readers
  const form = await readersForm(null)
  const chosen = await asked(`Who may see ${plural(plan.documents, 'document')}`, [
    el('p', { text: 'This takes the place of what each of them says now, and holds at once for searches and answers too.' }), ...form,
  ], 'Go on', async (values) => { readers = readersOf(values); return true })
  if (!chosen) return false
  const who = readers === null ? 'everybody who may see their collection' : readers.length ? readers.join(', ') : 'admins only'
  return confirmed('Change who may see them?', plan, [`${plural(plan.documents, 'document')}: from now on ${who}.`], 'Change', { ...choice, action: 'readers', readers })
}

const planned = (body) => post('/v1/documents/bulk/plan', body)

// Asks, does it step by step with a bar, and says what was refused.
function confirmed(title, plan, lines, action, body, kind = 'main') {
  return new Promise((resolve) => {
    let stopped = false
    let begun = false
    const bar = el('progress', { max: 1, value: 0, 'aria-label': title, hidden: true })
    const told = el('div', { 'aria-live': 'polite' }, lines.filter(Boolean).map((line) => el('p', { text: line })))
    const stop = el('button', { type: 'button', text: 'Keep as they are', autofocus: true, onclick: () => (begun ? (stopped = true) : close(false)) })
    const go = el('button', { type: 'button', class: kind, text: action, disabled: !plan.documents, onclick: () => run() })
    const dialog = el('dialog', { 'aria-labelledby': 'bulk-title' }, el('h2', { id: 'bulk-title', text: title }), told, bar, el('div', { class: 'row end' }, stop, go))
    const close = (result) => { dialog.remove(); resolve(result) }
    dialog.addEventListener('cancel', (event) => { event.preventDefault(); if (begun) stopped = true; else close(false) })

    async function run() {
      begun = true
      go.hidden = true
      stop.textContent = 'Stop here'
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
          told.replaceChildren(el('p', { text: `${number(done)} of ${plural(plan.documents, 'document')} (${percent(share)})` }))
        }
      } catch (error) {
        problem = error
      }
      say(`${plural(done, 'document')} done${refused.length ? `, ${number(refused.length)} refused` : ''}.`)
      if (!refused.length && !problem) return close(true)
      bar.hidden = true
      told.replaceChildren(el('p', { text: `${number(done)} of ${plural(plan.documents, 'document')} done.` }),
        problem ? el('p', { class: 'bad-ink', text: `Then it stopped: ${problem.message} ${problem.hint ?? ''}` }) : '',
        refused.length ? el('p', { text: `${number(refused.length)} stay as they were:` }) : '',
        el('ul', {}, refused.slice(0, SHOWN_REFUSALS).map((each) => el('li', {}, el('a', { href: `/library/${each.id}`, text: each.id }), `: ${each.problem.detail}`))))
      stop.replaceWith(el('button', { type: 'button', class: 'main', text: 'Close', onclick: () => close(true) }))
      dialog.querySelector('button.main:last-of-type')?.focus()
    }
    document.body.append(dialog)
    dialog.showModal()
  })
}
