import { Type } from 'typebox'
import type { Provider } from '../provider.ts'

const Me = Type.Object({
  account_id: Type.String(),
  name: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  picture: Type.Optional(Type.String()),
})
/** Of the site's own API. */
const Myself = Type.Object({
  accountId: Type.String(),
  displayName: Type.Optional(Type.String()),
  emailAddress: Type.Optional(Type.String()),
})

/**
 * Sources: developer.atlassian.com "OAuth 2.0 (3LO) apps", "Implementing OAuth 2.0 (3LO)", "User identity API", "Rate
 * limiting". A token works through api.atlassian.com only: `/oauth/token/accessible-resources` tells the sites, and their API
 * is below `/ex/jira/{cloudId}`. A refresh ends the refresh token before; there is no revocation for apps.
 */
export const jira: Provider = {
  id: 'jira',
  name: 'Jira',
  appConsoleUrl: 'https://developer.atlassian.com/console/myapps/',
  guide: {
    category: 'projects',
    steps: [
      'Create an “OAuth 2.0 integration” in the developer console of Atlassian.',
      'Under “Permissions”, add the Jira API and the User identity API, and to them the scopes: {scopes}. offline_access is not in that list and need not be.',
      'Under “Authorization”, add OAuth 2.0 (3LO) with {redirectUri} as its callback URL.',
      'Under “Distribution”, switch sharing on; until then only you can connect.',
      'Copy client ID and secret from “Settings”.',
    ],
  },
  issuer: 'https://auth.atlassian.com',
  endpoints: {
    authorization: 'https://auth.atlassian.com/authorize',
    token: 'https://auth.atlassian.com/oauth/token',
  },
  clientAuthentication: 'client_secret_post',
  tokenRequest: 'json',
  pkce: { off: 'Atlassian documents none for 3LO apps; state and secret protect the code' },
  flows: {
    api_key: {
      fields: [
        {
          name: 'email',
          label: 'E-mail address',
          meaning: 'Of your Atlassian account.',
          pattern: /^[^\s:@]{1,100}@[^\s:@]{1,150}$/,
        },
        {
          name: 'key',
          label: 'API token',
          meaning: 'A token of yours, from https://id.atlassian.com/manage-profile/security/api-tokens',
          secret: true,
          pattern: /^[\x21-\x7e]{8,2000}$/,
        },
      ],
      attach: { as: 'basic', user: '{email}', password: '{key}' },
      needs: { site: /./ },
    },
  },
  byFlow: {
    api_key: {
      // Such a token is good at the site itself and nowhere else.
      api: {
        base: 'https://{site}',
        hosts: ['{site}'],
        headers: { accept: 'application/json' },
        rateLimit: { remaining: 'x-ratelimit-remaining', retryAfter: 'retry-after' },
      },
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. Atlassian goes on accepting it until you revoke it at https://id.atlassian.com/manage-profile/security/api-tokens.',
      },
      async identify(reader) {
        const me = await reader.get(`https://${reader.particulars['site']}/rest/api/3/myself`, Myself)
        return {
          id: me.accountId,
          name: me.displayName || me.emailAddress || 'Atlassian account',
          ...(me.emailAddress && { email: me.emailAddress }),
        }
      },
    },
  },
  particulars: {
    site: {
      label: 'Site',
      meaning: 'For an API token: the host of your site, such as acme.atlassian.net.',
      pattern: /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.atlassian\.net$/,
      askable: true,
      optional: true,
    },
  },
  authorizationExtras: { audience: 'api.atlassian.com', prompt: 'consent' },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'read:me', meaning: 'Read your name and picture' },
      { scope: 'read:jira-work', meaning: 'Read your projects and issues' },
      { scope: 'write:jira-work', meaning: 'Create and change issues' },
      { scope: 'offline_access', meaning: 'Keep the access until you end it' },
    ],
    further: [
      { scope: 'read:jira-user', meaning: 'See your colleagues' },
      { scope: 'manage:jira-project', meaning: 'Change projects' },
      { scope: 'manage:jira-webhook', meaning: 'Register webhooks' },
    ],
    always: ['read:me', 'offline_access'],
    unsaid: ['offline_access'],
    contains: {},
  },
  refreshTokens: 'single_use',
  idleLimitDays: 90,
  errors: {},
  api: {
    base: 'https://api.atlassian.com',
    hosts: ['api.atlassian.com'],
    headers: { accept: 'application/json' },
    rateLimit: { remaining: 'x-ratelimit-remaining', retryAfter: 'retry-after' },
  },
  afterRevocation:
    'Atlassian lets no app end its own access. Atom has destroyed its copy; remove Atom at https://id.atlassian.com/manage-profile/apps. An access token that was given out works for up to an hour.',

  async identify(reader) {
    const me = await reader.get('https://api.atlassian.com/me', Me)
    return {
      id: me.account_id,
      name: me.name || me.email || 'Atlassian account',
      ...(me.email && { email: me.email }),
      ...(me.picture && { picture: me.picture }),
    }
  },
}
