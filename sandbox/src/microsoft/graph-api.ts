import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationServer } from '../authorization-server.ts'
import { avatarOf, type Person, people } from '../people.ts'
import type { RateLimits } from '../rate-limits.ts'
import { bearerOf, objectOf, paramOf } from '../request-parts.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import { inZone, wallClock } from '../wall-clock.ts'
import type { AdminConsent } from './admin-consent.ts'
import type { GraphData, Mailbox, Meeting, MeetingFields, Message } from './graph-data.ts'
import { listQuery, QueryProblem, selected } from './graph-query.ts'
import { graphAnswer, graphProblem, tooMany } from './microsoft-answers.ts'
import { inDirectory } from './microsoft-oauth.ts'
import { tenant } from './microsoft-seed.ts'

interface Asked {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** Who is signed in; nobody with a token of the app itself. */
  readonly signedIn: Person | undefined
  readonly scopes: readonly string[]
  readonly query: URLSearchParams
  readonly url: URL
}

interface Call extends Asked {
  /** Whose things they are: of who is signed in, or of whom the path names. */
  readonly person: Person
}

const context = 'https://graph.microsoft.com/v1.0/$metadata#'
const readsMail = ['Mail.Read', 'Mail.ReadWrite']
const readsCalendar = ['Calendars.Read', 'Calendars.ReadWrite']

/**
 * A slice of Microsoft Graph v1.0 (https://learn.microsoft.com/graph/api/overview): who is signed in, their picture, mail and
 * calendar. Lists take `$top`, `$skip`, `$select`, `$orderby`, `$search`, `$count`, and comparisons joined by `and` in `$filter`.
 */
