import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationServer } from '../authorization-server.ts'
import { type Person, people } from '../people.ts'
import type { RateLimits } from '../rate-limits.ts'
import { bearerOf, objectOf, paramOf, queryOf } from '../request-parts.ts'
import { rateLimited, slackAnswer, slackProblem } from './slack-answers.ts'
import type { Channel, SlackData, SlackMessage, Writer } from './slack-data.ts'
import { isOrganisations, isPersons, visibleScopes } from './slack-oauth.ts'
import { bot, organisation, personBySlackId, slackUserId, team } from './slack-team.ts'

type Arguments = Readonly<Record<string, unknown>>

interface Call {
  readonly reply: FastifyReply
  readonly writer: Writer
  readonly token: string
  readonly scopes: readonly string[]
  /** Installed for the organisation rather than for one workspace. */
  readonly ofOrganisation: boolean
  readonly sent: Arguments
}

/** Requests a minute for each method, by the tier the documentation gives it. */
const tiers = { tier2: 20, tier3: 50, tier4: 100, special: 60 } as const

interface Method {
  readonly tier: keyof typeof tiers
  /** Any one of them lets in; none is needed where the list is empty. */
  readonly scopes: readonly string[]
  /** Of an organisation's token it has to be told which workspace is meant. */
  readonly ofOneTeam?: true
  answer(call: Call): FastifyReply
}

/**
 * A slice of the Web API (https://docs.slack.dev/reference/methods), with GET and POST, query, form and JSON, the token in the
 * header or among the arguments. Refusals come with HTTP 200; only too many requests are 429.
 */
