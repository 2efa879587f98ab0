import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempDisposable, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const here = import.meta.dirname
const log = (body: string) =>
  `import { createLog } from '${join(here, 'log.ts')}'\nimport { LogSink } from '${join(here, 'log-sink.ts')}'\n${body}`
const node = process.execPath

for (const [kind, command] of [
  ['socket', 'exec "$0" "$@"'],
  ['pipe', '"$0" "$@" | cat'],
] as const) {
  test(`[LG7] a reader that stands still holds nobody up, at a ${kind}: lines wait, then are lost and counted, and the loss is told`, async () => {
    const child = spawn(
      'sh',
      [
        ...['-c', command, node],
        '--input-type=module-typescript',
        '-e',
        log(`
const sink = LogSink.open({ mostWaitingBytes: 200_000 })
const log = createLog({ level: 'info', write: sink.write, noise: { perSecond: 1e9, burst: 1e9 } })
for (let n = 0; n < 20_000; n++) {
  log.info({ n, filling: 'x'.repeat(100) }, 'counted')
  if (n % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve))
}
process.stderr.write('done ' + sink.lost)
process.stdin.once('data', () => { log.info('last'); process.stdin.destroy() })
`),
      ],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    child.stdout.pause()
    const [word] = await once(child.stderr, 'data')
    const lost = Number(/done (\d+)/.exec(String(word))?.[1])
    assert.ok(lost > 0, String(word))
    const pieces: string[] = []
    child.stdout
      .setEncoding('utf8')
      .on('data', (piece: string) => void pieces.push(piece))
      .resume()
    child.stdin.write('go')
    const [code] = await once(child, 'close')
    assert.equal(code, 0)
    const lines = pieces
      .join('')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    // Told each time somebody reads again, which a pipe may do for a moment even while it stands still.
    const told = lines
      .filter(({ msg }) => msg.startsWith('log lines were lost'))
      .reduce((sum, notice) => sum + notice.lines, 0)
    assert.ok(told >= lost, `${told} of ${lost}`)
    const arrived = lines.filter(({ msg }) => msg === 'counted' || msg === 'last').length
    assert.equal(arrived + told, 20_001, 'each line arrived or is counted as lost')
  })
}

test('[LG7] a full disk under the log ends nothing', async () => {
  const { stderr } = await promisify(execFile)(
    'sh',
    [
      '-c',
      'exec "$0" --input-type=module-typescript -e "$1" > /dev/full',
      node,
      log(`
const log = createLog({ level: 'info', write: LogSink.open().write })
for (let n = 0; n < 100; n++) { log.info({ n }, 'counted'); await new Promise((resolve) => setTimeout(resolve, 1)) }
process.stderr.write('went on')
`),
    ],
    { timeout: 30_000 },
  )
  assert.equal(stderr, 'went on')
})

test('[LG23] in a file lines and what else is said on standard output stand one behind the other', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'atom-log-'))
  const file = join(folder.path, 'log')
  await promisify(execFile)(
    'sh',
    [
      '-c',
      'exec "$0" --input-type=module-typescript -e "$1" > "$2"',
      node,
      log(`
const log = createLog({ level: 'info', write: LogSink.open().write })
for (let n = 0; n < 10; n++) {
  log.info({ n }, 'counted')
  await new Promise((resolve) => setTimeout(resolve, 20))
  process.stdout.write('said ' + n + '\\n')
}
`),
      file,
    ],
    { timeout: 30_000 },
  )
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  assert.equal(lines.filter((line) => line.startsWith('{') && JSON.parse(line).msg === 'counted').length, 10)
  assert.equal(lines.filter((line) => /^said \d$/.test(line)).length, 10)
  assert.equal(lines.length, 20)
})

test('[LG8] the line that says why a process ended is there, however it ended by itself', async () => {
  for (const end of ['process.exit(3)', 'throw new Error("thrown")', 'process.exitCode = 3']) {
    const { stdout } = await promisify(execFile)(
      node,
      [
        '--input-type=module-typescript',
        '-e',
        log(`
const log = createLog({ level: 'info', write: LogSink.open().write })
process.on('uncaughtException', (err) => { log.fatal({ err }, 'stopping'); process.exit(3) })
for (let n = 0; n < 500; n++) log.info({ n }, 'counted')
if (${JSON.stringify(end)}.startsWith('process')) log.fatal('stopping')
${end}
`),
      ],
      { timeout: 30_000 },
    ).catch((failure: { stdout: string }) => failure)
    const lines = stdout.trimEnd().split('\n')
    assert.equal(lines.length, 501, end)
    assert.match(lines.at(-1) ?? '', /"level":"fatal".*"msg":"stopping"/)
  }
})
