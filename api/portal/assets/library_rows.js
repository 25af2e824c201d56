// The rows of the library: a document, its state, who can see it, and a menu of what can be done with it.
import { cardLine } from './card.js'
import { collectionLabel, isRestricted } from './collections.js'
import { containerLine } from './document_facts.js'
import { bytes, el, foreign, number, readable, time } from './dom.js'
import { icon } from './icons.js'
import { menuButton } from './menu.js'
import { explain } from './problems.js'
import { countReaders, whoCanRead } from './reader_words.js'
import { may } from './rest.js'
import { needsNewFile, omissionLine, status, typeName, UNDER_WAY } from './status.js'
import { t } from './text.js'

/* Builds the row of a document. `selected` is null where nothing can be selected; `select(id, is)` is called with a
   change. `acts` has what the menu does: `move`, `permissions`, `retry`, `replace`, `cancel` and `remove`, each of the
   document, and `canRetry(document)`. */
export function documentRow(each, { selected, select, acts }) {
  const title = each.title || each.name
  const label = readable(title)
  return el('tr', { data: { id: each.id }, class: selected ? 'picked' : null },
    selected === null ? null : el('td', { class: 'pick' }, el('input', { type: 'checkbox', checked: selected, 'aria-label': t('Select {title}', { title: label }), onchange: (event) => select(each.id, event.target.checked) })),
    el('td', { class: 'main-cell' },
      el('a', { class: 'title', href: `/library/${each.id}` }, foreign(title)),
      each.title && each.title !== each.name ? el('span', { class: 'soft small file-name' }, foreign(each.name)) : null,
      cardLine(each) ? el('div', { class: 'soft small' }, foreign(cardLine(each))) : null,
      failureLine(each, label, acts),
      omissionLine(each.omissions)),
    el('td', { class: 'type small soft', text: typeName(each.media_type) }),
    el('td', {}, status(each)),
    el('td', { class: 'small collection' }, foreign(collectionLabel(each.collection))),
    el('td', { class: 'small permissions' }, permissions(each)),
    el('td', { class: 'right', text: number(each.pages) }),
    el('td', { class: 'right', text: bytes(each.size_bytes) }),
    el('td', { class: 'when small', text: time(each.created_at) }),
    el('td', { class: 'act' }, menuButton(t('Actions for {title}', { title: label }), () => items(each, acts), { class: 'quiet icon-button small' })))
}

function failureLine(each, label, acts) {
  if (!each.failure) return null
  const { message, hint } = explain(each.failure)
  const why = needsNewFile(each) ? t('The same file would fail again.') : ''
  return el('div', { class: 'small bad-ink failure' }, el('span', { text: [message, hint, why].filter(Boolean).join(' ') }), may('write') ? remedy(each, label, acts) : null)
}

// Another attempt where it may succeed, and otherwise another file.
function remedy(each, label, { retry, replace, canRetry }) {
  const button = (name, text, description, act) => el('button', { type: 'button', class: 'small', 'aria-label': description, onclick: () => act(each) }, icon(name), text)
  if (canRetry(each)) return button('rotate-ccw', t('Retry'), t('Retry {title}', { title: label }), retry)
  if (!needsNewFile(each) || each.source) return null
  return containerLine(each) ?? button('upload', t('Replace…'), t('Replace {title}', { title: label }), replace)
}

function permissions({ readers, collection }) {
  if (readers !== null) {
    return el('span', { title: whoCanRead({ readers, collection }) }, icon('lock'), countReaders(readers))
  }
  return isRestricted(collection)
    ? el('span', { title: t('Everyone with a role on the collection') }, icon('users'), t('Collection'))
    : el('span', { class: 'soft', text: t('Everyone') })
}

function items(each, acts) {
  const ask = each.active_version && may('ask') ? { text: t('Ask about it'), icon: 'message-square', href: `/ask?document=${each.id}` } : null
  const open = { text: t('Open'), icon: 'book-open', href: `/library/${each.id}` }
  if (!may('write')) return [open, ask].filter(Boolean)
  return [
    ...[open, ask].filter(Boolean),
    { text: t('Move…'), icon: 'folder-input', disabled: Boolean(each.container), act: () => acts.move(each) },
    { text: t('Permissions…'), icon: 'users', act: () => acts.permissions(each) },
    ...(each.container ? [] : [{ text: t('Replace…'), icon: 'upload', act: () => acts.replace(each) }]),
    ...(acts.canRetry(each) ? [{ text: t('Retry'), icon: 'rotate-ccw', act: () => acts.retry(each) }] : []),
    ...(UNDER_WAY.has(each.state) ? [{ text: t('Cancel processing'), icon: 'ban', act: () => acts.cancel(each) }] : []),
    null,
    { text: t('Delete'), icon: 'trash-2', danger: true, act: () => acts.remove(each) },
  ]
}