export function graphApi(
  app: FastifyInstance,
  dependencies: {
    server: AuthorizationServer
    adminConsent: AdminConsent
    data: GraphData
    limits: RateLimits
    clock: SandboxClock
    url: () => string
  },
): void {
  const { server, adminConsent, data, limits, clock } = dependencies
  const base = '/microsoft/graph/v1.0'

  const access = async (token: string) => {
    const own = adminConsent.token(token)
    if (own !== undefined) return { signedIn: undefined, scopes: own.scopes }
    const owner = await server.owner(token)
    return owner === undefined ? undefined : { signedIn: owner.person, scopes: owner.scopes }
  }

  const open = (scopes: readonly string[], handler: (asked: Asked) => FastifyReply) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const token = bearerOf(request)
      const granted = token === undefined ? undefined : await access(token)
      if (token === undefined || granted === undefined) return unauthenticated(reply, token)
      const standing = limits.take('microsoft', token, 'core', true)
      if (standing.exceeded) {
        return tooMany(reply, Math.max(1, standing.resetAt - Math.floor(clock.now().getTime() / 1000)))
      }
      if (!scopes.some((scope) => granted.scopes.includes(scope))) return denied(reply)
      const url = new URL(request.url, dependencies.url())
      try {
        return handler({ request, reply, ...granted, query: url.searchParams, url })
      } catch (thrown) {
        if (thrown instanceof QueryProblem) return graphProblem(reply, 400, 'BadRequest', thrown.message)
        throw thrown
      }
    }
  }

  const door = (scopes: readonly string[], handler: (call: Call) => FastifyReply) =>
    open(scopes, (asked) => {
      const { request, reply, signedIn } = asked
      const named = paramOf(request, 'user')
      if (named === '') return signedIn === undefined ? notMe(reply) : handler({ ...asked, person: signedIn })
      const person = personNamed(named)
      if (person === undefined) {
        return graphProblem(
          reply,
          404,
          'Request_ResourceNotFound',
          `Resource '${named}' does not exist or one of its queried reference-property objects are not present.`,
        )
      }
      // What a person allowed is theirs; other people's things nobody signed in here has a permission for.
      return signedIn !== undefined && signedIn !== person ? denied(reply) : handler({ ...asked, person })
    })
  /** The same below `/me` and below `/users/{id}`, for ids and sign-in names. */
  const each = (path: string) => [`${base}/me${path}`, `${base}/users/:user${path}`]
  const readsOrganization = ['User.Read', 'Organization.Read.All']

  // A token that was good when the sessions were judged anew gets the challenge; any other is only wrong.
  const unauthenticated = (reply: FastifyReply, token: string | undefined) => {
    const realm = `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`
    if (token !== undefined && server.challenged(token)) {
      const nbf = String(Math.floor(clock.now().getTime() / 1000))
      const claims = Buffer.from(
        JSON.stringify({ access_token: { nbf: { essential: true, value: nbf } } }),
      ).toString('base64')
      reply.header(
        'www-authenticate',
        `${realm}, error="insufficient_claims", claims="${claims}", errorDescription="Continuous access evaluation resulted in challenge with result: InteractionRequired"`,
      )
      const words =
        'Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp'
      return graphProblem(reply, 401, 'InvalidAuthenticationToken', words)
    }
    reply.header('www-authenticate', realm)
    return graphProblem(
      reply,
      401,
      'InvalidAuthenticationToken',
      token === undefined ? 'Access token is empty.' : 'Lifetime validation failed, the token is expired.',
    )
  }

  const list = (
    call: Call,
    of: string,
    rows: readonly Readonly<Record<string, unknown>>[],
    order: string,
  ) => {
    const query = listQuery(call.query, order)
    const chosen = rows
      .filter((row) => query.matches(row))
      .toSorted((one, other) => query.compare(one, other))
    const page = chosen.slice(query.skip, query.skip + query.top)
    const next = new URL(call.url)
    next.searchParams.set('$skip', String(query.skip + query.top))
    return graphAnswer(call.reply, {
      '@odata.context': `${context}users('${encodeURIComponent(inDirectory(call.person).oid)}')/${of}`,
      ...(query.count ? { '@odata.count': chosen.length } : undefined),
      value: page.map((row) => selected(row, query.select)),
      ...(query.skip + query.top < chosen.length ? { '@odata.nextLink': next.href } : undefined),
    })
  }
  const one = (call: Call, of: string, row: Readonly<Record<string, unknown>>, status = 200) => {
    const select = call.query.get('$select')?.split(',')
    const where = `${context}users('${encodeURIComponent(inDirectory(call.person).oid)}')/${of}/$entity`
    return graphAnswer(call.reply, { '@odata.context': where, ...selected(row, select) }, status)
  }

  for (const path of each('')) {
    app.get(
      path,
      door(['User.Read', 'User.Read.All'], (call) =>
        graphAnswer(call.reply, {
          '@odata.context': `${context}users/$entity`,
          ...selected(userView(call.person), call.query.get('$select')?.split(',')),
        }),
      ),
    )
  }
  app.get(
    `${base}/users`,
    open(['User.ReadBasic.All', 'User.Read.All'], (call) => {
      const query = listQuery(call.query, 'displayName')
      const rows = people.map(userView).filter((row) => query.matches(row))
      return graphAnswer(call.reply, {
        '@odata.context': `${context}users`,
        value: rows.map((row) => selected(row, query.select)),
      })
    }),
  )
  app.get(
    `${base}/organization`,
    open(readsOrganization, ({ reply }) =>
      graphAnswer(reply, {
        '@odata.context': `${context}organization`,
        value: [
          {
            id: tenant.id,
            displayName: tenant.name,
            verifiedDomains: [{ name: tenant.domain, isDefault: true }],
          },
        ],
      }),
    ),
  )
  app.get(
    `${base}/me/photo`,
    door(['User.Read'], (call) =>
      one(call, 'photo', {
        '@odata.mediaContentType': 'image/png',
        '@odata.mediaEtag': `W/"${call.person.key}"`,
        id: '128x128',
        height: 128,
        width: 128,
      }),
    ),
  )
  for (const path of [`${base}/me/photo/$value`, `${base}/me/photos/:size/$value`]) {
    app.get(
      path,
      door(['User.Read'], ({ request, reply, person }) => {
        const size = paramOf(request, 'size') || '128x128'
        const picture = avatarOf(person.key)
        // The sizes Exchange keeps; each is answered with the one picture there is.
        const sizes = [
          '48x48',
          '64x64',
          '96x96',
          '120x120',
          '128x128',
          '240x240',
          '360x360',
          '432x432',
          '504x504',
          '648x648',
        ]
        return picture === undefined || !sizes.includes(size)
          ? graphProblem(reply, 404, 'ImageNotFound', 'The photo wasn’t found.')
          : reply.type('image/png').send(picture)
      }),
    )
  }

  // OpenID Connect's own door: any token for Graph with openid, and its own shape of answer.
  app.get(
    '/microsoft/graph/oidc/userinfo',
    door(['openid'], ({ reply, person, scopes }) => {
      const profile = scopes.includes('profile')
      return graphAnswer(reply, {
        sub: inDirectory(person).sub,
        ...(profile
          ? {
              name: person.name,
              family_name: person.familyName,
              given_name: person.givenName,
              picture: 'https://graph.microsoft.com/v1.0/me/photo/$value',
            }
          : undefined),
        ...(scopes.includes('email') ? { email: person.email } : undefined),
      })
    }),
  )

  for (const path of [...each('/messages'), ...each('/mailFolders/:folder/messages')]) {
    app.get(
      path,
      door(readsMail, (call) => {
        const folder = paramOf(call.request, 'folder').toLowerCase()
        const kept = data.messagesOf(call.person)
        const rows = folder === '' ? kept : kept.filter((message) => message.folder === folder)
        return list(
          call,
          'messages',
          rows.map((row) => messageView(row, dependencies.url())),
          'receivedDateTime desc',
        )
      }),
    )
  }
  for (const path of each('/messages/:id')) {
    app.get(
      path,
      door(readsMail, (call) => {
        const message = data.message(call.person, paramOf(call.request, 'id'))
        return message === undefined
          ? notFound(call.reply)
          : one(call, 'messages', messageView(message, dependencies.url()))
      }),
    )
  }
  for (const path of each('/messages/:id')) {
    app.patch(
      path,
      door(['Mail.ReadWrite'], (call) => {
        const message = data.message(call.person, paramOf(call.request, 'id'))
        const body = objectOf(call.request)
        if (message === undefined) return notFound(call.reply)
        if (body === undefined) return unreadable(call.reply)
        const { isRead, importance } = body
        const changed = data.changeMessage(call.person, message, {
          ...(typeof isRead === 'boolean' ? { isRead } : undefined),
          ...(importance === 'low' || importance === 'normal' || importance === 'high'
            ? { importance }
            : undefined),
        })
        return one(call, 'messages', messageView(changed, dependencies.url()))
      }),
    )
  }
  for (const path of each('/sendMail')) {
    app.post(
      path,
      door(['Mail.Send'], ({ request, reply, person }) => {
        const message = objectOf(request)?.['message']
        if (typeof message !== 'object' || message === null) return unreadable(reply)
        const mail: Readonly<Record<string, unknown>> = { ...message }
        const to = mailboxes(mail['toRecipients'])
        const cc = mailboxes(mail['ccRecipients'])
        if (to.length + cc.length === 0) {
          return graphProblem(reply, 400, 'ErrorInvalidRecipients', 'At least one recipient is not valid.')
        }
        const { subject, importance } = mail
        data.send(person, {
          to,
          cc,
          subject: typeof subject === 'string' ? subject : '',
          body: bodyOf(mail['body']),
          importance: importance === 'high' || importance === 'low' ? importance : 'normal',
        })
        return reply.status(202).send()
      }),
    )
  }

  const zoneOf = (request: FastifyRequest) =>
    /outlook\.timezone="([^"]+)"/i.exec(String(request.headers['prefer'] ?? ''))?.[1] ?? 'UTC'
  const meetings = (call: Call, rows: readonly Meeting[]) => {
    const zone = zoneOf(call.request)
    if (wallClock(new Date(0), zone) === undefined) return badZone(call.reply, zone)
    return list(
      call,
      'events',
      rows.map((row) => meetingView(row, zone, dependencies.url())),
      'start/dateTime',
    )
  }
  for (const path of each('/events')) {
    app.get(
      path,
      door(readsCalendar, (call) => meetings(call, data.meetingsOf(call.person))),
    )
  }
  for (const path of [...each('/calendarView'), ...each('/calendar/calendarView')]) {
    app.get(
      path,
      door(readsCalendar, (call) => {
        const [from, to] = ['startDateTime', 'endDateTime'].map((name) => {
          const text = call.query.get(name) ?? ''
          return Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`)
        })
        if (from === undefined || to === undefined || Number.isNaN(from) || Number.isNaN(to)) {
          const words =
            'This request requires a time window specified by the query string parameters StartDateTime and EndDateTime.'
          return graphProblem(call.reply, 400, 'ErrorInvalidParameter', words)
        }
        return meetings(
          call,
          data
            .meetingsOf(call.person)
            .filter(({ start, end }) => Date.parse(end) > from && Date.parse(start) < to),
        )
      }),
    )
  }
  for (const path of each('/events/:id')) {
    app.get(
      path,
      door(readsCalendar, (call) => {
        const meeting = data.meeting(call.person, paramOf(call.request, 'id'))
        if (meeting === undefined) return notFound(call.reply)
        const zone = zoneOf(call.request)
        return wallClock(new Date(0), zone) === undefined
          ? badZone(call.reply, zone)
          : one(call, 'events', meetingView(meeting, zone, dependencies.url()))
      }),
    )
  }
  for (const path of [...each('/events'), ...each('/calendar/events')]) {
    app.post(
      path,
      door(['Calendars.ReadWrite'], (call) => {
        const body = objectOf(call.request)
        if (body === undefined) return unreadable(call.reply)
        const transaction = body['transactionId']
        const transactionId = typeof transaction === 'string' ? transaction : null
        // The same transaction again is answered with what it made the first time.
        const made = transactionId === null ? undefined : data.madeIn(call.person, transactionId)
        if (made !== undefined) return one(call, 'events', meetingView(made, 'UTC', dependencies.url()), 201)
        const fields = meetingFields(body)
        if (typeof fields === 'string')
          return graphProblem(call.reply, 400, 'ErrorPropertyValidationFailure', fields)
        const { start, end } = fields
        if (start === undefined || end === undefined) {
          return graphProblem(
            call.reply,
            400,
            'ErrorPropertyValidationFailure',
            'At least one property failed validation: Start and End are required.',
          )
        }
        if (end < start) return backwards(call.reply)
        const meeting = data.createMeeting(
          call.person,
          {
            subject: '',
            body: { contentType: 'text', content: '' },
            location: '',
            isAllDay: false,
            showAs: 'busy',
            attendees: [],
            ...fields,
            start,
            end,
          },
          transactionId,
        )
        return one(call, 'events', meetingView(meeting, 'UTC', dependencies.url()), 201)
      }),
    )
  }
  for (const path of each('/events/:id')) {
    app.patch(
      path,
      door(['Calendars.ReadWrite'], (call) => {
        const meeting = data.meeting(call.person, paramOf(call.request, 'id'))
        const body = objectOf(call.request)
        if (meeting === undefined) return notFound(call.reply)
        if (body === undefined) return unreadable(call.reply)
        const fields = meetingFields(body)
        if (typeof fields === 'string')
          return graphProblem(call.reply, 400, 'ErrorPropertyValidationFailure', fields)
        if ((fields.end ?? meeting.end) < (fields.start ?? meeting.start)) return backwards(call.reply)
        return one(
          call,
          'events',
          meetingView(data.changeMeeting(call.person, meeting, fields), 'UTC', dependencies.url()),
        )
      }),
    )
  }
  for (const path of each('/events/:id')) {
    app.delete(
      path,
      door(['Calendars.ReadWrite'], ({ request, reply, person }) => {
        const meeting = data.meeting(person, paramOf(request, 'id'))
        if (meeting === undefined) return notFound(reply)
        data.deleteMeeting(person, meeting)
        return reply.status(204).send()
      }),
    )
  }
}

function personNamed(name: string): Person | undefined {
  const wanted = name.toLowerCase()
  return people.find((person) => inDirectory(person).oid === wanted || person.email === wanted)
}

function notMe(reply: FastifyReply) {
  return graphProblem(
    reply,
    400,
    'BadRequest',
    '/me request is only valid with delegated authentication flow.',
  )
}

function denied(reply: FastifyReply) {
  return graphProblem(reply, 403, 'ErrorAccessDenied', 'Access is denied. Check credentials and try again.')
}

function notFound(reply: FastifyReply) {
  return graphProblem(reply, 404, 'ErrorItemNotFound', 'The specified object was not found in the store.')
}

function unreadable(reply: FastifyReply) {
  return graphProblem(
    reply,
    400,
    'BadRequest',
    'Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.',
  )
}

function backwards(reply: FastifyReply) {
  return graphProblem(
    reply,
    400,
    'ErrorCalendarEndDateIsEarlierThanStartDate',
    'Start Date must be earlier than End Date.',
  )
}

function badZone(reply: FastifyReply, zone: string) {
  return graphProblem(
    reply,
    400,
    'TimeZoneNotSupportedException',
    `A valid TimeZone value must be specified. The following TimeZone value is not supported: '${zone}'.`,
  )
}

function userView(person: Person): Readonly<Record<string, unknown>> {
  const { oid, jobTitle, officeLocation, mobilePhone } = inDirectory(person)
  return {
    businessPhones: [],
    displayName: person.name,
    givenName: person.givenName,
    jobTitle,
    mail: person.email,
    mobilePhone,
    officeLocation,
    preferredLanguage: 'en-GB',
    surname: person.familyName,
    userPrincipalName: person.email,
    id: oid,
  }
}

function recipient({ name, address }: Mailbox) {
  return { emailAddress: { name, address } }
}

function messageView(message: Message, url: string): Readonly<Record<string, unknown>> {
  return {
    '@odata.etag': `W/"${message.id.slice(8, 24)}${message.isRead ? 1 : 0}"`,
    id: message.id,
    createdDateTime: seconds(message.at),
    receivedDateTime: seconds(message.at),
    sentDateTime: seconds(message.at),
    hasAttachments: false,
    subject: message.subject,
    bodyPreview: message.body.content.slice(0, 255),
    importance: message.importance,
    parentFolderId: message.folder,
    conversationId: message.conversationId,
    isRead: message.isRead,
    isDraft: message.folder === 'drafts',
    webLink: `${url}/microsoft/owa/?ItemID=${encodeURIComponent(message.id)}`,
    body: message.body,
    sender: recipient(message.from),
    from: recipient(message.from),
    toRecipients: message.to.map(recipient),
    ccRecipients: message.cc.map(recipient),
  }
}

function meetingView(meeting: Meeting, zone: string, url: string): Readonly<Record<string, unknown>> {
  const time = (at: string) => ({
    dateTime: `${wallClock(new Date(at), zone) ?? at.slice(0, 19)}.0000000`,
    timeZone: zone,
  })
  return {
    '@odata.etag': `W/"${Buffer.from(meeting.updated).toString('base64url')}"`,
    id: meeting.id,
    createdDateTime: seconds(meeting.created),
    lastModifiedDateTime: seconds(meeting.updated),
    transactionId: meeting.transactionId,
    subject: meeting.subject,
    bodyPreview: meeting.body.content.slice(0, 255),
    body: meeting.body,
    importance: 'normal',
    isAllDay: meeting.isAllDay,
    isCancelled: meeting.isCancelled,
    isOrganizer: people.some(
      ({ key, email }) => key === meeting.calendar && email === meeting.organizer.address,
    ),
    showAs: meeting.showAs,
    type: 'singleInstance',
    webLink: `${url}/microsoft/owa/?itemid=${encodeURIComponent(meeting.id)}`,
    start: time(meeting.start),
    end: time(meeting.end),
    location: { displayName: meeting.location, locationType: 'default' },
    organizer: recipient(meeting.organizer),
    attendees: meeting.attendees.map((each) => ({
      type: 'required',
      status: { response: 'none', time: '0001-01-01T00:00:00Z' },
      ...recipient(each),
    })),
  }
}

function seconds(at: string): string {
  return `${at.slice(0, 19)}Z`
}

/** The fields a body sets; a sentence where one is malformed. */
function meetingFields(body: Readonly<Record<string, unknown>>): Partial<MeetingFields> | string {
  const { subject, isAllDay, showAs, location, attendees } = body
  const start = timeFrom(body['start'])
  const end = timeFrom(body['end'])
  if ('start' in body && start === undefined) return 'At least one property failed validation: Start.'
  if ('end' in body && end === undefined) return 'At least one property failed validation: End.'
  const place: unknown =
    typeof location === 'object' && location !== null ? Reflect.get(location, 'displayName') : undefined
  return {
    ...(typeof subject === 'string' ? { subject } : undefined),
    ...('body' in body ? { body: bodyOf(body['body']) } : undefined),
    ...(typeof place === 'string' ? { location: place } : undefined),
    ...(start === undefined ? undefined : { start }),
    ...(end === undefined ? undefined : { end }),
    ...(typeof isAllDay === 'boolean' ? { isAllDay } : undefined),
    ...(typeof showAs === 'string' ? { showAs } : undefined),
    ...(attendees === undefined ? undefined : { attendees: mailboxes(attendees) }),
  }
}

/** `{dateTime, timeZone}` as UTC: a wall clock in that zone, or a moment that names its own offset. */
function timeFrom(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const dateTime: unknown = Reflect.get(value, 'dateTime')
  const zone: unknown = Reflect.get(value, 'timeZone')
  if (typeof dateTime !== 'string' || Number.isNaN(Date.parse(dateTime))) return undefined
  if (/(Z|[+-]\d\d:\d\d)$/.test(dateTime)) return new Date(dateTime).toISOString()
  const resolved = inZone(dateTime.replace(/\.\d+$/, ''), typeof zone === 'string' ? zone : 'UTC')
  return resolved === undefined ? undefined : new Date(resolved).toISOString()
}

function bodyOf(value: unknown): Message['body'] {
  const content: unknown =
    typeof value === 'object' && value !== null ? Reflect.get(value, 'content') : undefined
  const type: unknown =
    typeof value === 'object' && value !== null ? Reflect.get(value, 'contentType') : undefined
  return {
    contentType: String(type).toLowerCase() === 'html' ? 'html' : 'text',
    content: typeof content === 'string' ? content : '',
  }
}

function mailboxes(value: unknown): Mailbox[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((each: unknown) => {
    const email: unknown =
      typeof each === 'object' && each !== null ? Reflect.get(each, 'emailAddress') : undefined
    if (typeof email !== 'object' || email === null) return []
    const address: unknown = Reflect.get(email, 'address')
    const name: unknown = Reflect.get(email, 'name')
    if (typeof address !== 'string') return []
    return [{ address, name: typeof name === 'string' ? name : address }]
  })
}
