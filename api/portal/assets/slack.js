// The state of the Slack bot: what is stored about it, a check that asks Slack, and the steps of the setup.
import { byId, day, el, foreign, number, say, time, trouble } from './dom.js'
import { icon } from './icons.js'
import { remarkOf } from './remarks.js'
import { get, post } from './rest.js'
import { t, tn, tp } from './text.js'

const FILES = {
  waiting: t('waiting'), taken: t('being read'), ready: t('ready'), failed: t('failed'), refused: t('rejected'), gone: t('deleted in Slack'),
}
const TRANSPORTS = { http: t('Slack sends events to this service'), socket_mode: t('This service connects to Slack (Socket Mode)') }
const APPS = 'https://api.slack.com/apps'

const fact = (name, ...values) => [el('dt', { text: name }), el('dd', {}, values.flat(3))]
const fail = (error) => byId('trouble').replaceChildren(trouble(error))

function stateOf(state) {
  if (!state.is_set_up) {
    return el('div', { class: 'notice' }, el('strong', { text: t('The bot is not set up') }), el('span', { text: t('With the bot, people ask in Slack and share files there. Each answer uses only documents that everybody in the channel may see.') }))
  }
  const next = nextStep(state)
  return el('div', {},
    next ? el('div', { class: 'notice warn' }, el('strong', { text: next[0] }), el('span', {}, next[1])) : el('p', {}, el('span', { class: 'status good', text: t('The bot is set up') })),
    el('dl', { class: 'facts' },
      fact(t('Workspaces'), state.workspaces.length ? state.workspaces.map((each, at) => [at ? ', ' : '', foreign(each.name || each.id), el('span', { class: 'soft small', text: ` ${t('since {time}', { time: time(each.installed_at) })}` })]).flat() : t('none yet')),
      fact(t('Events'), TRANSPORTS[state.transport] ?? ''),
      fact(t('Last event'), state.last_event_at ? time(state.last_event_at) : t('none yet')),
      fact(t('Last failure'), failureOf(state)),
      fact(t('Open questions'), number(state.open_questions)),
      fact(t('People'), tn(state.users, '{n} person asked or shared files', '{n} people asked or shared files')),
      fact(t('Files'), filesOf(state))))
}

// Returns the next step as a title and a sentence, or null if nothing is missing.
function nextStep(state) {
  const lacking = state.workspaces.filter((each) => each.missing_scopes?.length)
  if (!state.workspaces.length) return [t('No workspace is connected'), tp('If the bot token is in the settings, the workspace appears as soon as Slack has been reached: choose “Check the connection”. Otherwise create a link with {command} and open it.', { command: el('code', { text: 'leadline slack link' }) })]
  if (lacking.length) return [t('The app needs more permissions in Slack'), [t('Add these scopes under “OAuth & Permissions” and reinstall the app:'), ' ', el('code', { text: [...new Set(lacking.flatMap((each) => each.missing_scopes))].join(' ') })]]
  if (!state.public_url) return [t('Sources are not links'), tp('Set {variable} to the address of this portal, so that sources in Slack open here.', { variable: el('code', { text: 'LEADLINE_PUBLIC_URL' }) })]
  return null
}

const failureOf = ({ last_failure: failed }) => (failed ? [`${time(failed.at)} · `, channelLink(failed.channel), ' · ', el('a', { href: `/problems/${encodeURIComponent(failed.code)}` }, el('code', { text: failed.code }))] : t('none'))

function filesOf(state) {
  if (!state.takes_files) return t('Files that people share do not become documents')
  const counted = Object.entries(state.files).map(([name, count]) => t('{count} {state}', { count: number(count), state: FILES[name] ?? name }))
  return [counted.join(', ') || t('none yet'), ' · ', tp('into the collection {collection}', { collection: foreign(state.collection) })].flat()
}

const channelLink = (channel) => el('code', { text: channel })

const channelRow = (each) => el('tr', {},
  el('td', { class: 'whole' }, channelLink(each.channel), each.mention_only ? el('div', { class: 'small soft', text: t('only when mentioned') }) : null),
  el('td', { 'data-label': t('Collections') }, each.collections.length ? foreign(each.collections.join(', ')) : el('span', { class: 'soft', text: t('all that everybody there may see') }),
    each.files_to ? el('div', { class: 'small soft' }, tp('files go into {collection}', { collection: foreign(each.files_to) })) : null),
  el('td', { class: 'right', 'data-label': t('Questions'), text: number(each.questions) }), el('td', { class: 'right', 'data-label': t('Answers'), text: number(each.answers) }),
  el('td', { class: 'right', 'data-label': t('Files shared'), text: number(each.files) }), el('td', { class: 'whole small', 'data-label': t('Last used'), text: each.last_day ? day(each.last_day) : t('never') }))

