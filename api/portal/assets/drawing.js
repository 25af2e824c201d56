// A click is lost where what was pressed is replaced before it is released: lists that are drawn anew by themselves wait.
let pressed = false
const waiting = new Set()

// Draws at once, or once nothing is pressed any more.
export function whenReleased(draw) {
  if (pressed) waiting.add(draw)
  else draw()
}

function released() {
  if (!pressed) return
  pressed = false
  // The click comes after this.
  setTimeout(() => {
    const draws = [...waiting]
    waiting.clear()
    for (const draw of draws) whenReleased(draw)
  })
}

// Menus of the system may swallow the release, as that of a `select` does.
addEventListener('pointerdown', (event) => { pressed = event.button === 0 && Boolean(event.target.closest?.('a, button, input')) }, true)
for (const end of ['pointerup', 'pointercancel', 'blur']) addEventListener(end, released, true)
addEventListener('pointermove', (event) => { if (!event.buttons) released() }, true)
