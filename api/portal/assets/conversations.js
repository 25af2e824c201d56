// The list of conversations, and what can be done with the one that is open.
import { conversation } from './conversation.js'
import { byId, confirmed, el, foreign, readable, trouble } from './dom.js'
import { get, may, send } from './rest.js'
import { openShares } from './shares.js'

let older = null

export async function listConversations(more) {
  try {
    const page = await get('/v1/conversations', { limit: 30, cursor: more ? older : null })
    const items = page.conversations.map((each) => el('li', {}, el('a', { href: `/ask/${each.id}`, 'aria-current': each.id === conversation.id ? 'page' : null, title: readable(each.title) }, foreign(each.title))))
    if (more) byId('conversations').append(...items)
    else byId('conversations').replaceChildren(...items)
    older = page.next_cursor
    byId('more-conversations').hidden = !older
    if (!more && !items.length) byId('conversations').replaceChildren(el('li', { class: 'hint', text: 'What you ask is kept here.' }))
  } catch (error) {
    byId('conversations').replaceChildren(el('li', {}, trouble(error)))
  }
}

export function showTitle(title) {
  byId('talk-title').textContent = readable(title)
  document.title = `${readable(title)} · Leadline`
  byId('forget').hidden = byId('share').hidden = !may('ask')
}

byId('share').addEventListener('click', () => openShares({ conversation: conversation.id }, { goesOn: true }))
byId('show-history').addEventListener('click', (event) => {
  event.currentTarget.setAttribute('aria-expanded', String(byId('desk').classList.toggle('with-history')))
})
byId('more-conversations').addEventListener('click', () => listConversations(true))
byId('forget').addEventListener('click', async () => {
  if (!await confirmed('Delete this conversation?', ['Its questions and answers are removed for good. Documents stay as they are.'], 'Delete')) return
  try {
    await send('DELETE', `/v1/conversations/${conversation.id}`)
    location.assign('/ask')
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  }
})