function manifestOf(manifest) {
  const text = JSON.stringify(manifest, null, 2)
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      say(t('Copied'))
    } catch {
      say(t('The browser does not allow copying here: select the text instead.'))
    }
  }
  return el('div', { class: 'manifest' }, el('button', { type: 'button', onclick: copy }, icon('copy'), t('Copy the manifest')),
    el('details', {}, el('summary', { text: t('Show the manifest') }), el('pre', { tabindex: 0 }, el('code', { text }))))
}

function setupOf(state) {
  const socket = !state.manifests.http
  const setting = (name) => el('code', { text: name })
  return el('ol', { class: 'setup-steps' },
    el('li', {}, tp('Open {page}, choose “Create New App” and “From a manifest”, select your workspace, and paste this manifest:', { page: el('a', { href: APPS, rel: 'noreferrer', target: '_blank', text: 'api.slack.com/apps' }) }),
      manifestOf(state.manifests.http ?? state.manifests.socket_mode),
      socket ? el('p', { class: 'hint' }, tp('The manifest uses Socket Mode, because this service has no public address. If Slack can reach it, set {variable} first and reload this page.', { variable: setting('LEADLINE_PUBLIC_URL') })) : null),
    el('li', {}, t('Choose “Install to Workspace” in Slack.')),
    el('li', {}, socket
      ? tp('Set {bot} to the token under “OAuth & Permissions”, and {app} to an app-level token with the scope {scope} from “Basic Information”.', { bot: setting('LEADLINE_SLACK_BOT_TOKEN'), app: setting('LEADLINE_SLACK_APP_TOKEN'), scope: setting('connections:write') })
      : tp('Set {bot} to the token under “OAuth & Permissions”, and {secret} to the signing secret from “Basic Information”.', { bot: setting('LEADLINE_SLACK_BOT_TOKEN'), secret: setting('LEADLINE_SLACK_SIGNING_SECRET') })),
    el('li', {}, tp('Restart the service, reload this page, and choose “Check the connection”. Then write {invite} in a channel, and ask.', { invite: setting('/invite @Leadline') })))
}

function findingRow(each) {
  const kind = !each.next_step ? ['good', t('OK')] : each.needed ? ['bad bad-ink', t('Missing')] : ['warn-ink', t('Optional')]
  return el('tr', {}, el('th', { scope: 'row', text: remarkOf(each.coded_what, each.what) }), el('td', {}, el('span', { class: `status ${kind[0]}`, text: kind[1] })),
    el('td', {}, each.coded_found ? remarkOf(each.coded_found) : foreign(each.found), each.next_step ? el('div', { class: 'small', text: remarkOf(each.coded_next_step, each.next_step) }) : null))
}

async function check(button) {
  button.disabled = true
  byId('findings').replaceChildren(el('p', { class: 'soft' }, el('span', { class: 'spinner' }), ' ', t('Asking Slack…')))
  try {
    const { findings } = await post('/v1/slack/check')
    const wrong = findings.filter((each) => each.next_step && each.needed).length
    byId('findings').replaceChildren(el('div', { class: `notice ${wrong ? 'bad' : 'good'}` },
      el('strong', { text: wrong ? tn(wrong, '{n} problem keeps the bot from working', '{n} problems keep the bot from working') : t('Slack accepts the tokens of the bot') }),
      el('table', {}, el('tbody', {}, findings.map(findingRow)))))
  } catch (error) {
    byId('findings').replaceChildren(trouble(error))
  }
  button.disabled = false
}

async function load() {
  const state = await get('/v1/slack')
  byId('state').replaceChildren(stateOf(state))
  byId('check').hidden = !state.is_set_up
  byId('channels-part').hidden = !state.channels.length
  byId('channels').replaceChildren(...state.channels.map(channelRow))
  byId('setup-part').hidden = state.is_set_up
  byId('setup').replaceChildren(state.is_set_up ? '' : setupOf(state))
}

byId('check').addEventListener('click', (event) => check(event.currentTarget))
load().catch(fail)
