// The limits of the organisation, which operators set and admins can lower, and the settings in force.
import { byId, bytes, el, number, readable, say, trouble } from './dom.js'
import { changedLimits, limitFields, limitsTable } from './quotas.js'
import { get, may, send } from './rest.js'
import { t, tn } from './text.js'

// The groups of settings as the service names them, in the language of the page.
const GROUPS = {
  'The service': t('The service'), 'File storage': t('File storage'), 'The language model': t('The language model'), 'Checking answers': t('Checking answers'),
  'Encoders and rerankers': t('Encoders and rerankers'), 'Tokens of an identity provider': t('Identity provider'), 'The Slack bot': t('The Slack bot'),
  Limits: t('Limits'), 'Retention, upkeep and webhooks': t('Retention, upkeep and webhooks'), 'A cluster': t('Cluster'),
}
const SOURCES = { environment: t('environment'), file: t('file'), command: t('command line'), default: t('default') }
// The descriptions of settings in the language of the page, by the English descriptions that the service sends.
const DESCRIPTIONS = globalThis.leadlineSettings ?? {}
let settings = []

const fail = (error) => byId('trouble').replaceChildren(trouble(error))

async function limits() {
  const me = await get('/v1/me')
  const path = `/v1/tenants/${encodeURIComponent(me.tenant)}/quotas`
  if (may('operator')) showForm(path, await get(path))
  else if (may('admin') && may('read')) showForm('/v1/quotas', await get('/v1/quotas'), { lower: true })
  else if (may('read')) byId('limits').replaceChildren(limitsTable(await get('/v1/quotas'), 'tenant'), whoCan())
  else byId('limits').replaceChildren(whoCan())
}

const whoCan = () => el('p', { class: 'notice' }, t('Only administrators can change these limits.'))
const whoRaises = () => el('p', { class: 'notice' }, t('You can set limits up to those that the operator of this installation allows. Only an operator can raise those, for example on the command line:'), ' ', el('code', { text: 'leadline quotas set tokens_per_day=2m' }))

function showForm(path, found, options = {}) {
  const button = el('button', { type: 'submit', class: 'main', text: t('Save limits') })
  const why = el('div')
  const form = el('form', { novalidate: true, 'aria-label': t('Limits of the organisation') }, limitFields(found, 'tenant', options), why, el('div', { class: 'row end' }, button))
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const changes = changedLimits(form, found, 'tenant')
    if (!changes) return
    if (!Object.keys(changes).length) { say(t('Nothing has changed.')); return }
    button.disabled = true
    try {
      showForm(path, await (await send('PUT', path, { json: { limits: changes } })).json(), options)
      say(t('The limits were saved.'))
      byId('limits').querySelector('button').focus()
    } catch (error) {
      why.replaceChildren(trouble(error))
      button.disabled = false
    }
  })
  byId('limits').replaceChildren(...[form, options.lower ? whoRaises() : null].filter(Boolean))
}

// A description with its code marked, which stands between backticks.
const described = (text) => el('span', { lang: text in DESCRIPTIONS ? null : 'en' }, (DESCRIPTIONS[text] ?? text).split('`').map((part, at) => (at % 2 ? el('code', { text: part }) : part)))

function valueOf(each, value, isSet) {
  if (each.is_secret) return isSet ? t('set') : t('not set')
  if (value === null || value === '') return t('not set')
  if (typeof value === 'boolean') return value ? t('yes') : t('no')
  if (typeof value === 'number') return each.variable.endsWith('_BYTES') && value ? `${number(value)} (${bytes(value)})` : number(value)
  return value
}

const isChanged = (each) => (each.is_secret ? each.is_set : each.value !== each.default)

function row(each) {
  const value = valueOf(each, each.value, each.is_set)
  return el('tr', { class: isChanged(each) ? 'changed' : null },
    el('th', { scope: 'row' }, el('code', { text: each.variable }), el('div', { class: 'small soft about' }, described(each.description))),
    el('td', { 'data-label': t('Value'), class: 'value', text: value }),
    el('td', { 'data-label': t('Default'), class: 'soft value', text: each.is_secret ? '–' : valueOf(each, each.default, false) }),
    el('td', { 'data-label': t('Source'), class: 'whole' }, each.source === 'default' ? el('span', { class: 'soft', text: SOURCES.default }) : el('span', { class: 'badge accent', text: SOURCES[each.source] ?? each.source })))
}

function draw() {
  const words = byId('find').value.trim().toLowerCase().split(/\s+/).filter(Boolean)
  const shown = settings.filter((each) => (!byId('changed').checked || isChanged(each)) && words.every((word) => `${each.variable} ${each.description} ${DESCRIPTIONS[each.description] ?? ''}`.toLowerCase().includes(word)))
  const groups = grouped(shown)
  byId('empty').hidden = Boolean(shown.length)
  byId('empty').textContent = words.length ? t('Nothing found for “{words}”. Try a single word, or a part of the setting’s name.', { words: readable(byId('find').value.trim()) }) : t('No setting differs from its default.')
  byId('settings').replaceChildren(...[...groups].map(([group, members]) => {
    const open = Boolean(words.length) || byId('changed').checked
    const changed = members.filter(isChanged).length
    return el('details', { class: 'card group', open },
      el('summary', {}, el('h3', { text: GROUPS[group] ?? group }), el('span', { class: 'soft small', text: tn(members.length, '{n} setting', '{n} settings') }),
        changed ? el('span', { class: 'badge accent', text: tn(changed, '{n} differs from the default', '{n} differ from the default') }) : null),
      el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': GROUPS[group] ?? group }, el('table', { class: 'wide settings' },
        el('thead', {}, el('tr', {}, [t('Setting'), t('Value'), t('Default'), t('Source')].map((text) => el('th', { scope: 'col', text })))), el('tbody', {}, members.map(row)))))
  }))
  // The limits above are long, so the sentence would be below the edge of a small window.
  if (words.length && !shown.length) byId('empty').scrollIntoView({ block: 'nearest' })
}

function grouped(members) {
  const groups = new Map()
  for (const each of members) groups.set(each.group, [...groups.get(each.group) ?? [], each])
  return groups
}

async function load() {
  const found = await get('/v1/settings')
  settings = found.settings
  byId('withheld').hidden = !found.withheld
  draw()
}

byId('filters').addEventListener('submit', (event) => event.preventDefault())
byId('find').addEventListener('input', draw)
byId('changed').addEventListener('change', draw)
Promise.all([limits(), load()]).catch(fail)