export function slackApi(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; data: SlackData; limits: RateLimits; url: () => string },
): void {
  const { server, data, limits, url } = dependencies

  const text = (sent: Arguments, name: string): string | undefined => {
    const value = sent[name]
    return value === undefined || value === null ? undefined : String(value)
  }
  /** Public channels are there for everybody; a private one for its members. */
  const visible = (channel: Channel, { writer, scopes }: Call): boolean =>
    channel.isPrivate
      ? scopes.includes('groups:read') && channel.members.includes(writer.userId)
      : scopes.includes('channels:read') || !scopes.includes('groups:read')
  const onChannel = (handler: (call: Call, channel: Channel) => FastifyReply) => (call: Call) => {
    const channel = data.channel(text(call.sent, 'channel') ?? '')
    const hidden = channel?.isPrivate === true && !channel.members.includes(call.writer.userId)
    return channel === undefined || hidden
      ? slackProblem(call.reply, 'channel_not_found')
      : handler(call, channel)
  }
  const permalink = (channel: Channel, ts: string) =>
    `${url()}/slack/archives/${channel.id}/p${ts.replace('.', '')}`
  const reads = ['channels:history', 'groups:history']

  const methods: Readonly<Record<string, Method>> = {
    'auth.test': {
      tier: 'special',
      scopes: [],
      answer: ({ reply, writer, ofOrganisation }) =>
        slackAnswer(reply, {
          url: ofOrganisation
            ? `https://${team.domain}.enterprise.slack.com/`
            : `https://${team.domain}.slack.com/`,
          team: ofOrganisation ? organisation.name : team.name,
          user: writer.byBot ? bot.name : writer.person.key,
          team_id: ofOrganisation ? organisation.id : team.id,
          user_id: writer.userId,
          ...(writer.byBot ? { bot_id: bot.botId } : undefined),
          ...(ofOrganisation && { enterprise_id: organisation.id }),
          is_enterprise_install: ofOrganisation,
        }),
    },
    // The workspaces that an organisation's token is good for.
    'auth.teams.list': {
      tier: 'tier2',
      scopes: [],
      answer: ({ reply }) =>
        slackAnswer(reply, {
          teams: [{ id: team.id, name: team.name }],
          response_metadata: { next_cursor: '' },
        }),
    },
    // Ends the token it is called with, and what could renew it. The other kind of token lives on.
    'auth.revoke': {
      tier: 'tier3',
      scopes: [],
      answer: ({ reply, token, sent }) => {
        const trial = ['1', 'true'].includes(text(sent, 'test') ?? '')
        if (!trial) server.revokeAuthorization(token)
        return slackAnswer(reply, { revoked: !trial })
      },
    },
    'team.info': {
      tier: 'tier3',
      scopes: ['team:read'],
      answer: ({ reply }) =>
        slackAnswer(reply, {
          team: {
            id: team.id,
            name: team.name,
            domain: team.domain,
            email_domain: team.emailDomain,
            icon: { image_132: `${url()}/avatars/atom-labs.png`, image_default: false },
          },
        }),
    },
    'users.list': {
      tier: 'tier2',
      scopes: ['users:read'],
      ofOneTeam: true,
      answer: ({ reply, sent, scopes }) => {
        const members = [...people.map((person) => userView(person, scopes, url())), botUserView()]
        const page = pageOf(members, sent)
        return page === undefined
          ? slackProblem(reply, 'invalid_cursor')
          : slackAnswer(reply, { members: page.items, cache_ts: 0, ...page.metadata })
      },
    },
    'users.info': {
      tier: 'tier4',
      scopes: ['users:read'],
      answer: ({ reply, sent, scopes }) => {
        const id = text(sent, 'user') ?? ''
        if (id === bot.userId) return slackAnswer(reply, { user: botUserView() })
        const person = personBySlackId(id)
        return person === undefined
          ? slackProblem(reply, 'user_not_found')
          : slackAnswer(reply, { user: userView(person, scopes, url()) })
      },
    },
    'conversations.list': {
      tier: 'tier2',
      scopes: ['channels:read', 'groups:read'],
      ofOneTeam: true,
      answer: (call) => {
        const { reply, sent } = call
        const types = (text(sent, 'types') ?? 'public_channel').split(',').map((type) => type.trim())
        const needed = types.includes('private_channel') ? 'groups:read' : 'channels:read'
        if (!call.scopes.includes(needed)) return missingScope(reply, [needed], call.scopes)
        const without = ['1', 'true'].includes(text(sent, 'exclude_archived') ?? '')
        const channels = data
          .channels()
          .filter(
            (channel) =>
              types.includes(channel.isPrivate ? 'private_channel' : 'public_channel') &&
              visible(channel, call) &&
              !(without && channel.isArchived === true),
          )
        const page = pageOf(channels, sent)
        return page === undefined
          ? slackProblem(reply, 'invalid_cursor')
          : slackAnswer(reply, {
              channels: page.items.map((channel) => channelView(channel, call.writer)),
              ...page.metadata,
            })
      },
    },
    'conversations.info': {
      tier: 'tier3',
      scopes: ['channels:read', 'groups:read'],
      answer: onChannel((call, channel) =>
        slackAnswer(call.reply, { channel: channelView(channel, call.writer) }),
      ),
    },
    'conversations.join': {
      tier: 'tier3',
      scopes: ['channels:join'],
      answer: onChannel((call, channel) => {
        if (channel.isPrivate) return slackProblem(call.reply, 'method_not_supported_for_channel_type')
        if (channel.isArchived === true) return slackProblem(call.reply, 'is_archived')
        const known = channel.members.includes(call.writer.userId)
        return slackAnswer(call.reply, {
          channel: channelView(data.join(call.writer, channel), call.writer),
          ...(known
            ? { warning: 'already_in_channel', response_metadata: { warnings: ['already_in_channel'] } }
            : undefined),
        })
      }),
    },
    'conversations.history': {
      tier: 'tier3',
      scopes: reads,
      answer: onChannel((call, channel) => {
        const { reply, sent } = call
        if (!readable(call, channel)) return slackProblem(reply, 'not_in_channel')
        const oldest = Number(text(sent, 'oldest') ?? 0)
        const latest = Number(text(sent, 'latest') ?? Number.POSITIVE_INFINITY)
        const inclusive = ['1', 'true'].includes(text(sent, 'inclusive') ?? '')
        const within = (ts: string) =>
          inclusive
            ? Number(ts) >= oldest && Number(ts) <= latest
            : Number(ts) > oldest && Number(ts) < latest
        const all = data.messages(channel)
        // Answers in a thread are not part of the channel; their first message says that there are some.
        const shown = all.filter(
          ({ ts, threadTs }) => (threadTs === undefined || threadTs === ts) && within(ts),
        )
        const page = pageOf(shown, sent)
        return page === undefined
          ? slackProblem(reply, 'invalid_cursor')
          : slackAnswer(reply, {
              messages: page.items.map((message) => messageView(message, all)),
              has_more: page.more,
              pin_count: 0,
              ...(page.more ? page.metadata : undefined),
            })
      }),
    },
    'conversations.replies': {
      tier: 'tier3',
      scopes: reads,
      answer: onChannel((call, channel) => {
        if (!readable(call, channel)) return slackProblem(call.reply, 'not_in_channel')
        const ts = text(call.sent, 'ts') ?? ''
        const all = data.messages(channel)
        const thread = all.filter((message) => message.ts === ts || message.threadTs === ts).reverse()
        if (thread.length === 0) return slackProblem(call.reply, 'thread_not_found')
        const page = pageOf(thread, call.sent)
        return page === undefined
          ? slackProblem(call.reply, 'invalid_cursor')
          : slackAnswer(call.reply, {
              messages: page.items.map((message) => messageView(message, all)),
              has_more: page.more,
              ...(page.more ? page.metadata : undefined),
            })
      }),
    },
    'chat.postMessage': {
      tier: 'special',
      scopes: ['chat:write'],
      answer: onChannel((call, channel) => {
        const { reply, sent, writer, scopes } = call
        if (channel.isArchived === true) return slackProblem(reply, 'is_archived')
        const open = writer.byBot && !channel.isPrivate && scopes.includes('chat:write.public')
        if (!open && !channel.members.includes(writer.userId)) return slackProblem(reply, 'not_in_channel')
        const blocks = listFrom(sent['blocks'])
        const words = text(sent, 'text') ?? ''
        if (blocks === null) return slackProblem(reply, 'invalid_blocks_format')
        if (words === '' && (blocks ?? []).length === 0) return slackProblem(reply, 'no_text')
        if (words.length > 40_000) return slackProblem(reply, 'msg_too_long')
        const threadTs = text(sent, 'thread_ts')
        if (threadTs !== undefined && data.message(channel, threadTs) === undefined) {
          return slackProblem(reply, 'thread_not_found')
        }
        const message = data.post(writer, channel, { text: words, threadTs, blocks })
        return slackAnswer(reply, {
          channel: channel.id,
          ts: message.ts,
          message: messageView(message, []),
        })
      }),
    },
    'chat.update': {
      tier: 'tier3',
      scopes: ['chat:write'],
      answer: onChannel((call, channel) => {
        const message = data.message(channel, text(call.sent, 'ts') ?? '')
        if (message === undefined) return slackProblem(call.reply, 'message_not_found')
        if (message.user !== call.writer.userId) return slackProblem(call.reply, 'cant_update_message')
        const words = text(call.sent, 'text') ?? ''
        if (words === '') return slackProblem(call.reply, 'no_text')
        const changed = data.update(call.writer, channel, message, words)
        return slackAnswer(call.reply, {
          channel: channel.id,
          ts: changed.ts,
          text: changed.text,
          message: messageView(changed, []),
        })
      }),
    },
    'chat.delete': {
      tier: 'tier3',
      scopes: ['chat:write'],
      answer: onChannel((call, channel) => {
        const message = data.message(channel, text(call.sent, 'ts') ?? '')
        if (message === undefined) return slackProblem(call.reply, 'message_not_found')
        if (message.user !== call.writer.userId) return slackProblem(call.reply, 'cant_delete_message')
        data.delete(call.writer, channel, message)
        return slackAnswer(call.reply, { channel: channel.id, ts: message.ts })
      }),
    },
    'chat.getPermalink': {
      tier: 'special',
      scopes: [],
      answer: onChannel((call, channel) => {
        const ts = text(call.sent, 'message_ts') ?? ''
        return data.message(channel, ts) === undefined
          ? slackProblem(call.reply, 'message_not_found')
          : slackAnswer(call.reply, { channel: channel.id, permalink: permalink(channel, ts) })
      }),
    },
  }

  app.route({
    method: ['GET', 'POST'],
    url: '/slack/api/:method',
    handler: async (request, reply) => {
      const name = paramOf(request, 'method')
      const method = Object.hasOwn(methods, name) ? methods[name] : undefined
      if (method === undefined) return slackProblem(reply, 'unknown_method', { req_method: name })
      const sent = argumentsOf(request)
      if (sent === undefined) return slackProblem(reply, 'invalid_json')
      const token = bearerOf(request) ?? text(sent, 'token')
      if (token === undefined) return slackProblem(reply, 'not_authed')
      const owner = await server.owner(token)
      if (owner === undefined) return slackProblem(reply, await wrongToken(server, token))
      const standing = limits.spend('slack', `${token} ${name}`, {
        requests: tiers[method.tier],
        seconds: 60,
      })
      if (standing.exceeded) return rateLimited(reply, standing.retryAfterSeconds)
      const scopes = visibleScopes(owner.scopes)
      const byBot = !isPersons(owner.scopes)
      const { person } = owner
      reply.header('x-oauth-scopes', scopes.join(','))
      if (method.scopes.length > 0) {
        reply.header('x-accepted-oauth-scopes', method.scopes.join(','))
        if (!method.scopes.some((scope) => scopes.includes(scope))) {
          return missingScope(reply, method.scopes, scopes)
        }
      }
      const ofOrganisation = isOrganisations(owner.scopes)
      // A workspace's own token need not say it, and is not asked what it said.
      if (ofOrganisation && method.ofOneTeam === true) {
        const meant = text(sent, 'team_id')
        if (meant === undefined) return slackProblem(reply, 'missing_argument')
        if (meant !== team.id) return slackProblem(reply, 'team_access_not_granted')
      }
      const writer = { person, byBot, userId: byBot ? bot.userId : slackUserId(person) }
      return method.answer({ reply, token, scopes, sent, writer, ofOrganisation })
    },
  })

  /** The bot reads where it was added; a person reads every public channel. */
  function readable({ writer, scopes }: Call, channel: Channel): boolean {
    const scope = channel.isPrivate ? 'groups:history' : 'channels:history'
    return (
      scopes.includes(scope) &&
      (channel.members.includes(writer.userId) || (!writer.byBot && !channel.isPrivate))
    )
  }
}

