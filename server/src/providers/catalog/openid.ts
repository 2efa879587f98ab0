import { Type } from 'typebox'
import { httpsAddress } from '../https-address.ts'
import { type Provider, ProviderAnswer, type ProviderReader } from '../provider.ts'
import { anyServer, apiSetting, servedAs, serverFlows, serverSettings } from '../server-settings.ts'
import { textAt } from '../token-answer.ts'

const UserInfo = Type.Object({
  sub: Type.String(),
  name: Type.Optional(Type.String()),
  preferred_username: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  email_verified: Type.Optional(Type.Boolean()),
  picture: Type.Optional(Type.String()),
})

/**
 * Any server that speaks OpenID Connect and publishes what it offers: Keycloak, Auth0, Okta, Zitadel, Authentik, an
 * organisation's own. The operator says the issuer; everything else is read there. Sources: OpenID Connect Core 1.0 and
 * Discovery 1.0, RFC 8414, RFC 9126 (used where offered), RFC 9449 (where the operator switches it on, because the API has to
 * understand it as well).
 */
export const openid: Provider = {
  id: 'openid',
  name: 'OpenID Connect',
  appConsoleUrl: 'https://openid.net/developers/how-connect-works/',
  guide: {
    category: 'standard',
    steps: [
      'Register Atom as a confidential client at the provider, with the authorization code flow and refresh tokens.',
      'Enter {redirectUri} there as the redirect URI, exactly so.',
      'Copy client ID and client secret, or leave the secret out where the client proves itself by a private key.',
      'Enter here the issuer; Atom reads all other addresses from its discovery document.',
    ],
  },
  issuer: '{issuer}',
  discovery: 'openid',
  endpoints: { authorization: '', token: '' },
  subjectClaims: ['iss', 'sub'],
  particulars: {
    issuer: {
      label: 'Issuer',
      meaning:
        'The address of the server that people sign in at, below which /.well-known/openid-configuration lies.',
      pattern: httpsAddress,
      configurable: true,
    },
    api: apiSetting('the issuer'),
    ...serverSettings,
    userinfo: { meaning: 'Where the server tells who somebody is.', pattern: httpsAddress },
  },
  ...anyServer,
  keyAssertion: { audience: 'issuer', unlessSecret: true },
  // OpenID Connect Core 11: without it, a request for offline_access is to be ignored.
  authorizationExtras: { prompt: 'consent' },
  flows: {
    device_code: {},
    // What the app may do is the server's to say.
    client_credentials: { scopes: [] },
    ...serverFlows('{issuer}'),
  },
  byFlow: {
    // A token of the app itself is nobody's, and no endpoint says whose it is.
    client_credentials: {
      identify: async ({ clientId, particulars }) => ({
        id: `${particulars['issuer']}.${clientId}`,
        name: clientId,
      }),
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'openid', meaning: 'Know who you are' },
      { scope: 'profile', meaning: 'Read your name and picture' },
      { scope: 'email', meaning: 'Read your e-mail address' },
      { scope: 'offline_access', meaning: 'Keep the access until you end it' },
    ],
    always: ['openid'],
    contains: {},
  },
  api: {
    base: 'https://{issuer}',
    hosts: ['{issuer}'],
    headers: {},
    rateLimit: { retryAfter: 'retry-after' },
  },
  adapt(said) {
    const { issuer, api = issuer, resource } = said
    return {
      ...servedAs(said, api, openid.api),
      // RFC 8707 2.2: the answer then names what the token may do at the resource, and not what was granted besides.
      ...(resource !== undefined && {
        scopes: { ...openid.scopes, unsaid: openid.scopes.standard.map(({ scope }) => scope) },
      }),
    }
  },

  particularsOf({ metadata }) {
    const userinfo = metadata === undefined ? undefined : textAt(metadata, 'userinfo_endpoint')
    // What is no plain address is not asked: the id_token names the person all the same.
    return { userinfo: userinfo !== undefined && httpsAddress.test(userinfo) ? userinfo : undefined }
  },

  async identify(reader) {
    const user = await userInfo(reader)
    // As `subjectClaims` name the person of an id_token, which not every flow brings.
    const id = reader.subject ?? (user && `${reader.particulars['issuer']}.${user.sub}`)
    if (id === undefined) throw new ProviderAnswer(200, 'nothing names the person')
    // OpenID Connect Core 5.3.2: userinfo of another subject must not be used.
    if (user !== undefined && reader.subject !== undefined && !reader.subject.endsWith(`.${user.sub}`)) {
      throw new ProviderAnswer(200, 'userinfo speaks of another subject than the id_token')
    }
    const email = user?.email_verified === false ? undefined : user?.email
    return {
      id,
      name: user?.name || user?.preferred_username || email || user?.sub || id,
      ...(user?.preferred_username && { handle: user.preferred_username }),
      ...(email && { email }),
      ...(user?.picture && { picture: user.picture }),
    }
  },
}

async function userInfo(reader: ProviderReader) {
  const { userinfo, resource } = reader.particulars
  // RFC 8707: a token for one API is none for the server's own, which may refuse it. That says nothing against the token.
  const foreign = resource !== undefined
  if (userinfo === undefined || (foreign && reader.subject === undefined)) return undefined
  try {
    return await reader.get(userinfo, UserInfo)
  } catch (error) {
    if (foreign && error instanceof ProviderAnswer && error.status < 500) return undefined
    throw error
  }
}
