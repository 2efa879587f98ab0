import type { Problem } from '@atom/contract/errors.ts'
import type { Room } from '@atom/contract/rooms.ts'
import { createGuards } from '#access/guarded-route.ts'
import { OpenStreams } from '#access/open-streams.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import { systemClock } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'
import { HttpServer } from '#http/server.ts'
import { roomStreamRoutes } from '#realtime/room-stream-routes.ts'
import { RoomStreams } from '#realtime/room-streams.ts'
import { roomRoutes } from '#rooms/room-routes.ts'
import { type Live, type LiveOptions, somebody, startLive } from './live.ts'
import { testDatabase, testLog } from './postgres.ts'

export interface Answered<T> {
  readonly status: number
  readonly body: T
}

/** One person at the HTTP door. */
export interface Caller {
  readonly me: AccountPrincipal
  readonly token: string
  call<T = Problem>(method: string, path: string, body?: object): Promise<Answered<T>>
  /** The code of the refusal; what was let through fails the test. */
  refused(method: string, path: string, body?: object): Promise<string>
  room(body: object): Promise<Room>
  say(roomId: string, text: string, more?: object): Promise<number>
}

export interface RoomHouse extends AsyncDisposable {
  readonly live: Live
  readonly url: string
  readonly database: Database
  readonly streams: OpenStreams
  readonly agent: AccountPrincipal
  person(name: string): Promise<Caller>
}

/** Rooms with both their doors, as `app.ts` puts them together; people arrive as they are named. */
export async function startRoomHouse(
  options: LiveOptions & { readonly streamsPerAccount?: number } = {},
): Promise<RoomHouse> {
  await using born = new AsyncDisposableStack()
  const own = born.use(await testDatabase())
  const agent = somebody(undefined, 'Atom')
  const people: AccountPrincipal[] = [agent]
  const live = born.use(await startLive(own.database, { people, ...options }))
  const http = born.use(new HttpServer({ log: testLog }))
  const { guard, guardEvents } = createGuards({ http, tokens: live.tokens, log: testLog })
  roomRoutes(guard, { ...live, companions: async () => [{ kind: 'agent', id: agent.id }] })
  const { streamsPerAccount: perAccount } = options
  const streams = born.use(
    new OpenStreams({
      revocations: live.revocations,
      clock: systemClock,
      ...(perAccount !== undefined && { perAccount }),
    }),
  )
  const drafts = { open: () => [] }
  const roomStreams = born.use(new RoomStreams({ ...live, drafts, streams, log: testLog }))
  roomStreamRoutes(guardEvents, { roomStreams })
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  const alive = born.move()
  let count = 0
  return {
    live,
    url,
    database: own.database,
    streams,
    agent,
    person: async (name) => {
      const me = somebody(agent.workspaceId, name)
      people.push(me)
      const token = await live.token(me)
      const call = async <T>(method: string, path: string, body?: object): Promise<Answered<T>> => {
        const answer = await fetch(`${url}${path}`, {
          method,
          headers: {
            authorization: `Bearer ${token}`,
            ...(body !== undefined && { 'content-type': 'application/json' }),
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        })
        const text = await answer.text()
        return { status: answer.status, body: (text === '' ? null : JSON.parse(text)) as T }
      }
      return {
        me,
        token,
        call,
        refused: async (method, path, body) => {
          const answer = await call<Problem>(method, path, body)
          if (answer.status < 400) throw new Error(`${method} ${path} was let through: ${answer.status}`)
          return answer.body.code
        },
        room: async (body) => {
          const answer = await call<Room>('POST', '/v1/rooms', body)
          if (answer.status >= 300) throw new Error(JSON.stringify(answer.body))
          return answer.body
        },
        say: async (roomId, text, more = {}) => {
          const clientId = `client-${++count}-of-the-test`
          const answer = await call<{ seq: number }>('POST', `/v1/rooms/${roomId}/messages`, {
            clientId,
            text,
            ...more,
          })
          if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
          return answer.body.seq
        },
      }
    },
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}