/** Slack tells a token that ran out from one that was revoked, and both from what was never one. */
async function wrongToken(server: AuthorizationServer, token: string): Promise<string> {
  if (await server.expired(token)) return 'token_expired'
  return /^(xox[bp]-\d{12}-\d{12}-[0-9a-f]{32}|xoxe\.xox[bp]-1-[\w-]{112})$/.test(token)
    ? 'token_revoked'
    : 'invalid_auth'
}

function missingScope(reply: FastifyReply, needed: readonly string[], provided: readonly string[]) {
  return slackProblem(reply, 'missing_scope', { needed: needed.join(','), provided: provided.join(',') })
}

/** Query, form or JSON; undefined where JSON was promised and is none. */
function argumentsOf(request: FastifyRequest): Arguments | undefined {
  const query = queryOf(request)
  if (request.method === 'GET') return query
  if ((request.headers['content-type'] ?? '').includes('json')) {
    const body = objectOf(request)
    return body === undefined ? undefined : { ...query, ...body }
  }
  const body = typeof request.body === 'string' ? request.body : ''
  return { ...query, ...Object.fromEntries(new URLSearchParams(body)) }
}

/** A list as JSON sends it, or as text in a form; undefined where there is none, null where it is malformed. */
function listFrom(value: unknown): readonly unknown[] | undefined | null {
  if (value === undefined || value === '') return undefined
  if (Array.isArray(value)) return value
  if (typeof value !== 'string') return null
  try {
    const parsed: unknown = JSON.parse(value)
    return Array.isArray(parsed) ? parsed : null
  } catch {
    return null
  }
}

