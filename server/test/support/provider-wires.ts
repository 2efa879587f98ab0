import type { LoopbackProvider, Said, Seen } from './loopback-provider.ts'

export const tenant = '11111111-2222-3333-4444-555555555555'

const form = (seen: Seen) => new URLSearchParams(seen.body)

/** Microsoft: the id_token names a tenant, `offline_access` is granted without being said, scopes come with their resource. */
export function workAsMicrosoft(loopback: LoopbackProvider, claims: object = {}): void {
  let pairs = 0
  const answer = async (seen: Seen): Promise<Said> => {
    const pair = ++pairs
    const sent = form(seen)
    return {
      body: {
        token_type: 'Bearer',
        scope: 'https://graph.microsoft.com/User.Read profile openid email',
        expires_in: 3599,
        ext_expires_in: 3599,
        access_token: `microsoft-access-token-${pair}`,
        refresh_token: `microsoft-refresh-token-${pair}`,
        id_token: await loopback.idToken({
          iss: `https://login.microsoftonline.com/${tenant}/v2.0`,
          aud: loopback.apps.microsoft.clientId,
          sub: 'pairwise-subject',
          tid: tenant,
          oid: 'aaaaaaaa-0000-0000-0000-000000000001',
          ...(sent.get('grant_type') === 'authorization_code' && { nonce: sent.get('code') ?? '' }),
          ...claims,
        }),
      },
    }
  }
  const keys = async () => ({ body: { keys: [await loopback.publicKey()] } })
  for (const place of ['common', tenant]) {
    loopback.on('login.microsoftonline.com', `/${place}/oauth2/v2.0/token`, answer)
    loopback.on('login.microsoftonline.com', `/${place}/discovery/v2.0/keys`, keys)
  }
  loopback.on('graph.microsoft.com', '/v1.0/me', () => ({
    body: {
      id: 'aaaaaaaa-0000-0000-0000-000000000001',
      displayName: 'Grace Hopper',
      mail: 'grace@contoso.example',
      userPrincipalName: 'grace@contoso.example',
    },
  }))
}

/** Slack: status 200 always; two credentials, each renewed by itself; one bot token for a whole team. */
export function workAsSlack(loopback: LoopbackProvider): void {
  const refreshable = new Set(['xoxe-1-bot-1'])
  let turn = 1
  loopback.on('slack.com', '/api/oauth.v2.access', (seen) => {
    const sent = form(seen)
    if (sent.get('client_secret') !== loopback.apps.slack.clientSecret) {
      return { body: { ok: false, error: 'bad_client_secret' } }
    }
    if (sent.get('grant_type') === 'refresh_token') {
      if (!refreshable.delete(sent.get('refresh_token') ?? '')) {
        return { body: { ok: false, error: 'invalid_refresh_token' } }
      }
      turn += 1
      refreshable.add(`xoxe-1-bot-${turn}`)
    } else if (sent.get('code') === 'used-code') {
      return { body: { ok: false, error: 'code_already_used' } }
    }
    const person = sent.get('code') === 'bert' ? 'U0BERT' : 'U0ADA'
    return {
      body: {
        ok: true,
        app_id: 'A0ATOM',
        access_token: `xoxe.xoxb-bot-${turn}`,
        token_type: 'bot',
        refresh_token: `xoxe-1-bot-${turn}`,
        expires_in: 43_200,
        scope: 'channels:read,chat:write,users:read,team:read',
        bot_user_id: 'U0BOT',
        is_enterprise_install: false,
        enterprise: null,
        team: { id: 'T0TEAM', name: 'Atom Labs' },
        ...(sent.get('grant_type') !== 'refresh_token' && {
          authed_user: { id: person, access_token: 'xoxe.xoxp-person', token_type: 'user' },
        }),
      },
    }
  })
  const authorised = ({ headers }: Seen) => headers.authorization === `Bearer xoxe.xoxb-bot-${turn}`
  const known =
    (body: (seen: Seen) => object) =>
    (seen: Seen): Said => ({ body: authorised(seen) ? body(seen) : { ok: false, error: 'invalid_auth' } })
  loopback.on(
    'slack.com',
    '/api/auth.test',
    known(() => ({ ok: true, user_id: 'U0BOT' })),
  )
  loopback.on(
    'slack.com',
    '/api/users.info',
    known(({ path }) => ({
      ok: true,
      user: path.endsWith('U0BERT')
        ? { name: 'bert', real_name: 'Bert Example', profile: {} }
        : { name: 'ada', real_name: 'Ada Lovelace', profile: { email: 'ada@example.org' } },
    })),
  )
  loopback.on(
    'slack.com',
    '/api/auth.revoke',
    known(() => ({ ok: true, revoked: true })),
  )
}

