// Follows a stream of events until its end. The browser goes on by itself after a connection was cut, and gives up for
// good after an answer that is no stream, as that of a service which is starting: then this opens the stream again.
const FIRST_MS = 1000
const LONGEST_MS = 30_000

// `told(body, ended)` hears every event; `lost()` hears of every cut, and returns false where nothing is to be followed.
export function follow(path, { told, lost = () => true }) {
  let source
  let stopped = false
  let wait = FIRST_MS
  const stop = () => { stopped = true; source.close() }
  const open = () => {
    source = new EventSource(path)
    const hear = (event) => {
      wait = FIRST_MS
      if (event.type === 'end') stop()
      told(JSON.parse(event.data), event.type === 'end')
    }
    for (const name of ['snapshot', 'progress', 'end']) source.addEventListener(name, hear)
    source.addEventListener('error', async () => {
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
