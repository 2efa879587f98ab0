import type { FlowName } from '@atom/contract/connections.ts'
import { Type } from 'typebox'
import { httpsAddress } from '../https-address.ts'
import { type Provider, ProviderAnswer } from '../provider.ts'
import type { ProviderFlows } from '../provider-flows.ts'
import { anyServer, apiSetting, servedAs, serverFlows, serverSettings } from '../server-settings.ts'
import { rewritten, textAt } from '../token-answer.ts'

const Answer = Type.Record(Type.String(), Type.Unknown())
const furtherGrants = 'client_credentials|jwt_bearer|token_exchange|api_key'
const fieldPath = /^[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+){0,3}$/

const flows = {
  device_code: { endpoint: '{device}', needs: { device: /./ } },
  client_credentials: { needs: says('client_credentials') },
  ...serverFlows('{token}', says),
  api_key: {
    needs: says('api_key'),
    app: 'needed',
    fields: [
      {
        name: 'key',
        label: 'Key',
        meaning: 'A key or token of yours, as the server gave it to you.',
        secret: true,
        pattern: /^[\x21-\x7e]{8,2000}$/,
      },
    ],
    attach: { as: 'bearer', key: '{key}' },
  },
} satisfies ProviderFlows

/**
 * Any server with the code flow of RFC 6749 whose addresses the operator says, because it publishes none. Sources: RFC 6749,
 * RFC 7636, RFC 7009, RFC 7523, RFC 8628, RFC 8693, RFC 8705, RFC 9126, RFC 9207, RFC 9449. It has no id_token, so the API has to tell whose account it is.
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
    api: apiSetting('the host of the account address'),
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
    device: {
      label: 'Device code address',
      meaning: 'Where device codes are asked for (RFC 8628). With it, people can connect by device code.',
      pattern: httpsAddress,
      configurable: true,
      optional: true,
    },
    grants: {
      label: 'Further ways to connect',
      meaning:
        'What the server takes besides: client_credentials, jwt_bearer, token_exchange, api_key; a comma between.',
      pattern: new RegExp(`^(?:${furtherGrants})(?:,(?:${furtherGrants})){0,3}$`),
      configurable: true,
      optional: true,
    },
    keyheader: {
      label: 'Header of a key',
      meaning: 'The header field that a key is sent in, in lower case. Left out: as a bearer token.',
      pattern:
        /^(?!(?:host|cookie|connection|upgrade|te|trailer|expect|content-[a-z-]*|transfer-encoding|proxy-[a-z-]*|sec-[a-z-]*)$)[a-z][a-z0-9-]{0,60}$/,
      configurable: true,
      optional: true,
    },
    ...serverSettings,
    pkce: {
      label: 'PKCE',
      meaning: 'S256, or off for a server that refuses what it does not know.',
      pattern: /^(?:S256|off)$/,
      standard: 'S256',
      configurable: true,
    },
  },
  ...anyServer,
  keyAssertion: { audience: 'token_endpoint', unlessSecret: true },
  authorizationExtras: {},
  flows,
  byFlow: {
    // A token of the app itself is nobody's, and no address says whose it is.
    client_credentials: {
      identify: async ({ clientId, particulars: { token = '' } }) => ({
        id: `${new URL(token).host} app ${clientId}`,
        name: clientId,
      }),
    },
    api_key: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. The server goes on accepting it until you end it where you made it.',
      },
    },
  },
  scopes: { separator: ' ', answerSeparator: /[\s,]+/, standard: [], always: [], contains: {} },
  api: {
    base: 'https://{account}',
    hosts: ['{account}'],
    headers: { accept: 'application/json' },
    rateLimit: { retryAfter: 'retry-after' },
  },
  adapt(said) {
    const { authorization, token, account, revocation, pushed, issuer, pkce, keyheader } = said
    const { api = account && new URL(account).origin } = said
    return {
      ...servedAs(said, api, oauth2.api),
      ...(pkce === 'off' && { pkce: { off: 'the operator says that the server refuses it' } }),
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
      flows: keyheader === undefined ? flows : keyIn(keyheader),
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
}

function says(grant: FlowName): Readonly<Record<string, RegExp>> {
  return { grants: new RegExp(`(?:^|,)${grant}(?:,|$)`) }
}

function keyIn(header: string): ProviderFlows {
  return { ...flows, api_key: { ...flows.api_key, attach: { as: 'header', header, key: '{key}' } } }
}
