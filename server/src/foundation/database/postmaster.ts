import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, readlink } from 'node:fs/promises'
import { Socket } from 'node:net'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Log } from '#foundation/log.ts'

/**
 * The user that PostgreSQL's programs run as. `spawn` changes to it after it has changed into the data folder, which is why
 * the programs are given the folder as `/proc/self/cwd`: it may then lie below folders that this user cannot enter, such as
 * /root, and nobody else can get near the socket in it.
 */
export interface RunAs {
  readonly uid: number
  readonly gid: number
}

export const here = '/proc/self/cwd'

/**
 * Runs the program given as its arguments and ends it when standard input closes, which happens by itself when our process
 * dies, however it dies. Each line on standard input is a signal to pass on before that.
 */
const deathWatch = `
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
{
  while read -r signal; do kill -s "$signal" "$server"; done
  kill -s QUIT "$server"
} <&3 2>/dev/null &
watch=$!
exec 3<&-
wait "$server"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
`

const ready = /database system is ready to accept connections/
const keptLines = 30

export interface PostmasterOptions {
  /** The programs' folder. */
  readonly home: string
  /** The data folder, as an absolute path without links. */
  readonly folder: string
  readonly runAs: RunAs | undefined
  readonly settings: Readonly<Record<string, string>>
  /** A process that postmaster.pid names by mistake: its number was given to another program since. */
  readonly notThePostmaster: number | undefined
  readonly log: Log
  /** What the server says, line by line. */
  readonly heard: (line: string) => void
}

/** One run of the database server, which cannot outlive this process. */
export class Postmaster {
  readonly ready: Promise<boolean>
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #lastLines: string[] = []

  constructor(options: PostmasterOptions) {
    const settings = Object.entries(options.settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const program = join(options.home, 'bin', 'postgres')
    const child = spawn(
      '/bin/sh',
      ['-c', deathWatch, 'atom-death-watch', program, '-D', here, ...marker(options.folder), ...settings],
      {
        ...options.runAs,
        cwd: options.folder,
        env: {
          ...quietEnvironment(),
          // PostgreSQL leaves this number out when it looks whether the process in postmaster.pid is alive.
          ...(options.notThePostmaster && { PG_GRANDPARENT_PID: String(options.notThePostmaster) }),
        },
        stdio: ['pipe', 'ignore', 'pipe'],
        // Its own session: Ctrl-C in a terminal is for Atom, which drains before it stops the database.
        detached: true,
      },
    )
    this.#child = child
    for (const stream of [child.stdin, child.stderr]) {
      stream?.on('error', (error) => options.log.debug({ err: error }, 'a pipe to the database broke'))
    }
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#lastLines.push(error.message)
        resolve()
      })
      child.once('close', () => resolve())
    })
    this.ready = new Promise((resolve) => {
      void this.ended.then(() => resolve(false))
      if (child.stderr === null) return
      createInterface({ input: child.stderr }).on('line', (line) => {
        this.#lastLines.push(line)
        if (this.#lastLines.length > keptLines) this.#lastLines.shift()
        options.heard(line)
        if (!ready.test(line)) return
        this.#letProcessEnd()
        resolve(true)
      })
    })
  }

  /** The last thing the server said. */
  get lastWords(): string {
    return this.#lastLines.join('\n')
  }

  /** A running server does not keep this process alive; one that is starting or stopping does, because somebody waits. */
  #letProcessEnd(): void {
    this.#child.unref()
    for (const stream of [this.#child.stdin, this.#child.stderr]) {
      if (stream instanceof Socket) stream.unref()
    }
  }

  /** Ends it in order, with a checkpoint; at once when that takes longer than `patienceMs`. */
  async stop(patienceMs = 20_000): Promise<void> {
    this.#child.ref()
    this.#child.stdin?.write('INT\n')
    const patience = setTimeout(() => this.#child.stdin?.end(), patienceMs)
    await this.ended
    clearTimeout(patience)
  }
}

/** Visible in `ps`, and how a later start recognises the server of its folder. */
function marker(folder: string): readonly string[] {
  return ['-c', `atom.data_folder=${folder}`]
}

/** Nothing of Atom's own environment, which may hold keys, and nothing that would steer PostgreSQL. */
export function quietEnvironment(): Record<string, string> {
  const path = process.env['PATH'] ?? '/usr/bin:/bin'
  return { PATH: path, LC_ALL: 'C', TZ: 'UTC' }
}

/** Runs one of PostgreSQL's programs to its end. */
export async function runProgram(options: {
  readonly program: string
  readonly args: readonly string[]
  readonly folder: string
  readonly runAs: RunAs | undefined
  readonly input?: string
}): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(options.program, options.args, {
    ...options.runAs,
    cwd: options.folder,
    env: quietEnvironment(),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-10_000)
    })
  }
  child.stdin.on('error', (error) => {
    if (said === '') said = error.message
  })
  child.stdin.end(options.input ?? '')
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, said }
  } catch (error) {
    return { code: null, said: error instanceof Error ? error.message : String(error) }
  }
}

export interface FoundServer {
  readonly pid: number
  /** The process that started it is still there: it belongs to somebody. */
  readonly attended: boolean
}

/** What postmaster.pid says about a folder: nothing, a server that lives, or a number that is something else by now. */
export async function serverOf(
  folder: string,
): Promise<{ readonly server?: FoundServer; readonly otherProcess?: number }> {
  const text = await readOrNothing(join(folder, 'postmaster.pid'))
  const pid = Math.abs(Number.parseInt(text ?? '', 10))
  if (text === undefined || !Number.isSafeInteger(pid) || pid < 1) return {}
  if (!(await isServerOf(pid, folder))) return isAlive(pid) ? { otherProcess: pid } : {}
  return { server: { pid, attended: await hasDeathWatch(pid) } }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

async function isServerOf(pid: number, folder: string): Promise<boolean> {
  const words = (await readOrNothing(`/proc/${pid}/cmdline`))?.split('\0') ?? []
  if (basename(words[0] ?? '') !== 'postgres') return false
  const program = await linkOrNothing(`/proc/${pid}/exe`)
  if (program !== undefined && basename(program.replace(/ \(deleted\)$/, '')) !== 'postgres') return false
  const home = await linkOrNothing(`/proc/${pid}/cwd`)
  // Without the right to look at another user's process (root in a container without CAP_SYS_PTRACE) its own words count.
  return home === undefined ? words.includes(`atom.data_folder=${folder}`) : home === folder
}

async function hasDeathWatch(pid: number): Promise<boolean> {
  const status = await readOrNothing(`/proc/${pid}/status`)
  const parent = /^PPid:\s*(\d+)$/m.exec(status ?? '')?.[1]
  const words = (await readOrNothing(`/proc/${parent}/cmdline`))?.split('\0') ?? []
  return words.includes('atom-death-watch')
}

async function readOrNothing(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

async function linkOrNothing(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

/** Gone, or none of our business. */
function isAbsence(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR'].includes(String(error.code))
  )
}
