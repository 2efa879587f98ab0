import { setTimeout as delay } from 'node:timers/promises'
import { accountRoutes, type SignedIn } from '@atom/contract/accounts.ts'
import { type Room as RoomDescription, roomRoutes } from '@atom/contract/rooms.ts'
import sql from 'sql-template-tag'
import type { Cluster } from './cluster.ts'
import { setupToken } from './cluster.ts'
import type { Cast } from './schedule.ts'

/** A room as the run names it. */
export interface ChaosRoom {
  /** `R3` */
  readonly name: string
  readonly id: string
  readonly epoch: string
  /** Who answers there when it is named; undefined: people only talk. */
  readonly agentId: string | undefined
}

export const password = 'nine loud herons argue'
const answerWithinMs = 8_000
const setupWithinMs = 90_000
/** A token that has less than this left is renewed before it is used. */
const marginMs = 20_000

export interface HttpAnswer {
  readonly status: number
  readonly body: { readonly code?: string } & Readonly<Record<string, unknown>>
}

/** Somebody with an account, using nothing but `fetch`. */
export class Person {
  /** `A3` */
  readonly name: string
  readonly email: string
  readonly id: string
  #accessToken: string
  #refreshToken: string
  #expiresAt: number
  #renewing: Promise<void> | undefined

  constructor(name: string, signedIn: SignedIn) {
    this.name = name
    this.email = signedIn.account.email
    this.id = signedIn.account.id
    this.#accessToken = signedIn.accessToken
    this.#refreshToken = signedIn.refreshToken ?? ''
    this.#expiresAt = Date.now() + signedIn.expiresIn * 1_000
  }

  /** A token with some time left; the old one where a new one could not be had just now. */
  async token(url: string): Promise<string> {
    if (this.#expiresAt - Date.now() < marginMs) await this.renew(url)
    return this.#accessToken
  }

  /** One at a time, because a refresh token is used once. */
  async renew(url: string): Promise<void> {
    this.#renewing ??= this.#renew(url).finally(() => {
      this.#renewing = undefined
    })
    await this.#renewing
  }

  /** Undefined: nobody answered. */
  async call(url: string, method: string, path: string, body?: object): Promise<HttpAnswer | undefined> {
    return await send(url, method, path, await this.token(url), body)
  }

  async #renew(url: string): Promise<void> {
    const answer = await send(url, 'POST', accountRoutes.refresh.path, undefined, {
      refreshToken: this.#refreshToken,
    })
    // Without an answer the old pair stays: a spent refresh token names its successor for half a minute.
    if (answer?.status !== 200) return
    const signedIn = answer.body as unknown as SignedIn
    this.#accessToken = signedIn.accessToken
    this.#refreshToken = signedIn.refreshToken ?? this.#refreshToken
    this.#expiresAt = Date.now() + signedIn.expiresIn * 1_000
  }
}

async function send(
  url: string,
  method: string,
  path: string,
  token: string | undefined,
  body: object | undefined,
  withinMs: number = answerWithinMs,
): Promise<HttpAnswer | undefined> {
  try {
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(withinMs),
    })
    const text = await answer.text()
    return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as HttpAnswer['body'] }
  } catch {
    // The network of this test is meant to fail; whoever asked asks again.
    return undefined
  }
}

/** The same, for the time before anything may fail. */
async function must(
  url: string,
  method: string,
  path: string,
  token: string | undefined,
  body?: object,
): Promise<HttpAnswer['body']> {
  for (;;) {
    // Not asked twice while the first one may still take effect: an invitation is good once.
    const answer = await send(url, method, path, token, body, setupWithinMs)
    if (answer !== undefined && answer.status < 300) return answer.body
    // Passwords are hashed a few at a time, so a slow machine is busy for a while.
    if (answer?.status !== 503 && answer?.status !== 429) {
      throw new Error(`${method} ${path}: ${answer?.status} ${JSON.stringify(answer?.body)}`)
    }
    await delay(250)
  }
}

/** Sets the installation up: everybody of the cast with their account, and the rooms with who is in them at the beginning. */
export async function populate(
  cluster: Cluster,
  cast: Cast,
): Promise<{ readonly people: readonly Person[]; readonly rooms: readonly ChaosRoom[] }> {
  const url = cluster.nodes[0]?.atom.url ?? ''
  const owner = (await must(url, 'POST', accountRoutes.setup.path, undefined, {
    token: setupToken,
    email: 'a0@example.com',
    password,
    name: 'A0',
    workspace: 'Chaos',
  })) as unknown as SignedIn
  const others = Array.from({ length: cast.accounts - 1 }, async (_, at) => {
    const name = `A${at + 1}`
    const email = `a${at + 1}@example.com`
    const invited = await must(url, 'POST', accountRoutes.invite.path, owner.accessToken, {
      email,
      role: 'member',
    })
    const token = String(invited['url']).split('token=')[1]
    const joined = await must(url, 'POST', accountRoutes.acceptInvitation.path, undefined, {
      token,
      name,
      password,
    })
    return new Person(name, joined as unknown as SignedIn)
  })
  const people = [new Person('A0', owner), ...(await Promise.all(others))]
  const rooms: ChaosRoom[] = []
  for (const [at, { members, agent }] of cast.rooms.entries()) {
    const [first, ...others] = members.flatMap((member) => people[member] ?? [])
    if (first === undefined) throw new Error('a room needs somebody')
    const token = await first.token(url)
    const room = (await must(url, 'POST', roomRoutes.createRoom.path, token, {
      name: `R${at}`,
    })) as unknown as RoomDescription
    // An agent answers everything that is said. Where people only talk that would be all that ever happens.
    if (!agent) {
      await cluster.database.query(
        sql`update room_members set left_at = now() where room_id = ${room.id} and kind = 'agent'`,
      )
    }
    for (const { id } of others) {
      await must(url, 'POST', roomRoutes.addMember.path.replace('{id}', room.id), token, {
        kind: 'account',
        id,
      })
    }
    const agentId = agent ? room.members.find(({ kind }) => kind === 'agent')?.id : undefined
    if (agent && agentId === undefined) throw new Error('a new room has no agent')
    rooms.push({ name: `R${at}`, id: room.id, epoch: room.epoch, agentId })
  }
  return { people, rooms }
}
