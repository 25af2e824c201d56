// A certified OpenID Connect provider for tests: `node provider.js PORT`. It refuses scopes that the client may not have.
// Accounts are in memory, and POST requests to /test/... change them.
import { interactionPolicy, Provider } from 'oidc-provider'

const [port] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`
const clientId = 'portal'
const logoutPath = '/v1/back-channel-logout'

// Accounts by login. A disabled account cannot sign in or get new tokens.
const accounts = new Map()
const providerSessions = new Map()
let isAway = false
let serviceUrl = ''
let refreshes = 0

const clients = [{
  client_id: clientId,
  client_secret: 'a secret of the client',
  // Redirect URIs of native clients match any port of the loopback address (RFC 8252, section 7.3).
  application_type: 'native',
  redirect_uris: ['http://127.0.0.1/sign-in/provider'],
  post_logout_redirect_uris: ['http://127.0.0.1/sign-in'],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'client_secret_post',
  scope: 'openid profile email',
  backchannel_logout_uri: `http://127.0.0.1${logoutPath}`,
  backchannel_logout_session_required: true,
}]

function findAccount(_, id) {
  const account = accounts.get(id)
  if (!account || account.disabled) return undefined
  const { disabled, ...claims } = account
  return { accountId: id, claims: () => ({ ...claims, sub: id }) }
}

// Nobody is asked for consent.
const policy = interactionPolicy.base()
policy.remove('consent')

// Grants everything that the client asks for.
async function loadExistingGrant(ctx) {
  const { provider, client, session, params } = ctx.oidc
  const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId })
  grant.addOIDCScope(params.scope)
  await grant.save()
  return grant
}

const provider = new Provider(issuer, {
  clients,
  findAccount,
  loadExistingGrant,
  // The client may not have `payroll`.
  scopes: ['openid', 'profile', 'email', 'payroll'],
  claims: { openid: ['sub', 'groups', 'sid'], profile: ['name'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  cookies: { keys: ['a key of the cookies'] },
  interactions: { policy, url: (_, interaction) => `/interaction/${interaction.uid}` },
  // The default protects against requests to loopback addresses. The service has another port in each test.
  fetch: (url, { dispatcher, ...options }) => fetch(String(url).replace(`http://127.0.0.1${logoutPath}`, `${serviceUrl}${logoutPath}`), options),
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      logoutSource(ctx, form) {
        ctx.body = `<!doctype html><title>Sign out</title>${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`
      },
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_, client, oneOf) => oneOf ?? 'urn:leadline',
      getResourceServerInfo: () => ({ audience: 'leadline', scope: 'api', accessTokenFormat: 'jwt' }),
      useGrantedResource: () => true,
    },
  },
})

provider.on('session.saved', (session) => providerSessions.set(session.uid, session))
provider.on('session.destroyed', (session) => providerSessions.delete(session.uid))
provider.on('grant.success', (ctx) => { refreshes += ctx.oidc.params.grant_type === 'refresh_token' })

async function readBody(ctx) {
  const parts = []
  for await (const part of ctx.req) parts.push(part)
  return Buffer.concat(parts).toString()
}

// What tests tell the provider.
const commands = {
  // Adds or changes an account.
  account: ({ login, ...changes }) => void accounts.set(login, { ...accounts.get(login), ...changes }),
  away: ({ away }) => { isAway = away },
  service: ({ url }) => { serviceUrl = url },
  refreshes: () => ({ refreshes }),
  // Ends a person's sessions, as an administrator does: with a logout token for each.
  async logout({ login }) {
    const client = await provider.Client.find(clientId)
    for (const session of [...providerSessions.values()].filter((each) => each.accountId === login)) {
      const sid = session.authorizations?.[clientId]?.sid
      await session.destroy()
      await client.backchannelLogout(login, sid)
    }
  },
}

provider.use(async (ctx, next) => {
  const [, first, second] = ctx.path.split('/')
  if (first === 'test') {
    ctx.body = await commands[second](JSON.parse(await readBody(ctx) || '{}')) ?? {}
  } else if (isAway) {
    ctx.status = 503
  } else if (first !== 'interaction') {
    await next()
  } else if (ctx.method === 'GET') {
    ctx.body = `<!doctype html><title>Provider</title><form method="post"><input name="login" aria-label="Login"><button>Go</button></form>`
  } else {
    const accountId = new URLSearchParams(await readBody(ctx)).get('login')
    const result = findAccount(ctx, accountId) ? { login: { accountId } }
      : { error: 'access_denied', error_description: 'This account is disabled.' }
    await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false })
    ctx.respond = false
  }
})

provider.listen(Number(port), '127.0.0.1', () => console.log('listening'))