/** Asana: a refresh token with the code exchange only; everything else in `data`. */
export function workAsAsana(loopback: LoopbackProvider): void {
  let tokens = 0
  loopback.on('app.asana.com', '/-/oauth_token', (seen) => {
    const first = form(seen).get('grant_type') === 'authorization_code'
    if (!first && form(seen).get('refresh_token') !== 'asana-refresh-token') {
      return { status: 400, body: { error: 'invalid_grant' } }
    }
    return {
      body: {
        access_token: `asana-access-token-${++tokens}`,
        expires_in: 3600,
        token_type: 'bearer',
        data: { id: 1, gid: '1', name: 'Ada Lovelace', email: 'ada@example.org' },
        ...(first && { refresh_token: 'asana-refresh-token' }),
      },
    }
  })
  loopback.on('app.asana.com', '/api/1.0/users/me', () => ({
    body: { data: { gid: '1200', name: 'Ada Lovelace', email: 'ada@example.org', photo: null } },
  }))
  loopback.on('app.asana.com', '/-/oauth_revoke', (seen) =>
    form(seen).get('token') === 'asana-refresh-token'
      ? { body: {} }
      : { status: 400, body: { error: 'invalid_request' } },
  )
}

/** Notion: Basic and JSON only; no lifetime; every refresh ends the pair before. */
export function workAsNotion(loopback: LoopbackProvider, { refreshable = true } = {}): void {
  let turn = 0
  const { clientId, clientSecret } = loopback.apps.notion
  const basic = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  loopback.on('api.notion.com', '/v1/oauth/token', (seen) => {
    if (seen.headers.authorization !== basic || seen.headers['content-type'] !== 'application/json') {
      return { status: 401, body: { error: 'invalid_client' } }
    }
    const sent = JSON.parse(seen.body) as Record<string, string>
    if (sent['grant_type'] === 'refresh_token' && sent['refresh_token'] !== `nrt_${turn}`) {
      return { status: 400, body: { error: 'invalid_grant' } }
    }
    turn += 1
    return {
      body: {
        access_token: `ntn_${turn}`,
        token_type: 'bearer',
        refresh_token: refreshable ? `nrt_${turn}` : null,
        bot_id: 'b0000000-0000-0000-0000-000000000001',
        workspace_id: 'f0000000-0000-0000-0000-000000000001',
        workspace_name: 'Atom Labs',
        workspace_icon: null,
        duplicated_template_id: null,
        owner: { type: 'user', user: { id: 'e0000000-0000-0000-0000-000000000001' } },
      },
    }
  })
  loopback.on('api.notion.com', '/v1/users/me', (seen) =>
    seen.headers['notion-version'] === undefined || seen.headers.authorization !== `Bearer ntn_${turn}`
      ? { status: 401, body: { object: 'error', code: 'unauthorized' } }
      : {
          body: {
            object: 'user',
            id: 'b0000000-0000-0000-0000-000000000001',
            type: 'bot',
            name: 'Atom',
            bot: {
              owner: {
                type: 'user',
                user: {
                  id: 'e0000000-0000-0000-0000-000000000001',
                  name: 'Ada Lovelace',
                  avatar_url: null,
                  person: { email: 'ada@example.org' },
                },
              },
              workspace_name: 'Atom Labs',
            },
          },
        },
  )
  loopback.on('api.notion.com', '/v1/search', (seen) =>
    seen.headers.authorization === `Bearer ntn_${turn}`
      ? { body: { results: [] } }
      : { status: 401, body: { object: 'error', code: 'unauthorized' } },
  )
  loopback.on('api.notion.com', '/v1/oauth/revoke', (seen) =>
    seen.headers.authorization === basic && JSON.parse(seen.body).token === `ntn_${turn}`
      ? { body: {} }
      : { status: 400, body: { error: 'invalid_request' } },
  )
}

