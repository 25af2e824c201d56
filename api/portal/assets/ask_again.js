// Asks a question again in another way, as the next turn of the conversation.
import { askWith, edit } from './composer.js'
import { say } from './dom.js'
import { menuButton } from './menu.js'
import { openPicker } from './picker.js'
import { t } from './text.js'

export const askAgainMenu = (question) => menuButton(t('Ask again'), [
  { text: t('With everything read'), icon: 'library', act: () => again(question, 'recursive') },
  { text: t('Computed over tables'), icon: 'table', act: () => again(question, 'table') },
  { text: t('From the best passages'), icon: 'search', act: () => again(question, 'direct') },
  null,
  { text: t('In other documents'), icon: 'files', act: () => { edit(question); openPicker() } },
], { name: 'refresh-cw' })

function again(question, strategy) {
  if (!askWith(question, { strategy })) say(t('Wait until the answer is complete, or stop it.'))
}
