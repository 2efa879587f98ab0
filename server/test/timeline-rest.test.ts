import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Database, type Listening } from '#foundation/database/pool.ts'
import { type RoomNews, Timeline } from '#rooms/timeline.ts'
import { roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase, testLog } from './support/postgres.ts'

const never = 3_600_000

/** Whoever lets commits wait here lets them wait for ever, so that nothing but being woken explains that they are heard. */
class Drowsy extends Database {
  /** How long the last rest would have been. */
  restMs: number | undefined

  override listen(
    channel: string,
    heard: (payload: string) => void,
    { restMs }: { readonly restMs?: () => number } = {},
  ): Promise<Listening> {
    const drowsy = () => {
      this.restMs = restMs?.() ?? 0
      return this.restMs === 0 ? 0 : never
    }
    return super.listen(channel, heard, restMs && { restMs: drowsy })
  }
}

test('[RT131] while nobody at a process follows a room, it lets what others commit wait; who comes hears all of it at once', async () => {
  await using own = await testDatabase()
  await using writer = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, writer, ada)
  const say = (text: string, room = roomId) => writer.messages.send(ada, room, { clientId: text, text })
  await using database = new Drowsy({ connection: own.connection, poolSize: 2, log: testLog })
  await using node = await Timeline.open({ database, log: testLog, recheckMs: never })
  const all: RoomNews[] = []
  const followed: RoomNews[] = []
  using _everything = node.subscribe((news) => all.push(news))
  using _followed = node.subscribe((news) => followed.push(news), undefined, 'followed')
  const headOf = (news: readonly RoomNews[]) => news.at(-1)?.head ?? 0

  const { seq: first } = await say('one')
  await until(() => headOf(all) === first, 'the first one is heard')
  const alone = await until(() => database.restMs, 'it rests')
  assert.ok(alone > 0)
  const { seq: second } = await say('two')
  assert.deepEqual(followed, [])

  using _follower = node.follow(roomId)
  await until(() => headOf(followed) === second, 'who comes hears what has waited')
  const { seq: third } = await say('three')
  await until(() => headOf(followed) === third, 'and what follows')
  await until(() => database.restMs === 0, 'somebody waits for it')

  const another = await roomOf(own.database, writer, ada)
  await say('elsewhere', another)
  await until(() => all.some((news) => news.roomId === another), 'a foreign room is heard of')
  const accompanied = await until(() => (database.restMs ?? 0) > 0 && database.restMs, 'it rests again')
  assert.ok(accompanied < alone, 'where somebody is there, even foreign rooms rest for less')
})
