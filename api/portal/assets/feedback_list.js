// Feedback on answers, for administrators: filtered, a page at a time, with the answers, and as CSV.
import { byId, el, foreign, inTurns, say, time, trouble } from './dom.js'
import { bare } from './feedback.js'
import { icon } from './icons.js'
import { loadNames } from './names.js'
import { loadKeyNames, ownerName } from './owners.js'
import { Pager } from './pager.js'
import { placeInWords } from './places.js'
import { csv, download } from './record_table.js'
import { get } from './rest.js'
import { closable } from './source.js'
import { t, tn } from './text.js'

const PAGE = 20
const MOST_ROWS = 20_000
const EXCERPT_CHARS = 280
const MOST_AUTHORS = 500
const authors = new Map()  // authors as the service writes them, by what the list of people calls them

const day = (value, more) => {
  if (!value) return ''
  const [year, month, date] = value.split('-').map(Number)
  return new Date(year, month - 1, date + more).toISOString()
}

function filters() {
  const author = byId('author').value.trim()
  return {
    rating: byId('filters').elements.rating.value, author: authors.get(author) ?? (author && !author.includes(':') ? `user:${author}` : author),
    since: day(byId('since').value, 0), until: day(byId('until').value, 1), commented: byId('commented').checked ? 'true' : '',
  }
}

const pager = new Pager((cursor) => pageOf(PAGE, cursor), (page) => {
  const entries = page.feedback.map((each) => [each, entryOf(each)])
  byId('rows').replaceChildren(...entries.map(([, made]) => made))
  byId('empty').hidden = Boolean(entries.length)
  const filtered = Object.values(filters()).some(Boolean)
  byId('empty').replaceChildren(icon('thumbs-up'), el('h2', { text: t('No feedback') }),
    el('p', { text: filtered ? t('No feedback matches all filters. Remove one of them.') : t('Below each answer, people can say whether it helped or what is wrong with it. What they say appears here.') }))
  answers(entries)
})

// Loads a page of feedback with the names of its authors.
async function pageOf(limit, cursor) {
  const page = await get('/v1/feedback', { ...filters(), limit, cursor })
  await loadNames(page.feedback.map(({ author }) => author))
  return page
}

function entryOf(entry) {
  const wrong = entry.rating === 'down'
  return el('li', { class: 'card', data: { answer: entry.answer } },
    el('div', { class: 'row' }, el('span', { class: `badge ${wrong ? 'bad' : 'good'}` }, icon(wrong ? 'thumbs-down' : 'thumbs-up'), wrong ? t('Wrong') : t('Helpful')),
      el('span', { class: 'small soft grow' }, foreign(ownerName(entry.author)), ` · ${time(entry.updated_at)}`),
      entry.conversation ? el('a', { class: 'button small', href: `/ask/${entry.conversation}` }, icon('external-link'), t('Open conversation')) : null),
    el('h2', {}, foreign(entry.question)),
    entry.comment ? el('blockquote', { class: 'said' }, foreign(entry.comment)) : null,
    el('div', { class: 'of-answer' }, el('p', { class: 'small soft', text: t('Loading…') })))
}

// Fills in the answers of a page. Each is loaded as the administrator may read it.
async function answers(entries) {
  for (const [entry, made] of entries) {
    const place = made.querySelector('.of-answer')
    try {
      const answer = await get(`/v1/answers/${entry.answer}`)
      place.replaceChildren(...marked(entry, answer), await excerpt(answer))
    } catch (error) {
      place.replaceChildren(el('p', { class: 'small soft', text: error.status === 404 ? t('The answer is no longer stored.') : error.message }))
    }
    if (!made.isConnected) return
  }
}

// The sentences and sources that were marked as wrong.
function marked(entry, answer) {
  const sentences = entry.sentences.map((number) => answer.sentences[number - 1]).filter(Boolean)
  const sources = entry.citations.map((number) => answer.citations.find((each) => each.number === number)).filter(Boolean)
  return [
    sentences.length ? el('div', {}, el('p', { class: 'small soft label', text: tn(sentences.length, 'Marked as wrong: {n} sentence', 'Marked as wrong: {n} sentences') }), el('ul', { class: 'wrong' }, sentences.map((each) => el('li', {}, foreign(bare(each.text)))))) : null,
    sources.length ? el('div', {}, el('p', { class: 'small soft label', text: tn(sources.length, 'Does not support the text: {n} source', 'Do not support the text: {n} sources') }), el('ul', { class: 'wrong' }, sources.map((each) => el('li', {}, each.deleted ? t('A document that is no longer shown') : foreign([`[${each.number}]`, each.title || t('Untitled'), placeInWords(each.place ?? '')].filter(Boolean).join(' ')))))) : null,
  ].filter(Boolean)
}

async function excerpt(answer) {
  const words = answer.sentences.map((each) => bare(each.text)).join(' ') || answer.text.split('\n').map(bare).filter(Boolean).join(' ')
  const cut = words.length > EXCERPT_CHARS ? `${words.slice(0, EXCERPT_CHARS)}…` : words
  const made = el('details', { class: 'whole-answer' }, el('summary', {}, el('span', { class: 'soft small', text: `${t('Answer')}: ` }), foreign(cut)))
  made.addEventListener('toggle', async () => {
    const { answerOf } = await import('./answer.js')
    made.append(answerOf(answer, null, { reads: true }))
  }, { once: true })
  return made
}

async function exportAll(button) {
  button.disabled = true
  try {
    const rows = []
    let cursor = null
    do {
      const page = await pageOf(500, cursor)
      await inTurns(page.feedback, (each) => rows.push([each.updated_at, each.author, ownerName(each.author), each.rating, each.question, each.comment, each.sentences.join(' '), each.citations.join(' '), each.answer, each.conversation, each.strategy, each.model]))
      cursor = page.next_cursor
    } while (cursor && rows.length < MOST_ROWS)
    download('feedback.csv', csv(['time', 'author', 'author_name', 'rating', 'question', 'comment', 'wrong_sentences', 'wrong_sources', 'answer', 'conversation', 'strategy', 'model'], rows), 'text/csv;charset=utf-8')
    say(tn(rows.length, '{n} entry was exported.', '{n} entries were exported.'))
  } catch (error) {
    byId('trouble').replaceChildren(trouble(error))
  } finally {
    button.disabled = false
  }
}

async function people() {
  const [{ users }, keys] = await Promise.all([get('/v1/users', { limit: MOST_AUTHORS }), loadKeyNames()])
  for (const each of keys) authors.set(t('key “{name}” ({id})', { name: each.name, id: each.id }), `key:${each.id}`)
  for (const each of users) authors.set(each.name, `user:${each.name}`)
  byId('authors').replaceChildren(...[...authors.keys()].map((value) => el('option', { value })))
}

let typing
closable()
byId('filters').addEventListener('submit', (event) => event.preventDefault())
byId('filters').addEventListener('change', () => { clearTimeout(typing); pager.first() })
byId('author').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(() => pager.first(), 250) })
byId('download').addEventListener('click', (event) => exportAll(event.currentTarget))
await people().catch(() => { /* names can be typed in */ })
pager.again()
