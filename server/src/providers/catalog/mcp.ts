import { Type } from 'typebox'
import { apiAt, httpsAddress } from '../https-address.ts'
import type { ClientAuthentication, Provider } from '../provider.ts'
import { rewritten } from '../token-answer.ts'

const Initialized = Type.Object({
  result: Type.Object({
    serverInfo: Type.Object({ name: Type.String(), title: Type.Optional(Type.String()) }),
  }),
})

/**
 * A server of the Model Context Protocol, by its address alone. Sources: modelcontextprotocol.io "Authorization" and
 * "Lifecycle" (2025-06-18), RFC 9728, RFC 8414, RFC 7591, RFC 8707. Nothing tells who the person is, so a connection is one
 * person's access to one server.
 */
export const mcp: Provider = {
  id: 'mcp',
  name: 'MCP server',
  appConsoleUrl: 'https://modelcontextprotocol.io/specification/2025-06-18/basic/authorization',
  guide: {
    category: 'standard',
    steps: [
      'There is nothing to set up: Atom asks the server how it is protected, and registers itself as a client where the server lets it.',
      'Where a server registers nobody by itself, it has to be told of {redirectUri} as the redirect URI.',
      'People say the address of the server when they connect.',
    ],
  },
  issuer: '{issuer}',
  discovery: 'resource',
  endpoints: { authorization: '', token: '' },
  particulars: {
    server: {
      label: 'Address of the server',
      meaning: 'The https address of the MCP server, such as https://mcp.example.com/mcp.',
      pattern: httpsAddress,
      askable: true,
    },
    issuer: {
      label: 'Issuer',
      meaning:
        'The authorization server that this app is registered with. Only for one that registers no apps by itself.',
      pattern: httpsAddress,
      configurable: true,
    },
    resource: { meaning: 'What the tokens are for, as the server names itself.', pattern: httpsAddress },
    dpop: { meaning: 'Whether the server wants tokens bound to a key.', pattern: /^(?:on|off)$/ },
    authentication: {
      label: 'Client authentication',
      meaning: 'client_secret_basic, client_secret_post or none.',
      pattern: /^(?:client_secret_(?:basic|post)|none)$/,
      standard: 'client_secret_basic',
      configurable: true,
    },
  },
  ownGrants: true,
  clientAuthentication: 'client_secret_basic',
  pkce: 'S256',
  // OpenID Connect Core 11: without it, a request for offline_access is to be ignored.
  authorizationExtras: { prompt: 'consent' },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [],
    always: [],
    contains: {},
    // Not for the resource, so not among what the token may do there.
    unsaid: ['offline_access'],
  },
  refreshTokens: 'single_use',
  errors: { invalid_dpop_proof: 'operator', invalid_target: 'operator', invalid_request_uri: 'refused' },
  api: {
    base: 'https://{server}',
    hosts: ['{server}'],
    headers: { accept: 'application/json, text/event-stream' },
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation:
    'The authorization server was told to end the access, if it offers that. An access token that was given out may work until it expires.',

  adapt({ server, resource, authentication, dpop }) {
    return {
      clientAuthentication: authentication as ClientAuthentication,
      dpop: dpop === 'on',
      ...(resource !== undefined && { resource }),
      ...(server !== undefined && { api: { ...mcp.api, ...apiAt(new URL(server).origin) } }),
    }
  },

  /** An id_token that nobody asked for is not read. */
  tokenAnswer: (response) =>
    rewritten(response, ({ id_token: _unread, ...answer }, status) => ({ status, answer })),

  async identify({ post, particulars }) {
    const { server = '' } = particulars
    const { result } = await post(
      server,
      {
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: {
          protocolVersion: '2025-06-18',
          capabilities: {},
          clientInfo: { name: 'Atom', version: '1' },
        },
      },
      Initialized,
    )
    return { id: server, name: result.serverInfo.title || result.serverInfo.name, handle: server }
  },

  revoked: (status) => status === 200,
}
