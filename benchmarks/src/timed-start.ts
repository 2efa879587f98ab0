import { spawn } from 'node:child_process'
import { delimiter } from 'node:path'
import { serverBelow } from './process-tree.ts'

/** A command that brings up Atom, and when it did what. */
export interface TimedStart extends AsyncDisposable {
  /** The server's process, which may be far below the command's. */
  readonly server: number
  /** Seconds from the command to the first 200 of `/ready`. */
  readonly seconds: number
  /** Seconds from the command to the first line that holds this; undefined where it was never said. */
  secondsTo(words: string): number | undefined
}

export interface Launch {
  readonly command: readonly [string, ...string[]]
  readonly cwd: string
  readonly port: number
  readonly environment: Readonly<Record<string, string>>
  readonly withinMs: number
}

/** Runs the command as a newcomer would, and waits until the server is ready. Disposal is a SIGTERM to the server. */
export async function timedStart(launch: Launch): Promise<TimedStart> {
  const [program, ...args] = launch.command
  const began = performance.now()
  const child = spawn(program, args, {
    cwd: launch.cwd,
    env: { ...newcomersEnvironment(), ATOM_PORT: String(launch.port), ...launch.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    // So that a start that fails can be ended with everything below it.
    detached: true,
  })
  const lines: { readonly text: string; readonly seconds: number }[] = []
  const hear = (chunk: Buffer) => {
    const seconds = (performance.now() - began) / 1000
    for (const text of String(chunk).split('\n')) lines.push({ text, seconds })
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const said = () => lines.map(({ text }) => text).join('\n')
  try {
    await Promise.race([
      ready(`http://127.0.0.1:${launch.port}/ready`, AbortSignal.timeout(launch.withinMs)),
      ended.then(() => Promise.reject(new Error('it ended instead of starting'))),
    ])
    const seconds = (performance.now() - began) / 1000
    const server = await serverBelow(child.pid ?? 0)
    return {
      server,
      seconds,
      secondsTo: (words) => lines.find(({ text }) => text.includes(words))?.seconds,
      async [Symbol.asyncDispose]() {
        process.kill(server, 'SIGTERM')
        await ended
      },
    }
  } catch (error) {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
    await ended
    throw new Error(`${launch.command.join(' ')} failed:\n${said()}`, { cause: error })
  }
}

async function ready(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    // Refused while nothing listens there yet, which is what is being waited for.
    const answer = await fetch(url, { signal }).catch(() => undefined)
    if (answer?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Without what `npm run bench` has put there: a newcomer's shell has this machine's own Node, and no settings of Atom. */
function newcomersEnvironment(): NodeJS.ProcessEnv {
  const path = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((place) => !`${place}/`.includes('/node_modules/'))
  const rest = Object.entries(process.env).filter(
    ([name]) =>
      !/^(ATOM_|DATABASE_URL$|INIT_CWD$|NODE$|npm_(package|lifecycle|command|execpath|node_execpath)|npm_config_(local_)?prefix$)/.test(
        name,
      ),
  )
  return { ...Object.fromEntries(rest), PATH: path.join(delimiter) }
}
