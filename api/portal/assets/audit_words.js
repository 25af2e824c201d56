// Entries of the audit log in plain words: actions, who did them, and their details.
import { bytes, el, foreign, money, number, time } from './dom.js'
import { amountOf, QUOTAS } from './quotas.js'
import { inWords } from './scopes.js'
import { t } from './text.js'

const NANODOLLARS = 1e9
const SEPARATE = new Set(['name', 'version', 'batch'])  // what stands beside the object, or only among the codes
export const ACTIONS = {
  'document.uploaded': t('Uploaded a document'), 'document.replaced': t('Replaced a document'), 'document.changed': t('Changed a document'),
  'document.cancelled': t('Cancelled an upload'), 'document.deleted': t('Deleted a document'), 'document.entries_taken': t('Extracted the files of an archive'),
  'document.entries_deleted': t('Deleted files of an archive'), 'batch.cancelled': t('Cancelled a batch'), 'collection.created': t('Created a collection'),
  'collection.changed': t('Changed a collection'), 'collection.deleted': t('Deleted a collection'), 'file.uploaded': t('Uploaded a file'), 'file.deleted': t('Deleted a file'),
  'run.deleted': t('Deleted a run'), 'answer.deleted': t('Deleted an answer'), 'conversation.deleted': t('Deleted a conversation'), 'share.created': t('Created a share link'),
  'share.revoked': t('Revoked a share link'), 'replies.forgotten': t('Deleted stored model replies'), 'tenant.created': t('Created an organisation'),
  'tenant.changed': t('Changed an organisation'), 'tenant.exported': t('Exported an organisation'), 'tenant.deleted': t('Deleted an organisation'),
  'tenant.erased': t('Removed the data of an organisation'), 'user.created': t('Added a person'), 'user.changed': t('Changed the groups of a person'), 'user.deleted': t('Removed a person'),
  'key.created': t('Created a key'), 'key.changed': t('Changed a key'), 'key.rotated': t('Rotated a key'), 'key.revoked': t('Revoked a key'),
  'session.begun': t('Signed in'), 'sessions.ended': t('Signed out everywhere'), 'webhook.created': t('Created a webhook'), 'webhook.changed': t('Changed a webhook'),
  'webhook.rotated': t('Rotated the secret of a webhook'), 'webhook.disabled': t('Disabled a webhook after failures'), 'webhook.deleted': t('Deleted a webhook'),
  'source.created': t('Added a source'), 'source.changed': t('Changed a source'), 'source.deleted': t('Removed a source'), 'source.sync_requested': t('Started a sync'),
  'source.sync_cancelled': t('Cancelled a sync'), 'source.removals_approved': t('Approved removals'),
  'quota.changed': t('Changed limits'), 'queue.paused': t('Paused a queue'), 'queue.resumed': t('Resumed a queue'), 'settings.changed': t('Changed settings'),
  'index.switched': t('Switched the index'), 'installation.changed': t('Changed the installation'), 'backup.made': t('Made a backup'), 'backup.restored': t('Restored a backup'),
  'slack.installed': t('Installed the Slack app'), 'slack.removed': t('Removed the Slack app'), 'slack.channel_set': t('Changed a Slack channel'),
  'retention.applied': t('Deleted expired content'), 'audit.trimmed': t('Deleted expired log entries'),
}
const KINDS = {
  document: t('document'), file: t('file'), key: t('key'), user: t('person'), collection: t('collection'), run: t('run'), answer: t('answer'), conversation: t('conversation'),
  batch: t('batch'), tenant: t('organisation'), webhook: t('webhook'), source: t('source'), quota: t('limits'), queue: t('queue'), slack: t('Slack'), share: t('share link'),
  generation: t('index'), installation: t('installation'), settings: t('settings'), audit: t('audit log'),
}
const FACTS = {
  name: t('name'), scopes: t('permissions'), user: t('person'), groups: t('groups'), collection: t('collection'), expires_at: t('expires'), sessions: t('sessions'), documents: t('documents'),
  limits: t('limits'), reset: t('reset to the default'), readers: t('readers'), role: t('role'), subject: t('for'), title: t('title'), size: t('size'), size_bytes: t('size'), granted: t('for'), media_type: t('type'), ends_at: t('ends'), key: t('key'), versions: t('versions'), entries: t('files'),
  changed: t('changed'), revoked: t('access removed from'), open_to_all: t('open to everybody'), suspended: t('suspended'), successor: t('successor'), keys: t('keys'), events: t('events'), url: t('address'),
  disabled: t('disabled'), status: t('HTTP status'), counts: t('exported'), rows: t('removed'), replies: t('model replies'), previous: t('before'), purpose: t('purpose'), receipt: t('receipt'), settings: t('settings'),
  sequence: t('last deleted entry'), hash: t('its hash'), by: t('by'), collections: t('collections'), strategy: t('strategy'), mention_only: t('only when mentioned'), askers: t('people who may ask'), files_to: t('files go to'),
  card: t('details'), kind: t('kind'), subjects: t('subjects'), periods: t('periods'), dates: t('dates'), language: t('language'), outline: t('outline'), version: t('version'),
}
const ROLES = { reader: t('reader'), writer: t('writer'), admin: t('administrator') }
// Members whose values are names of limits or of other members.
const OF_NAMES = new Set(['reset', 'changed', 'card'])

