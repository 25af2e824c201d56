// The parts of every page: the dialog with the preferences and, for somebody who is signed in, the account and the way out.
import { byId, trouble } from './dom.js'
import { installPreferences } from './preferences.js'
import { post } from './rest.js'

const dialog = byId('account-dialog')

async function signOut(everywhere) {
  try {
    await post('/v1/sign-out', { everywhere })
  } catch (error) {
    if (error.status !== 401) {
      byId('account-trouble').replaceChildren(trouble(error))
      return
    }
  }
  location.assign('/sign-in')
}

byId(document.body.dataset.who ? 'account' : 'preferences')?.addEventListener('click', () => dialog.showModal())
byId('account-close').addEventListener('click', () => dialog.close())
byId('sign-out')?.addEventListener('click', () => signOut(false))
byId('sign-out-everywhere')?.addEventListener('click', () => signOut(true))
installPreferences(byId('preference-form'))
// Until then, and where a script fails, the page says that it does not work: see `watch.js`.
document.documentElement.dataset.started = ''