/** Salesforce: no lifetime; the instance comes with each answer; a refresh token used twice ends the family. */
export function workAsSalesforce(
  loopback: LoopbackProvider,
  firstInstance: string,
): { move(to: string): void } {
  let turn = 0
  let instance = firstInstance
  let revoked = false
  const answer = (seen: Seen): Said => {
    const sent = form(seen)
    if (sent.get('grant_type') === 'refresh_token' && sent.get('refresh_token') !== `5Aep.${turn}`)
      revoked = true
    if (revoked) {
      return {
        status: 400,
        body: { error: 'invalid_grant', error_description: 'expired access/refresh token' },
      }
    }
    turn += 1
    return {
      body: {
        access_token: `00D!${turn}`,
        refresh_token: `5Aep.${turn}`,
        signature: 'c2lnbmF0dXJl',
        scope: 'refresh_token api openid',
        id_token: 'not.for.us',
        instance_url: instance,
        id: 'https://login.salesforce.com/id/00D1/0051',
        token_type: 'Bearer',
        issued_at: '1708058728442',
      },
    }
  }
  for (const login of ['login.salesforce.com', 'acme.my.salesforce.com'] as const) {
    loopback.on(login, '/services/oauth2/token', answer)
    loopback.on(login, '/services/oauth2/revoke', () => ({ body: '' }))
    loopback.on(login, '/services/oauth2/userinfo', () => ({
      body: {
        sub: 'https://login.salesforce.com/id/00D1/0051',
        user_id: '0051',
        organization_id: '00D1',
        name: 'Ada Lovelace',
        preferred_username: 'ada@acme.example',
        email: 'ada@example.org',
      },
    }))
  }
  for (const host of ['acme.my.salesforce.com', 'acme-moved.my.salesforce.com'] as const) {
    loopback.on(host, '/services/data/v62.0/limits', (seen) =>
      seen.headers.authorization === `Bearer 00D!${turn}` && instance === `https://${host}`
        ? { body: { host } }
        : { status: 401, body: [{ errorCode: 'INVALID_SESSION_ID' }] as object },
    )
  }
  return {
    /** Sessions of the old place end with the move. */
    move(to) {
      instance = to
    },
  }
}

/** HubSpot: 2026-03 and nothing older; the person by introspection; people of one hub share a refresh token. */
export function workAsHubSpot(loopback: LoopbackProvider): void {
  let tokens = 0
  const people = new Map<string, object>()
  const isClient = (sent: URLSearchParams) =>
    sent.get('client_id') === loopback.apps.hubspot.clientId &&
    sent.get('client_secret') === loopback.apps.hubspot.clientSecret
  loopback.on('api.hubapi.com', '/oauth/2026-03/token', (seen) => {
    const sent = form(seen)
    if (!isClient(sent)) return { status: 400, body: { status: 'BAD_CLIENT_SECRET', message: 'no' } }
    if (sent.get('grant_type') === 'refresh_token' && sent.get('refresh_token') !== 'hub-refresh-token') {
      return { status: 400, body: { status: 'BAD_REFRESH_TOKEN', message: 'no' } }
    }
    const accessToken = `hub-access-token-${++tokens}`
    const bert = sent.get('code') === 'bert'
    people.set(accessToken, { user: bert ? 'bert@example.org' : 'ada@example.org', user_id: bert ? 2 : 1 })
    return {
      body: {
        access_token: accessToken,
        refresh_token: 'hub-refresh-token',
        expires_in: 1800,
        token_type: 'bearer',
      },
    }
  })
  loopback.on('api.hubapi.com', '/oauth/2026-03/token/introspect', (seen) => {
    const sent = form(seen)
    const person = people.get(sent.get('token') ?? '')
    if (!isClient(sent)) return { status: 400, body: { status: 'BAD_CLIENT_SECRET' } }
    return {
      body:
        person === undefined
          ? { active: false }
          : {
              active: true,
              hub_id: 4711,
              hub_domain: 'acme.example',
              app_id: 1,
              expires_in: 1800,
              ...person,
            },
    }
  })
  loopback.on('api.hubapi.com', '/oauth/2026-03/token/revoke', (seen) =>
    isClient(form(seen)) && form(seen).get('token') === 'hub-refresh-token'
      ? { status: 204 }
      : { status: 400 },
  )
}
