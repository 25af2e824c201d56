// Follows a stream of events until its end. The browser goes on by itself after a connection was cut, and gives up for
// good after an answer that is no stream, as that of a service which is starting: then this opens the stream again.
const FIRST_MS = 1000
const LONGEST_MS = 30_000
const STATES = ['snapshot', 'progress', 'end']
const ANSWER = ['condensed', 'routed', 'retrieved', 'reading', 'planned', 'working', 'cell', 'delta', 'checking', 'restarted', 'completed']

// `told(body, ended)` hears every event; `lost()` hears of every cut, and returns false where nothing is to be followed.
export function follow(path, { told, lost }) {
  return listen(path, STATES, { hear: (name, body) => told(body, name === 'end'), isLast: (name) => name === 'end', lost })
}

// Follows an answer in progress: `hear(name, body)` hears every event once. The last one is `completed` or `error`.
export function followAnswer(id, { hear, lost }) {
  return listen(`/v1/answers/${id}/events`, ANSWER, { hear, isLast: (name) => name === 'completed' || name === 'error', lost })
}

function listen(path, names, { hear, isLast, lost = () => true }) {
  let source
  let stopped = false
  let wait = FIRST_MS
  let seen = 0
  const stop = () => { stopped = true; source.close() }
  const receive = (event) => {
    if (stopped) return
    wait = FIRST_MS
    // A stream that is opened again begins with the first event.
    const sequence = Number(event.lastEventId)
    if (sequence && sequence <= seen) return
    if (sequence) seen = sequence
    if (isLast(event.type)) stop()
    hear(event.type, JSON.parse(event.data))
  }
  const open = () => {
    source = new EventSource(path)
    for (const name of names) source.addEventListener(name, receive)
    source.addEventListener('error', async (event) => {
      // The service may send an event of this name, too. It has data, unlike the browser's own.
      if (event.data !== undefined) { receive(event); return }
      const closed = source.readyState === EventSource.CLOSED
      if (await lost() === false) stop()
      if (!closed || stopped) return
      setTimeout(() => { if (!stopped) open() }, wait)
      wait = Math.min(LONGEST_MS, wait * 2)
    })
  }
  open()
  return stop
}
