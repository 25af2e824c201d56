// What every page of somebody who is signed in has: the account, and the way out.
import { byId, say } from './dom.js'
import { post } from './rest.js'

async function signOut(everywhere) {
  try {
    await post('/v1/sign-out', { everywhere })
  } catch (error) {
    if (error.status !== 401) {
      say(`${error.message} ${error.hint}`)
      return
    }
  }
  location.assign('/sign-in')
}

const dialog = byId('account-dialog')
byId('account')?.addEventListener('click', () => dialog.showModal())
byId('account-close')?.addEventListener('click', () => dialog.close())
byId('sign-out')?.addEventListener('click', () => signOut(false))
byId('sign-out-everywhere')?.addEventListener('click', () => signOut(true))
