// Ways of adding files to the library: chosen, dropped anywhere on the page, or pasted.
import { byId } from './dom.js'
import { t } from './text.js'
import { dropped } from './uploads.js'

// `upload(files)` gets `{ file, name }` of each file.
export function installIntake(upload) {
  const sent = (input) => {
    const files = [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }))
    input.value = ''
    upload(files)
  }
  byId('choose-files').addEventListener('click', () => byId('files').click())
  byId('choose-folder').addEventListener('click', () => byId('folder').click())
  for (const id of ['files', 'folder']) byId(id).addEventListener('change', (event) => sent(event.target))

  let depth = 0
  const tint = (to) => { depth = Math.max(0, to); byId('drop-veil').hidden = !depth }
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files')
  addEventListener('dragenter', (event) => { if (hasFiles(event)) tint(depth + 1) })
  addEventListener('dragleave', () => tint(depth - 1))
  addEventListener('dragover', (event) => { if (hasFiles(event)) event.preventDefault() })
  addEventListener('drop', async (event) => {
    tint(0)
    if (!hasFiles(event)) return
    event.preventDefault()
    upload(await dropped(event.dataTransfer))
  })
  addEventListener('paste', (event) => {
    if (event.target.closest?.('input, textarea')) return
    const files = [...event.clipboardData.files].map((file) => ({ file, name: file.name || t('Pasted file') }))
    const text = event.clipboardData.getData('text/plain')
    if (!files.length && text.trim()) {
      const name = t('Pasted {time}', { time: `${new Date().toISOString().slice(0, 16).replace('T', ' ').replace(':', '.')}.txt` })
      files.push({ file: new File([text], name, { type: 'text/plain' }), name })
    }
    if (files.length) {
      event.preventDefault()
      upload(files)
    }
  })
}
