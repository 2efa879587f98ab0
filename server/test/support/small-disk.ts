import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface SmallDisk extends AsyncDisposable {
  /** A folder on it. */
  readonly folder: string
  readonly bytes: number
}

const mountedBytes = 4 * 1024 ** 2
/** What may be filled for a moment without taking much memory. */
const mostBytes = 128 * 1024 ** 2
/** Small file systems that nearly every Linux has, and nearly nobody writes to: containers have the first, machines the second. */
const usual = ['/dev', '/run/lock']

/**
 * A file system that a test may fill: one of its own where that can be mounted, by right or in a namespace of its own, which
 * takes none; else one of the machine's that is small and idle. Undefined where there is nothing of the kind.
 */
export async function smallDisk(): Promise<SmallDisk | undefined> {
  for (const way of [mounted, mountedApart, borrowed]) {
    const disk = await way()
    if (disk !== undefined) return disk
  }
  return undefined
}

async function mounted(): Promise<SmallDisk | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'atom-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mountedBytes}`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    // Not allowed here: the next way.
    await rm(folder, { recursive: true })
    return undefined
  }
  return {
    folder,
    bytes: mountedBytes,
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', [folder])
      await rm(folder, { recursive: true })
    },
  }
}

/** In a child's namespace, reached by way of the child. */
async function mountedApart(): Promise<SmallDisk | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'atom-disk-'))
  const script = `mount -t tmpfs -o size=${mountedBytes} tmpfs "$0" && echo mounted && exec cat`
  const child = spawn('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', script, folder], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const end = async () => {
    child.stdin.end()
    await ended(child)
    await rm(folder, { recursive: true })
  }
  const said = await Promise.race([once(child.stdout, 'data').then(String), ended(child).then(() => '')])
  const seen = `/proc/${child.pid}/root${folder}`
  const reachable = said.trim() === 'mounted' && (await isSmall(seen))
  if (!reachable) {
    await end()
    return undefined
  }
  return { folder: seen, bytes: mountedBytes, [Symbol.asyncDispose]: end }
}

async function borrowed(): Promise<SmallDisk | undefined> {
  for (const place of usual) {
    if (!(await isSmall(place))) continue
    try {
      const folder = await mkdtemp(join(place, 'atom-disk-'))
      const { blocks, bsize } = await statfs(folder)
      return {
        folder,
        bytes: blocks * bsize,
        [Symbol.asyncDispose]: async () => rm(folder, { recursive: true }),
      }
    } catch {
      // Somebody else's: the next one.
    }
  }
  return undefined
}

async function isSmall(place: string): Promise<boolean> {
  const disk = await statfs(place).catch(() => undefined)
  if (disk === undefined || disk.blocks === 0 || disk.blocks * disk.bsize > mostBytes) return false
  // What is not nearly empty is not idle either.
  return disk.bavail > disk.blocks * 0.9
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  await new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    // There is no such command.
    child.once('error', () => resolve())
  })
}
