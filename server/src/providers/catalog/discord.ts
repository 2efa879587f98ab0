import { Type } from 'typebox'
import type { Provider } from '../provider.ts'

const User = Type.Object({
  id: Type.String(),
  username: Type.String(),
  global_name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  avatar: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  email: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  verified: Type.Optional(Type.Boolean()),
})

/**
 * Sources: discord.com/developers/docs "OAuth2", "Users Resource", "Rate Limits", "API Reference" (a user agent is required).
 * Access tokens live a week; a refresh answers with the next refresh token.
 */
export const discord: Provider = {
  id: 'discord',
  name: 'Discord',
  appConsoleUrl: 'https://discord.com/developers/applications',
  guide: {
    category: 'communication',
    steps: [
      'Open the developer portal of Discord and choose “New Application”.',
      'Under “OAuth2”, add {redirectUri} to the redirects and save.',
      'In the same place copy the client ID, reset the client secret, and copy it at once: Discord shows it only once.',
      'Scopes need not be entered at Discord: each connection asks for its own ({scopes}).',
    ],
  },
  issuer: 'https://discord.com',
  endpoints: {
    authorization: 'https://discord.com/oauth2/authorize',
    token: 'https://discord.com/api/oauth2/token',
  },
  clientAuthentication: 'client_secret_post',
  pkce: { off: 'Discord knows it for public clients only; state and secret protect the code' },
  authorizationExtras: {},
  flows: {
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Bot token',
          meaning: 'The token of a bot, from its page at https://discord.com/developers/applications',
          secret: true,
          pattern: /^[\x21-\x7e]{8,2000}$/,
        },
      ],
      attach: { as: 'header', header: 'authorization', key: 'Bot {key}' },
    },
  },
  byFlow: {
    api_key: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. Discord goes on accepting it until it is reset at https://discord.com/developers/applications.',
      },
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'identify', meaning: 'Read your name and picture' },
      { scope: 'email', meaning: 'Read your e-mail address' },
      { scope: 'guilds', meaning: 'See which servers you are in' },
    ],
    further: [
      { scope: 'guilds.members.read', meaning: 'See how you appear in your servers' },
      { scope: 'connections', meaning: 'See the accounts you have linked' },
    ],
    always: ['identify'],
    contains: {},
  },
  refreshTokens: 'single_use',
  errors: {},
  api: {
    base: 'https://discord.com/api/v10',
    hosts: ['discord.com'],
    headers: { 'user-agent': 'DiscordBot (https://discord.com, 10) Atom' },
    rateLimit: {
      remaining: 'x-ratelimit-remaining',
      reset: 'x-ratelimit-reset',
      retryAfter: 'retry-after',
    },
  },
  afterRevocation: 'Discord has ended the grant and every token of it.',

  async identify(reader) {
    const user = await reader.get('https://discord.com/api/v10/users/@me', User)
    return {
      id: user.id,
      name: user.global_name || user.username,
      handle: user.username,
      ...(user.email && user.verified !== false && { email: user.email }),
      ...(user.avatar && {
        picture: `https://cdn.discordapp.com/avatars/${user.id}/${user.avatar}.png?size=128`,
      }),
    }
  },

  revocation: ({ clientId, clientSecret, accessToken, refreshToken }) => ({
    method: 'POST',
    url: 'https://discord.com/api/oauth2/token/revoke',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      client_id: clientId,
      client_secret: clientSecret.reveal(),
      token: (refreshToken ?? accessToken).reveal(),
      token_type_hint: refreshToken === undefined ? 'access_token' : 'refresh_token',
    }).toString(),
  }),
  revoked: (status) => status === 200,
}
