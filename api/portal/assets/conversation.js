// The conversation of the page, which its modules share: its id once it has one, how many of its questions were
// answered, and what stops the answer that is being made.
import { byId } from './dom.js'

export const conversation = { id: byId('desk').dataset.conversation || null, answered: 0, stopping: null }
