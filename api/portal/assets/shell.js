// The parts of every page: the dialog with the preferences and, for somebody who is signed in, the account and the way out.
import { byId, trouble } from './dom.js'
import { installPreferences } from './preferences.js'
import { post } from './rest.js'

const dialog = byId('account-dialog')

async function signOut(how) {
  let continueAt = null
  try {
    const answer = await post('/v1/sign-out', how)
    continueAt = answer?.continue_at
  } catch (error) {
    if (error.status !== 401) {
      byId('account-trouble').replaceChildren(trouble(error))
      return
    }
  }
  location.assign(continueAt ?? '/sign-in')
}

byId(document.body.dataset.who ? 'account' : 'preferences')?.addEventListener('click', () => dialog.showModal())
byId('account-close').addEventListener('click', () => dialog.close())
byId('sign-out')?.addEventListener('click', () => signOut({}))
byId('sign-out-everywhere')?.addEventListener('click', () => signOut({ everywhere: true }))
byId('sign-out-provider')?.addEventListener('click', () => signOut({ at_provider: true }))
installPreferences(byId('preference-form'))
// Until then, and where a script fails, the page says that it does not work: see `watch.js`.
document.documentElement.dataset.started = ''
