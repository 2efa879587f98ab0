import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { AtomClient, memoryStorage, type Room } from '../src/atom-client.ts'
import { Reconnect } from '../src/realtime/reconnect.ts'
import type { Happening, Surroundings } from '../src/surroundings.ts'
import { Line } from './support/line.ts'
import { RunningServer, setupToken } from './support/running-server.ts'
import { type Fate, sharedTabs } from './support/shared-tabs.ts'
import { eventually, until } from './support/until.ts'

const ada = { email: 'ada@example.org', password: 'correct horse battery staple' }

let server: RunningServer
/** The way to it, on which sockets can be counted. */
let line: Line

function texts(room: Room): string[] {
  return room.getSnapshot().events.flatMap((event) => (event.type === 'message.created' ? [event.text] : []))
}

interface Tab extends Fate, Disposable {
  readonly atom: AtomClient
  readonly room: Room
  happens(happening: Happening): void
}

/** A browser with as many tabs, all of which show one room; the first one leads. */
async function browser(
  count: number,
): Promise<{ tabs: Tab[]; openTab(options?: { readonly lockAfterMs: number }): Promise<Tab> }> {
  const shared = sharedTabs()
  const storage = memoryStorage()
  const credentials: { id?: string } = {}
  const openTab = async (options?: { readonly lockAfterMs: number }): Promise<Tab> => {
    const own = shared.openLeading(options)
    const heard = new Set<(happening: Happening) => void>()
    const surroundings: Surroundings = {
      online: () => true,
      watch: (listener) => {
        heard.add(listener)
        return () => heard.delete(listener)
      },
    }
    const atom = new AtomClient({
      baseUrl: line.url,
      tabs: own,
      storage,
      surroundings,
      reconnect: () => new Reconnect({ random: () => Math.random() * 0.1 }),
    })
    await atom.session.login(ada)
    credentials.id ??= (await atom.rooms.create('Tabs')).id
    const room = atom.rooms.room(credentials.id)
    room.open()
    await until(room, ({ state }) => state === 'live')
    return {
      atom,
      room,
      freeze: own.freeze,
      thaw: own.thaw,
      crash: own.crash,
      happens: (happening) => {
        for (const listener of heard) listener(happening)
      },
      [Symbol.dispose]: () => atom.close(),
    }
  }
  const tabs: Tab[] = []
  for (let index = 0; index < count; index++) tabs.push(await openTab())
  return { tabs, openTab }
}

/** All tabs show the same, whole and in order. */
async function assertAgree(tabs: readonly Tab[], expected: readonly string[]): Promise<void> {
  for (const { room } of tabs) {
    await until(room, ({ state, outgoing }) => state === 'live' && outgoing.length === 0, 20_000)
    await eventually(() => texts(room).length >= expected.length)
    assert.deepEqual(texts(room).toSorted(), expected.toSorted())
    const { events, loadedFrom } = room.getSnapshot()
    assert.deepEqual(
      events.map(({ seq }) => seq),
      events.map((_, index) => loadedFrom + index),
    )
    assert.deepEqual(texts(room), texts(tabs[0]?.room as Room))
  }
}

/** All of them, as the server has them. */
const untilSockets = (count: number) => eventually(() => line.sockets === count, 15_000)

