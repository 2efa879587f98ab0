import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from './log.ts'
import { LogModules } from './log-modules.ts'
import { type LogEntry, LogTail } from './log-tail.ts'

function said(limits?: { lines: number; characters: number }) {
  const tail = new LogTail(limits)
  const log = createLog({ level: 'info', write: () => undefined, tail })
  return { tail, log, modules: new LogModules(log) }
}

test('[LG5] the last lines can be looked through while the process runs, newest first, page by page', () => {
  const { tail, log, modules } = said({ lines: 100, characters: 1_000_000 })
  for (let n = 1; n <= 500; n++) log.info({ n }, 'counted')
  modules.of('rooms').warn({ requestId: 'r1', password: 'hunter2hunter2' }, 'slow')
  const [newest] = tail.entries({})
  assert.deepEqual(
    [newest?.number, newest?.module, newest?.requestId, newest?.message],
    [501, 'rooms', 'r1', 'slow'],
  )
  assert.equal(JSON.stringify(newest).includes('hunter2'), false)
  assert.deepEqual([...tail.entries({ level: 'warn' })].length, 1)
  assert.deepEqual(
    [...tail.entries({ text: '"N":499' })].map(({ number }) => number),
    [499],
  )
  const kept = [...tail.entries({})]
  assert.ok(kept.length >= 100 && kept.length <= 200, String(kept.length))
  assert.deepEqual([...tail.entries({}, 451)][0]?.number, 450)
  assert.deepEqual(
    kept.map(({ number }) => number),
    Array.from(kept, (_, at) => 501 - at),
  )
})

test('[LG5] whoever listens hears each line that fits, and nothing after they stopped', () => {
  const { tail, log } = said()
  const heard: LogEntry[] = []
  {
    using _listening = tail.subscribe({ level: 'error' }, (entry) => void heard.push(entry))
    log.info('no')
    log.error('yes')
  }
  log.error('too late')
  assert.deepEqual(
    heard.map(({ message, number }) => [message, number]),
    [['yes', 2]],
  )
})

test('[LG6] one module can be made to say more, or less, while the others go on as they are', () => {
  const { tail, modules } = said()
  const [rooms, agents] = [modules.of('rooms'), modules.of('agents')]
  modules.apply(
    new Map([
      ['rooms', 'debug'],
      ['nobody', 'debug'],
    ]),
  )
  rooms.debug('told')
  agents.debug('not told')
  modules.apply(new Map([['agents', 'error']]))
  rooms.debug('not told any more')
  agents.warn('nor this')
  assert.deepEqual(
    [...tail.entries({})].map(({ message }) => message),
    ['told'],
  )
  assert.deepEqual(
    [modules.level('rooms'), modules.level('agents'), modules.names],
    ['info', 'error', ['agents', 'rooms']],
  )
})
