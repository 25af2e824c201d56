// The names of those who asked, gave feedback or shared something: `user:ann` is a person, and `key:ID` a key.
import { readable } from './dom.js'
import { nameOf } from './names.js'
import { get } from './rest.js'
import { t } from './text.js'

const MOST_KEYS = 500
const keyNames = new Map()
let loaded

// The owner that the session stands for.
export const me = () => document.body.dataset.who.replace(/^[^/]*\//, '')

// Loads the names of keys, which administrators alone may see. Resolves to the keys.
export function loadKeyNames() {
  loaded ??= get('/v1/keys', { limit: MOST_KEYS }).then(({ keys }) => {
    for (const each of keys) keyNames.set(`key:${each.id}`, t('key “{name}”', { name: readable(each.name) }))
    return keys
  })
  return loaded
}

// The name of a person, a key, or somebody in Slack. The names of people and keys must be loaded before.
export function ownerName(owner) {
  if (!owner) return t('Unknown')
  const [, kind, name] = /^(\w+):(.*)$/s.exec(owner) ?? [null, '', owner]
  return kind === 'key' ? keyNames.get(owner) ?? t('the key {key}', { key: name }) : readable(nameOf(owner) ?? name)
}
