import { Type } from 'typebox'
import type { Provider } from '../provider.ts'
import { rewritten, textAt } from '../token-answer.ts'

const Me = Type.Object({
  id: Type.String(),
  handle: Type.String(),
  email: Type.Optional(Type.String()),
  img_url: Type.Optional(Type.String()),
})

/**
 * Sources: developers.figma.com "Authentication" (OAuth apps), "Scopes", "Rate limits", endpoint GET /v1/me. Refreshes have
 * an address of their own and answer no refresh token; access tokens live ninety days. Errors are of the API's form and name
 * no code of RFC 6749. There is no way for an app to end its access.
 */
export const figma: Provider = {
  id: 'figma',
  name: 'Figma',
  appConsoleUrl: 'https://www.figma.com/developers/apps',
  guide: {
    category: 'design',
    steps: [
      'Open the apps page of Figma’s developer site and create a new app.',
      'Enter a name, the address of this server as its website, and {redirectUri} as a redirect URL.',
      'Under “OAuth scopes”, choose: {scopes}.',
      'Copy client ID and client secret at once: Figma shows the secret only once.',
      'Publish the app, privately for your organisation or for everybody; Figma reviews the second.',
    ],
  },
  issuer: 'https://www.figma.com',
  endpoints: {
    authorization: 'https://www.figma.com/oauth',
    token: 'https://api.figma.com/v1/oauth/token',
    refresh: 'https://api.figma.com/v1/oauth/refresh',
  },
  clientAuthentication: 'client_secret_basic',
  pkce: 'S256',
  authorizationExtras: {},
  flows: {
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Personal access token',
          meaning:
            'A token of yours with the scope current_user:read, from “Security” in https://www.figma.com/settings',
          secret: true,
          pattern: /^[\x21-\x7e]{8,2000}$/,
        },
      ],
      attach: { as: 'header', header: 'x-figma-token', key: '{key}' },
    },
  },
  byFlow: {
    api_key: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. Figma goes on accepting it until you revoke it under “Security” at https://www.figma.com/settings.',
      },
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /[,\s]+/,
    standard: [
      { scope: 'current_user:read', meaning: 'Read your name, e-mail address and picture' },
      { scope: 'file_content:read', meaning: 'Read the contents of the files that you can open' },
      { scope: 'file_comments:read', meaning: 'Read the comments in files' },
      { scope: 'file_comments:write', meaning: 'Write and delete comments in files' },
    ],
    always: ['current_user:read'],
    contains: {},
  },
  refreshTokens: 'lasting',
  errors: {},
  api: {
    base: 'https://api.figma.com',
    hosts: ['api.figma.com'],
    headers: {},
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation:
    'Figma lets no app end its own access. Atom has destroyed its copy; remove Atom at https://www.figma.com/settings under connected apps.',

  tokenAnswer: (response) =>
    rewritten(response, (answer, status) => {
      if (status === 200) return { status, answer: { token_type: 'bearer', ...answer } }
      if (typeof answer['error'] === 'string') return { status, answer }
      // `{ status, error: true, message }`: only the message tells the app's fault from the grant's.
      const message = textAt(answer, 'message') ?? textAt(answer, 'err') ?? ''
      return { status: 400, answer: { error: /client/i.test(message) ? 'invalid_client' : 'invalid_grant' } }
    }),

  async identify(reader) {
    const user = await reader.get('https://api.figma.com/v1/me', Me)
    return {
      id: user.id,
      name: user.handle,
      ...(user.email && { email: user.email }),
      ...(user.img_url && { picture: user.img_url }),
    }
  },
}
