import { Type } from 'typebox'
import { apiAt, httpsAddress } from '../https-address.ts'
import { type ClientAuthentication, type Provider, ProviderAnswer } from '../provider.ts'
import { rewritten, textAt } from '../token-answer.ts'

const Answer = Type.Record(Type.String(), Type.Unknown())
const fieldPath = /^[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+){0,3}$/

/**
 * Any server with the code flow of RFC 6749 whose addresses the operator says, because it publishes none. Sources: RFC 6749,
 * RFC 7636, RFC 7009, RFC 9126, RFC 9207, RFC 9449. It has no id_token, so the API has to tell whose account it is.
 */
export const oauth2: Provider = {
  id: 'oauth2',
  name: 'OAuth 2.0',
  appConsoleUrl: 'https://oauth.net/2/',
  guide: {
    category: 'standard',
    steps: [
      'Register Atom as a confidential client at the server, with the authorization code flow and refresh tokens.',
      'Enter {redirectUri} there as the redirect URI, exactly so.',
      'Copy client ID and client secret, or leave the secret out where the client proves itself by a private key.',
      'Enter here the addresses of the server as its documentation names them, and the scopes that a connection is to ask for.',
    ],
  },
  issuer: '{issuer}',
  endpoints: { authorization: '{authorization}', token: '{token}' },
  particulars: {
    authorization: {
      label: 'Authorization address',
      meaning: 'Where people are sent to allow the access.',
      pattern: httpsAddress,
      configurable: true,
    },
    token: {
      label: 'Token address',
      meaning: 'Where the code is exchanged for tokens.',
      pattern: httpsAddress,
      configurable: true,
    },
    account: {
      label: 'Account address',
      meaning: 'An address of the API that answers GET with JSON about the person whose token it is.',
      pattern: httpsAddress,
      configurable: true,
    },
    accountid: {
      label: 'Field of the account’s id',
      meaning: 'Where that answer has the id that never changes: id, data.gid, user.id.',
      pattern: fieldPath,
      standard: 'id',
      configurable: true,
    },
    accountname: {
      label: 'Field of the account’s name',
      meaning: 'Where that answer has the name.',
      pattern: fieldPath,
      standard: 'name',
      configurable: true,
    },
    api: {
      label: 'API address',
      meaning: 'Where the API is that the access is for. Left out: the host of the account address.',
      pattern: httpsAddress,
      configurable: true,
      optional: true,
    },
    revocation: {
      label: 'Revocation address',
      meaning: 'Where tokens are ended (RFC 7009).',
      pattern: httpsAddress,
      configurable: true,
      optional: true,
    },
    pushed: {
      label: 'Pushed request address',
      meaning: 'Where the request is taken beforehand (RFC 9126).',
      pattern: httpsAddress,
      configurable: true,
      optional: true,
    },
    issuer: {
      label: 'Issuer',
      meaning:
        'What the server calls itself in its answers (RFC 9207). Said here, an answer without it is refused.',
      pattern: httpsAddress,
      configurable: true,
      optional: true,
    },
    resource: {
      label: 'Resource',
      meaning:
        'The API as the server names it, where tokens are for one API each (RFC 8707). An https address.',
      pattern: httpsAddress,
      configurable: true,
      optional: true,
    },
    authentication: {
      label: 'Client authentication',
      meaning: 'client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none.',
      pattern: /^(?:client_secret_(?:basic|post|jwt)|private_key_jwt|none)$/,
      standard: 'client_secret_basic',
      configurable: true,
    },
    pkce: {
      label: 'PKCE',
      meaning: 'S256, or off for a server that refuses what it does not know.',
      pattern: /^(?:S256|off)$/,
      standard: 'S256',
      configurable: true,
    },
    dpop: {
      label: 'Bind tokens to a key (DPoP)',
      meaning: 'on or off. On, where server and API accept tokens with proof of possession (RFC 9449).',
      pattern: /^(?:on|off)$/,
      standard: 'off',
      configurable: true,
    },
  },
  clientAuthentication: 'client_secret_basic',
  keyAssertion: { audience: 'token_endpoint' },
  appKey: {
    meaning: 'For private_key_jwt: the private key, as PEM or JWK, whose public half the server knows.',
  },
  pkce: 'S256',
  authorizationExtras: {},
  scopes: { separator: ' ', answerSeparator: /[\s,]+/, standard: [], always: [], contains: {} },
  refreshTokens: 'single_use',
  errors: { invalid_dpop_proof: 'operator', invalid_target: 'operator', invalid_request_uri: 'refused' },
  api: {
    base: 'https://{account}',
    hosts: ['{account}'],
    headers: { accept: 'application/json' },
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation:
    'The server was told to end the access, if it offers that. An access token that was given out may work until it expires.',

  adapt({
    authorization,
    token,
    account,
    api = account && new URL(account).origin,
    revocation,
    pushed,
    issuer,
    resource,
    authentication,
    pkce,
    dpop,
  }) {
    return {
      clientAuthentication: authentication as ClientAuthentication,
      ...(pkce === 'off' && { pkce: { off: 'the operator says that the server refuses it' } }),
      dpop: dpop === 'on',
      ...(authorization !== undefined &&
        token !== undefined && {
          // Without a name of its own, a server is told apart from others by the redirect URI alone (RFC 9700 4.4.2.2).
          issuer: issuer ?? new URL(authorization).origin,
          namesIssuer: issuer !== undefined,
          endpoints: {
            authorization,
            token,
            ...(revocation !== undefined && { revocation }),
            ...(pushed !== undefined && { pushed }),
          },
        }),
      ...(resource !== undefined && { resource }),
      ...(api !== undefined && { api: { ...oauth2.api, ...apiAt(api) } }),
    }
  },

  /** Whose keys would verify an id_token is not known here, so one is not read. */
  tokenAnswer: (response) =>
    rewritten(response, ({ id_token: _unread, ...answer }, status) => ({ status, answer })),

  async identify({ get, particulars }) {
    const { account = '', accountid = 'id', accountname = 'name' } = particulars
    const answer = await get(account, Answer)
    const id = textAt(answer, ...accountid.split('.'))
    if (id === undefined) throw new ProviderAnswer(200, `the account address has no ${accountid}`)
    return {
      // Another server may count its people from one as well.
      id: `${new URL(account).host} ${id}`,
      name: textAt(answer, ...accountname.split('.')) ?? id,
    }
  },

  revoked: (status) => status === 200,
}