const wordsOf = (name) => FACTS[name] ?? QUOTAS[name] ?? name.replaceAll('_', ' ')

export const actionOf = (entry) => ACTIONS[entry.action] ?? entry.action

// Names the actor: the name of the person or key, with what they signed in with below it.
export function actorOf({ actor }, names) {
  const key = actor.key ? names[`key:${actor.key}`] : null
  if (actor.kind === 'command line') return [el('span', { text: t('Command line') }), actor.user ? below(foreign(actor.user)) : null]
  if (actor.kind === 'service') return [el('span', { text: t('Leadline itself') })]
  if (actor.kind === 'nobody') return [el('span', { text: t('Somebody who was not signed in') })]
  if (actor.user) return [foreign(names[`user:${actor.user}`] ?? actor.user), actor.key ? below(foreign(t('with the key “{key}”', { key: key ?? actor.key }))) : null]
  return [key ? foreign(key) : el('code', { text: actor.key ?? '' }), below(key ? el('code', { text: actor.key }) : t('key'))]
}

const below = (...content) => el('div', { class: 'small soft' }, content)

// Names the object: its name where it is known, with its kind and id below it.
export function objectOf(entry, names) {
  const [, kind, id] = /^([a-z_]+):(.*)$/s.exec(entry.object) ?? [null, '', entry.object]
  const name = names[entry.object] ?? (kind === 'quota' ? names[`key:${id}`] : null) ?? entry.details.name
  const words = KINDS[kind] ?? kind
  if (!name) return kind === 'document' && entry.action !== 'document.deleted' ? [el('a', { href: `/library/${encodeURIComponent(id)}` }, el('code', { text: id })), below(words)] : [isId(id) ? el('code', { text: id }) : foreign(id), below(words)]
  const linked = kind === 'document' && names[entry.object] ? el('a', { href: `/library/${encodeURIComponent(id)}` }, foreign(name)) : foreign(name)
  return [linked, below(`${words} `, id === name ? null : el('code', { text: id }))]
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const isId = (text) => /^[\w-]{8,}$/.test(text) && /\d/.test(text)

// The details of an entry as parts of a line. The name stands beside the object, and ids are among its codes.
export const factsOf = (entry, names) => Object.entries(entry.details)
  .filter(([name, value]) => value !== null && !SEPARATE.has(name) && !(Array.isArray(value) && !value.length))
  .flatMap(([name, value], at) => [at ? ', ' : '', `${wordsOf(name)}: `, foreign(plain(name, value, names))])

function plain(name, value, names) {
  if (value === null) return name in QUOTAS ? t('no limit') : name === 'readers' ? t('everyone who can see the collection') : t('none')
  if (name.endsWith('_at') && typeof value === 'number') return time(new Date(value * 1000).toISOString())
  if (name.startsWith('dollars') && typeof value === 'number') return money(value / NANODOLLARS)
  if (name in QUOTAS && typeof value === 'number') return amountOf(name, value)
  if (name === 'scopes') return inWords(value)
  if (name === 'role') return ROLES[value] ?? value
  if (name === 'size' || name === 'size_bytes') return bytes(value)
  // The ids themselves are among the codes of the entry.
  if (Array.isArray(value) && value.length && value.every((each) => UUID.test(each))) return number(value.length)
  if (Array.isArray(value)) return value.map((each) => (OF_NAMES.has(name) ? wordsOf(each) : plain('', each, names))).join(', ') || (name === 'readers' ? t('administrators only') : t('none'))
  if (typeof value === 'object' && 'before' in value && 'after' in value) return t('{before} before, {after} now', { before: plain(name, value.before, names), after: plain(name, value.after, names) })
  if (typeof value === 'object') return Object.entries(value).map(([key, each]) => `${wordsOf(key)} ${plain(key, each, names)}`).join(', ') || t('none')
  return typeof value === 'number' ? number(value) : typeof value === 'boolean' ? (value ? t('yes') : t('no')) : names[value] ?? String(value)
}
