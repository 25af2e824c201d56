// The runs of a person, newest first, by state.
import { byId, el, foreign, time, trouble } from './dom.js'
import { whenReleased } from './drawing.js'
import { duration } from './durations.js'
import { icon } from './icons.js'
import { get } from './rest.js'
import { goesOn, stateOf } from './run_words.js'
import { t } from './text.js'

const LOOK_MS = 3000
const AT_ONCE = 50
let older = null
let looking = null
let asked = 0

const fail = (error) => byId('trouble').replaceChildren(trouble(error))
const wanted = () => byId('filters').elements.state.value.split(' ').filter(Boolean)

const row = (run) => el('tr', {},
  el('td', { class: 'named' }, el('a', { href: `/runs/${run.id}` }, foreign(run.question))), el('td', { class: 'whole' }, stateOf(run)),
  el('td', { class: 'right small whole', 'data-label': t('Duration'), text: run.started_at ? duration(run.seconds) : '–' }),
  el('td', { class: 'small whole', text: time(run.created_at) }))

function nothing() {
  if (wanted().length) return [icon('history'), el('h2', { text: t('No runs in this state') }), el('p', { text: t('Choose another state to see other runs.') })]
  return [icon('history'), el('h2', { text: t('No runs yet') }),
    el('p', { text: t('A question that takes minutes can be answered while you do something else: choose “Answer as a background run” below your question.') }),
    el('a', { class: 'button', href: '/ask' }, icon('message-square'), t('Ask'))]
}

// Pages that were loaded besides the first stay, unless another state was chosen.
async function list(fresh = false) {
  clearTimeout(looking)
  if (fresh) asked += 1
  const mine = asked
  try {
    const page = await get('/v1/runs', { limit: AT_ONCE, state: wanted() })
    if (mine !== asked) return
    byId('trouble').replaceChildren()
    byId('list').hidden = !page.runs.length
    byId('empty').hidden = Boolean(page.runs.length)
    byId('empty').replaceChildren(...nothing())
    whenReleased(() => {
      const rest = fresh ? [] : [...byId('rows').children].slice(AT_ONCE)
      byId('rows').replaceChildren(...page.runs.map(row), ...rest)
      if (!rest.length) more(page.next_cursor)
    })
    if (page.runs.some((run) => goesOn(run) && run.state !== 'paused')) looking = setTimeout(() => list(), LOOK_MS)
  } catch (error) {
    if (mine === asked) fail(error)
  }
}

function more(cursor) {
  older = cursor
  byId('more').hidden = !cursor
}

byId('more').addEventListener('click', async () => {
  const mine = asked
  try {
    const page = await get('/v1/runs', { limit: AT_ONCE, cursor: older, state: wanted() })
    if (mine !== asked) return
    byId('rows').append(...page.runs.map(row))
    more(page.next_cursor)
  } catch (error) {
    fail(error)
  }
})
byId('filters').addEventListener('submit', (event) => event.preventDefault())
byId('filters').addEventListener('change', () => list(true))
list()