suite('one socket for all tabs, at the real server', { concurrency: false, timeout: 240_000 }, () => {
  before(async () => {
    server = await RunningServer.open()
    line = await Line.to(server.port)
    using atom = new AtomClient({ baseUrl: server.url })
    await atom.session.setup({ ...ada, token: setupToken, name: 'Ada', workspace: 'Analytical' })
  })

  after(async () => {
    await line[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  test('[CL70] three tabs have one socket, and each sends, hears, types and knows the state', async () => {
    const { tabs } = await browser(3)
    const [one, two, three] = tabs as [Tab, Tab, Tab]
    await untilSockets(1)
    const sent = await Promise.all(tabs.map(({ room }, index) => room.send(`from ${index}`)))
    assert.equal(new Set(sent.map(({ seq }) => seq)).size, 3)
    await assertAgree(tabs, ['from 0', 'from 1', 'from 2'])
    for (const { atom } of tabs) {
      assert.equal(atom.realtime.getSnapshot().state, 'connected')
      assert.equal(atom.realtime.getSnapshot().pendingCount, 0)
    }
    assert.deepEqual(
      tabs.map(({ atom }) => atom.realtime.leads),
      [true, false, false],
    )
    // A room that only one of the others shows is left when it is closed there, and only then.
    const other = await two.atom.rooms.create('Another')
    const there = two.atom.rooms.room(other.id).open()
    const also = three.atom.rooms.room(other.id)
    const too = also.open()
    await until(also, ({ state }) => state === 'live')
    there[Symbol.dispose]()
    const { seq } = await one.atom.rooms.room(other.id).send('still heard')
    await until(also, ({ head, state }) => state === 'live' && head >= seq)
    too[Symbol.dispose]()
    for (const tab of tabs) tab[Symbol.dispose]()
    await untilSockets(0)
  })

  test('[CL71] the leading tab ends: another has the socket within a moment, and what was on its way is neither lost nor doubled', async () => {
    const { tabs } = await browser(3)
    const expected: string[] = []
    for (let round = 0; round < 2; round++) {
      const alive = tabs.slice(round)
      const sending = alive.flatMap((tab, index) =>
        Array.from({ length: 10 }, (_, each) => {
          const text = `${round}.${index}.${each}`
          expected.push(text)
          return tab.room.send(text)
        }),
      )
      // In the middle of it, without a word: its own promises are nobody's any more.
      await new Promise((resolve) => setTimeout(resolve, 15))
      const [leader, ...others] = alive as [Tab, ...Tab[]]
      assert.equal(leader.atom.realtime.leads, true)
      for (const promise of sending.slice(0, 10)) promise.catch(() => undefined)
      leader.crash()
      const began = performance.now()
      leader.atom.realtime.close()
      await Promise.all(sending.slice(10))
      await eventually(() => others.filter(({ atom }) => atom.realtime.leads).length === 1)
      for (const { atom } of others) await until(atom.realtime, ({ state }) => state === 'connected')
      assert.ok(performance.now() - began < 10_000)
      await assertAgree(others, expected)
      await untilSockets(1)
    }
    for (const tab of tabs) tab[Symbol.dispose]()
    await untilSockets(0)
  })

  test('[CL72] a leading tab that hangs loses the lead, and is one of the others when it wakes', async () => {
    const { tabs } = await browser(3)
    const [hung, ...others] = tabs as [Tab, ...Tab[]]
    await hung.room.send('before')
    hung.freeze()
    const sending = Promise.all(others.map(({ room }, index) => room.send(`meanwhile ${index}`)))
    await sending
    // The socket of the same device gives way: the server never has two for long.
    await untilSockets(1)
    assert.equal(others.filter(({ atom }) => atom.realtime.leads).length, 1)
    hung.thaw()
    await eventually(() => !hung.atom.realtime.leads)
    await until(hung.atom.realtime, ({ state }) => state === 'connected', 20_000)
    await hung.room.send('awake')
    await assertAgree(tabs, ['before', 'meanwhile 0', 'meanwhile 1', 'awake'])
    await untilSockets(1)
    for (const tab of tabs) tab[Symbol.dispose]()
    await untilSockets(0)
  })

  test('[CL72] a page that the browser is about to freeze gives the lead back first', async () => {
    const { tabs } = await browser(2)
    const [first, second] = tabs as [Tab, Tab]
    first.happens('frozen')
    await eventually(() => second.atom.realtime.leads && second.atom.realtime.connected)
    assert.equal(first.atom.realtime.getSnapshot().state, 'suspended')
    await second.room.send('meanwhile')
    first.happens('thawed')
    await until(first.atom.realtime, ({ state }) => state === 'connected')
    await first.room.send('back')
    await assertAgree(tabs, ['meanwhile', 'back'])
    await untilSockets(1)
    for (const tab of tabs) tab[Symbol.dispose]()
  })

  test('[CL73] a line that breaks breaks for all tabs and is back for all, with everything in its place', async () => {
    const { tabs } = await browser(3)
    const expected: string[] = []
    for (let round = 0; round < 3; round++) {
      const sending = tabs.flatMap(({ room }, index) =>
        Array.from({ length: 5 }, (_, each) => {
          const text = `${round}.${index}.${each}`
          expected.push(text)
          return room.send(text)
        }),
      )
      if (round === 1) line.cut()
      else line.blink()
      if (round === 1) {
        for (const { atom } of tabs) await until(atom.realtime, ({ state }) => state === 'suspended')
        line.mend()
        tabs[2]?.atom.realtime.retryNow()
      }
      await Promise.all(sending)
    }
    await assertAgree(tabs, expected)
    await untilSockets(1)
    for (const tab of tabs) tab[Symbol.dispose]()
  })

  test('[CL74] leaving in one tab ends the line in all', async () => {
    const { tabs } = await browser(3)
    await tabs[1]?.atom.session.logout()
    for (const { atom } of tabs) {
      await until(atom.session, ({ state }) => state === 'signed_out')
      await until(atom.realtime, ({ state }) => state === 'idle')
    }
    await untilSockets(0)
    for (const tab of tabs) tab[Symbol.dispose]()
  })

  test('[CL120] a tab whose first word is heard before the browser knows that it lives misses nothing', async () => {
    const { tabs, openTab } = await browser(1)
    const [leader] = tabs as [Tab]
    const late = await openTab({ lockAfterMs: 200 })
    tabs.push(late)
    assert.equal(late.atom.realtime.leads, false)
    await leader.room.send('from the one that leads')
    await assertAgree(tabs, ['from the one that leads'])
    for (const tab of tabs) tab[Symbol.dispose]()
    await untilSockets(0)
  })

  test('[CL75] a tab that comes late, and one that fell behind, are brought to where the others are', async () => {
    const { tabs, openTab } = await browser(2)
    const [one, two] = tabs as [Tab, Tab]
    for (let index = 0; index < 5; index++) await one.room.send(`${index}`)
    two.freeze()
    for (let index = 5; index < 8; index++) await one.room.send(`${index}`)
    // It comes without a cursor, so the server goes on from the end of the timeline.
    const three = await openTab()
    two.thaw()
    await one.room.send('8')
    const all = Array.from({ length: 9 }, (_, index) => `${index}`)
    await assertAgree([one, two, three], all)
    for (const tab of [...tabs, three]) tab[Symbol.dispose]()
  })
})