/** A page and the cursor to the next; undefined for a cursor that is none. Slack may give fewer than asked for, never more. */
function pageOf<T>(items: readonly T[], sent: Arguments) {
  const limit = Math.min(1000, Math.max(1, Number(sent['limit'] ?? 100) || 100))
  const cursor = typeof sent['cursor'] === 'string' ? sent['cursor'] : ''
  const place = /^next:(\d+)$/.exec(Buffer.from(cursor, 'base64').toString('utf8'))?.[1]
  if (cursor !== '' && place === undefined) return undefined
  const from = Number(place ?? 0)
  const more = from + limit < items.length
  const next = more ? Buffer.from(`next:${from + limit}`).toString('base64') : ''
  return {
    items: items.slice(from, from + limit),
    more,
    metadata: { response_metadata: { next_cursor: next } },
  }
}

function userView(person: Person, scopes: readonly string[], url: string) {
  return {
    id: slackUserId(person),
    team_id: team.id,
    name: person.key,
    deleted: false,
    real_name: person.name,
    tz: 'Etc/UTC',
    profile: {
      real_name: person.name,
      display_name: person.givenName,
      first_name: person.givenName,
      last_name: person.familyName,
      title: person.bio,
      ...(scopes.includes('users:read.email') ? { email: person.email } : undefined),
      image_192: `${url}/avatars/${person.key}.png`,
      team: team.id,
    },
    is_admin: person.key === 'ada',
    is_owner: person.key === 'ada',
    is_bot: false,
    is_app_user: false,
    updated: 1_707_728_400,
  }
}

