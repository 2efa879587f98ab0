import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { accountRoutes } from '@atom/contract/accounts.ts'
import type { Member } from '@atom/contract/rooms.ts'
import { AtomClient, memoryStorage, type Room } from '../src/atom-client.ts'
import { AtomClientError } from '../src/atom-client-error.ts'
import { Progress } from '../src/message-progress.ts'
import { Reconnect } from '../src/realtime/reconnect.ts'
import type { Happening, Surroundings } from '../src/surroundings.ts'
import { Line } from './support/line.ts'
import { RunningServer, setupToken } from './support/running-server.ts'
import { sharedTabs } from './support/shared-tabs.ts'
import { until } from './support/until.ts'

const ada = { email: 'ada@example.org', password: 'correct horse battery staple' }
const bob = { email: 'bob@example.org', password: 'correct horse battery staple' }

/** A page that can be looked away from. */
class Looked implements Surroundings {
  readonly #heard = new Set<(happening: Happening) => void>()

  online(): boolean {
    return true
  }

  watch(heard: (happening: Happening) => void): () => void {
    this.#heard.add(heard)
    return () => this.#heard.delete(heard)
  }

  happens(happening: Happening): void {
    for (const heard of this.#heard) heard(happening)
  }
}

let server: RunningServer
let line: Line
let bobId: string

async function signedIn(who: typeof ada, more: object = {}): Promise<AtomClient> {
  const client = new AtomClient({
    baseUrl: line.url,
    reconnect: () => new Reconnect({ random: () => Math.random() * 0.1 }),
    ...more,
  })
  await client.session.login(who)
  return client
}

const stateIn = (client: AtomClient, roomId: string, id: string) =>
  client.presence.getSnapshot().rooms.get(roomId)?.get(id)

/** How far a message of mine has come, as the room shows it. */
async function comes(room: Room, seq: number, state: string): Promise<void> {
  await until(room, ({ events, progress }) => {
    const message = events.find((event) => event.seq === seq)
    return message !== undefined && progress.of(message).state === state
  })
}

suite('people, at the real server', { concurrency: false, timeout: 180_000 }, () => {
  before(async () => {
    server = await RunningServer.open()
    line = await Line.to(server.port)
    using first = new AtomClient({ baseUrl: server.url })
    await first.session.setup({ ...ada, token: setupToken, name: 'Ada', workspace: 'Analytical' })
    const { url } = await first.call(accountRoutes.invite, { body: { email: bob.email, role: 'member' } })
    using second = new AtomClient({ baseUrl: server.url })
    const token = new URLSearchParams(new URL(url).hash.slice(1)).get('token') ?? ''
    const me = await second.session.acceptInvitation({ token, name: 'Bob', password: bob.password })
    bobId = me.account.id
  })

  after(async () => {
    await line[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  test('[CL100] a room or direct room that somebody puts me in is in my list at once, also after an absence; one that I am taken out of leaves it', async () => {
    using mine = await signedIn(ada)
    using his = await signedIn(bob)
    using _ = his.rooms.follow()
    await his.rooms.list()
    await until(his.realtime, ({ state }) => state === 'connected')
    const lists = (id: string, listed: boolean) =>
      until(his.rooms, ({ items }) => items.some((room) => room.id === id) === listed)
    const { id } = await mine.rooms.create({ name: 'Lab', members: [{ kind: 'account', id: bobId }] })
    await lists(id, true)
    const direct = await mine.rooms.direct({ kind: 'account', id: bobId })
    await lists(direct.id, true)
    // It is heard from then on.
    await mine.rooms.room(direct.id).send('hello')
    await until(his.rooms, ({ items }) => items.some((room) => room.id === direct.id && room.unread === 1))
    await mine.rooms.room(id).rename('Laboratory')
    await until(his.rooms, ({ items }) => items.some(({ name }) => name === 'Laboratory'))
    await mine.rooms.room(id).setRole(bobId, 'admin')
    await until(his.rooms, ({ items }) => items.some((room) => room.id === id && room.role === 'admin'))
    await mine.rooms.room(id).removeMember(bobId)
    await lists(id, false)
    line.cut()
    await until(his.realtime, ({ state }) => state === 'suspended')
    using elsewhere = new AtomClient({ baseUrl: server.url })
    await elsewhere.session.login(ada)
    const later = await elsewhere.rooms.create({ name: 'Later', members: [{ kind: 'account', id: bobId }] })
    line.mend()
    await lists(later.id, true)
  })

  test('[RT171] whoever is taken out of a room that they look at and added again is in it, also where the question why they were out is answered last', async () => {
    using mine = await signedIn(ada)
    const { id } = await mine.rooms.create({ name: 'In and out', members: [{ kind: 'account', id: bobId }] })
    // What is asked of the room waits here while it is closed.
    let gate: Promise<void> | undefined
    using his = await signedIn(bob, {
      fetch: async (input: string | URL | Request, init?: RequestInit) => {
        const answer = await fetch(input, init)
        if (String(input).endsWith(`/v1/rooms/${id}`)) await gate
        return answer
      },
    })
    using _ = his.rooms.follow()
    await his.rooms.list()
    const room = his.rooms.room(id)
    using _page = room.open()
    await until(room, ({ state, description }) => state === 'live' && description !== undefined)
    const words: string[] = []
    his.realtime.listen({
      frame: ({ name, body }) => {
        if ((name === 'room.left' || name === 'room.added') && body.roomId === id) words.push(name)
      },
    })
    const hears = async (word: string) => {
      while (words.at(-1) !== word) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const { promise, resolve: open } = Promise.withResolvers<void>()
    gate = promise
    await mine.rooms.room(id).removeMember(bobId)
    await hears('room.left')
    await mine.rooms.room(id).addMember({ kind: 'account', id: bobId })
    await hears('room.added')
    gate = undefined
    open()
    const { seq } = await mine.rooms.room(id).send('welcome back')
    await until(room, ({ events, left }) => left === undefined && events.some((event) => event.seq === seq))
    await until(his.rooms, ({ items }) => items.some((item) => item.id === id && item.head >= seq))
    // And the other way round: in, and out before it could be looked at.
    await mine.rooms.room(id).removeMember(bobId)
    await hears('room.left')
    await until(room, ({ left }) => left === 'removed')
    const { promise: again, resolve: openAgain } = Promise.withResolvers<void>()
    gate = again
    await mine.rooms.room(id).addMember({ kind: 'account', id: bobId })
    await hears('room.added')
    await mine.rooms.room(id).removeMember(bobId)
    await hears('room.left')
    gate = undefined
    openAgain()
    await until(his.rooms, ({ items }) => !items.some((item) => item.id === id))
    await until(room, ({ left }) => left === 'removed')
  })

  test('[RT174] what is pinned is asked for until there is an answer, for as long as the room is looked at', async () => {
    using mine = await signedIn(ada)
    const { id } = await mine.rooms.create({ name: 'Pins', members: [{ kind: 'account', id: bobId }] })
    const { seq } = await mine.rooms.room(id).send('pin me')
    let lost = 0
    using his = await signedIn(bob, {
      fetch: async (input: string | URL | Request, init?: RequestInit) => {
        const answer = await fetch(input, init)
        // The answer says what is pinned, and is lost on its way.
        if (!String(input).endsWith(`/v1/rooms/${id}/pins`) || lost >= 2) return answer
        if ((await answer.clone().text()).includes('pin me')) lost += 1
        throw new TypeError('the line broke')
      },
    })
    const room = his.rooms.room(id)
    using _page = room.open()
    await until(room, ({ state }) => state === 'live')
    await mine.rooms.room(id).pinMessage(seq)
    await until(room, ({ pinned }) => pinned.has(seq))
    if (lost !== 2) throw new Error(`${lost} answers were lost`)
  })

  test('[RT185] who is in a room is asked for until there is an answer, and an answer that is older than what was heard takes nothing back', async () => {
    using mine = await signedIn(ada)
    const { id } = await mine.rooms.create({ name: 'Members', members: [{ kind: 'account', id: bobId }] })
    const [agent] = await mine.agents.list()
    assert.ok(agent !== undefined)
    let lost = 0
    let late: Promise<void> | undefined
    using his = await signedIn(bob, {
      fetch: async (input: string | URL | Request, init?: RequestInit) => {
        const answer = await fetch(input, init)
        if (!String(input).endsWith(`/v1/rooms/${id}`)) return answer
        if (lost < 2 && (await answer.clone().text()).includes(agent.id)) {
          lost += 1
          throw new TypeError('the line broke')
        }
        await late
        return answer
      },
    })
    const room = his.rooms.room(id)
    using _page = room.open()
    await until(room, ({ state, description }) => state === 'live' && description !== undefined)
    await mine.rooms.room(id).addMember({ kind: 'agent', id: agent.id })
    await until(room, ({ description }) => description?.members.some((one) => one.id === agent.id) ?? false)
    assert.equal(lost, 2)
    const { promise, resolve: arrive } = Promise.withResolvers<void>()
    late = promise
    const looked = room.look()
    await mine.rooms.room(id).rename('Renamed meanwhile')
    const { seq } = await mine.rooms.room(id).send('said meanwhile')
    await until(room, ({ events }) => events.some((event) => event.seq === seq))
    arrive()
    await looked
    const { description } = room.getSnapshot()
    assert.deepEqual(
      [description?.name, description?.head, description?.unread],
      ['Renamed meanwhile', seq, 1],
    )
  })

  test('[CL121] a room that was opened before the list was there is heard by the list when its page is left', async () => {
    using mine = await signedIn(ada)
    const { id } = await mine.rooms.direct({ kind: 'account', id: bobId })
    using his = await signedIn(bob)
    const there = his.rooms.room(id)
    const page = there.open()
    await until(there, ({ state }) => state === 'live')
    using _ = his.rooms.follow()
    const hears = async (speaker: AtomClient, roomId: string) => {
      const { seq } = await speaker.rooms.room(roomId).send('heard by the list')
      await until(his.rooms, ({ items }) => items.some((room) => room.id === roomId && room.head >= seq))
    }
    // Once it hears all the others the list is done with joining: this one it has left out, because its page was open.
    for (const room of await his.rooms.list()) if (room.id !== id) await hears(his, room.id)
    page[Symbol.dispose]()
    await hears(mine, id)
  })

  test('[CL150] a room that could not be joined just now is joined a moment later, and keeps no other one waiting for ever', async () => {
    using his = await signedIn(bob)
    for (const name of ['Left', 'Middle', 'Right']) await his.rooms.create({ name, members: [] })
    his.realtime.need()
    await until(his.realtime, ({ state }) => state === 'connected')
    const request = his.realtime.request.bind(his.realtime)
    let refusals = 2
    his.realtime.request = async (name, body, withinMs) => {
      if (name === 'room.join' && refusals-- > 0)
        throw new AtomClientError(refusals === 1 ? 'busy' : 'timeout')
      return await request(name, body, withinMs)
    }
    using _ = his.rooms.follow()
    const rooms = await his.rooms.list()
    assert.ok(rooms.length > 2)
    // From his other device, which is in all of them.
    using also = await signedIn(bob)
    for (const room of rooms) {
      const { seq } = await also.rooms.room(room.id).send('heard by the list')
      await until(his.rooms, ({ items }) => items.some((each) => each.id === room.id && each.head >= seq))
    }
    assert.ok(refusals < 0)
  })

  test('[CL101] a message of mine is committed, then delivered, then read, by all of the others', async () => {
    using mine = await signedIn(ada)
    const { id } = await mine.rooms.direct({ kind: 'account', id: bobId })
    const room = mine.rooms.room(id)
    using _ = room.open()
    const { seq } = await room.send('are you there?')
    await comes(room, seq, 'committed')
    // His list of rooms is enough to have it.
    using his = await signedIn(bob)
    using __ = his.rooms.follow()
    await his.rooms.list()
    await until(his.rooms, ({ items }) => items.some((each) => each.id === id && each.head >= seq))
    const { seq: next } = await room.send('now?')
    await comes(room, next, 'delivered')
    await comes(room, seq, 'delivered')
    const there = his.rooms.room(id)
    using ___ = there.open()
    await until(there, ({ head, state }) => head >= next && state === 'live')
    there.markRead(seq)
    await comes(room, seq, 'read')
    await comes(room, next, 'delivered')
    const { events, progress } = room.getSnapshot()
    const message = events.find((event) => event.seq === seq)
    assert.ok(message !== undefined)
    assert.deepEqual(
      [progress.of(message).readBy.map(({ id: reader }) => reader), progress.of(message).of],
      [[bobId], 1],
    )
  })

  test('[CL102] who is there is known in the rooms that are looked at, and looking away is told', async () => {
    using mine = await signedIn(ada)
    const { id } = await mine.rooms.direct({ kind: 'account', id: bobId })
    using _ = mine.rooms.room(id).open()
    await until(mine.realtime, ({ state }) => state === 'connected')
    assert.equal(mine.presence.getSnapshot().rooms.has(id), false, 'nobody looks')
    const looking = mine.presence.watch([id])
    await until(mine.presence, ({ rooms }) => rooms.has(id))
    const page = new Looked()
    const his = await signedIn(bob, { surroundings: page })
    using __ = his.rooms.follow()
    await until(mine.presence, () => stateIn(mine, id, bobId) === 'active')
    page.happens('hidden')
    await until(mine.presence, () => stateIn(mine, id, bobId) === 'away')
    page.happens('visible')
    await until(mine.presence, () => stateIn(mine, id, bobId) === 'active')
    // Without a line nothing is known, and with the next one it is again.
    line.cut()
    await until(mine.presence, ({ rooms }) => rooms.size === 0)
    line.mend()
    await until(mine.presence, () => stateIn(mine, id, bobId) === 'active', 20_000)
    his.close()
    await until(mine.presence, ({ rooms }) => rooms.has(id) && stateIn(mine, id, bobId) === undefined, 25_000)
    looking[Symbol.dispose]()
    await until(mine.presence, ({ rooms }) => !rooms.has(id))
  })

  test('[CL103] tabs of one browser ask once for all that they show, each is answered with its own, and a person looks away when they do so from every tab', async () => {
    const shared = sharedTabs()
    const storage = memoryStorage()
    const pages = [new Looked(), new Looked()] as const
    const open = (page: Looked) => signedIn(ada, { tabs: shared.openLeading(), storage, surroundings: page })
    using one = await open(pages[0])
    const direct = (await one.rooms.direct({ kind: 'account', id: bobId })).id
    const group = (await one.rooms.create({ name: 'Tabs', members: [{ kind: 'account', id: bobId }] })).id
    one.realtime.need()
    await until(one.realtime, ({ state }) => state === 'connected')
    const two = await open(pages[1])
    two.realtime.need()
    await until(two.realtime, ({ state }) => state === 'connected')
    const me = one.session.me?.account.id ?? ''
    using his = await signedIn(bob)
    using _ = his.rooms.follow()
    using __ = his.presence.watch([group])
    using ___ = one.presence.watch([direct])
    const there = two.presence.watch([group])
    await until(one.presence, () => stateIn(one, direct, bobId) === 'active')
    await until(two.presence, () => stateIn(two, group, bobId) === 'active')
    assert.deepEqual([...one.presence.getSnapshot().rooms.keys()], [direct])
    assert.deepEqual([...two.presence.getSnapshot().rooms.keys()], [group])

    await until(his.presence, () => stateIn(his, group, me) === 'active')
    pages[0].happens('hidden')
    pages[1].happens('hidden')
    await until(his.presence, () => stateIn(his, group, me) === 'away')
    pages[1].happens('visible')
    await until(his.presence, () => stateIn(his, group, me) === 'active')
    // The one that looks is closed: the other one does not.
    there[Symbol.dispose]()
    two.close()
    await until(his.presence, () => stateIn(his, group, me) === 'away')
    assert.equal(stateIn(one, direct, bobId), 'active')
  })
})

test('[CL101] who came later has read nothing of what was said before, and agents are not waited for', () => {
  const at = (second: number) => new Date(1_800_000_000_000 + second * 1_000).toISOString()
  const member = (id: string, more: Partial<Member>): Member => ({
    kind: 'account',
    id,
    name: id,
    role: 'member',
    joinedAt: at(0),
    readSeq: 0,
    deliveredSeq: 0,
    ...more,
  })
  const message = { seq: 5, at: at(10) }
  const of = (...others: Member[]) =>
    new Progress([member('me', { readSeq: 9 }), ...others], 'me').of(message)
  const late = member('late', { joinedAt: at(20), readSeq: 9, deliveredSeq: 9 })
  const agent = member('agent', { kind: 'agent' })
  assert.deepEqual([of(late, agent).state, of(late, agent).of], ['committed', 0])
  const has = member('has', { deliveredSeq: 5 })
  const read = member('read', { readSeq: 5 })
  assert.equal(of(has, read, agent, late).state, 'delivered')
  assert.deepEqual(
    [of(has, read).deliveredTo.length, of(has, read).readBy.length, of(has, read).of],
    [2, 1, 2],
  )
  assert.equal(of(read, late).state, 'read')
  assert.equal(of(read, member('away', {})).state, 'committed')
})