function botUserView() {
  return {
    id: bot.userId,
    team_id: team.id,
    name: bot.name,
    deleted: false,
    real_name: 'Atom',
    profile: { real_name: 'Atom', display_name: '', bot_id: bot.botId, api_app_id: bot.appId, team: team.id },
    is_admin: false,
    is_owner: false,
    is_bot: true,
    is_app_user: false,
    updated: 1_707_728_400,
  }
}

function channelView(channel: Channel, writer: Writer) {
  return {
    id: channel.id,
    name: channel.name,
    name_normalized: channel.name,
    is_channel: !channel.isPrivate,
    is_group: channel.isPrivate,
    is_im: false,
    is_mpim: false,
    is_private: channel.isPrivate,
    is_archived: channel.isArchived === true,
    is_general: channel.name === 'general',
    is_member: channel.members.includes(writer.userId),
    created: channel.created,
    creator: channel.creator,
    context_team_id: team.id,
    topic: { value: channel.topic, creator: channel.creator, last_set: channel.created },
    purpose: { value: channel.purpose, creator: channel.creator, last_set: channel.created },
    num_members: channel.members.length,
  }
}

/** `all`: the messages of the channel, to count the answers of a thread. */
function messageView(message: SlackMessage, all: readonly SlackMessage[]) {
  const { ts, user, text, byBot, threadTs, editedTs, blocks } = message
  const answers = all.filter((each) => each.threadTs === ts && each.ts !== ts)
  const latest = answers[0]
  return {
    type: 'message',
    user,
    ts,
    text,
    team: team.id,
    ...(byBot ? { bot_id: bot.botId, app_id: bot.appId } : undefined),
    ...(blocks === undefined ? undefined : { blocks }),
    ...(editedTs === undefined ? undefined : { edited: { user, ts: editedTs } }),
    ...(latest === undefined
      ? threadTs === undefined
        ? undefined
        : { thread_ts: threadTs }
      : {
          thread_ts: ts,
          reply_count: answers.length,
          reply_users: [...new Set(answers.map((each) => each.user))],
          reply_users_count: new Set(answers.map((each) => each.user)).size,
          latest_reply: latest.ts,
        }),
  }
}
