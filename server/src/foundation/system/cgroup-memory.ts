import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** What the nearest limit of memory is, and how much of it is used, in bytes. */
export interface CgroupMemory {
  readonly limit: number
  /** Without what the kernel gives back by itself, as a kubelet counts it. */
  readonly used: number
}

/** From here on version 1 means "no limit" (LONG_MAX, rounded to pages). */
const unlimitedV1 = 2 ** 62

interface Hierarchy {
  readonly folder: string
  readonly files: { readonly limit: string; readonly usage: string; readonly inactive: string }
}

/**
 * The limit that this process's control group has, or one above it, whichever leaves least: v2 (Documentation/admin-guide/cgroup-v2,
 * "Memory Interface Files") or v1. Undefined where there is none. `root` is the machine's, another folder in a test.
 */
export async function cgroupMemory(root = '/'): Promise<CgroupMemory | undefined> {
  const places = (await text(join(root, 'proc/self/cgroup'))) ?? ''
  const lines = places.split('\n').map((line) => line.split(':'))
  const inV1 = lines.find(([, controllers]) => controllers?.split(',').includes('memory'))
  const inV2 = lines.find(([id, controllers]) => id === '0' && controllers === '')
  const mounted = join(root, 'sys/fs/cgroup')
  if (inV1 !== undefined) {
    return await tightest(join(mounted, 'memory'), inV1.slice(2).join(':'), {
      limit: 'memory.limit_in_bytes',
      usage: 'memory.usage_in_bytes',
      inactive: 'total_inactive_file',
    })
  }
  if (inV2 === undefined) return undefined
  return await tightest(mounted, inV2.slice(2).join(':'), {
    limit: 'memory.max',
    usage: 'memory.current',
    inactive: 'inactive_file',
  })
}

async function tightest(
  mounted: string,
  path: string,
  files: Hierarchy['files'],
): Promise<CgroupMemory | undefined> {
  let found: CgroupMemory | undefined
  // A container sees its own group as the root of what is mounted, and a path below it that is not there: that is skipped.
  for (let at = path; ; at = dirname(at)) {
    const memory = await ofGroup({ folder: join(mounted, at), files })
    if (memory !== undefined && (found === undefined || left(memory) < left(found))) found = memory
    if (at === '/' || at === '.') return found
  }
}

function left({ limit, used }: CgroupMemory): number {
  return limit - used
}

async function ofGroup({ folder, files }: Hierarchy): Promise<CgroupMemory | undefined> {
  const [limitText, usageText, stat] = await Promise.all([
    text(join(folder, files.limit)),
    text(join(folder, files.usage)),
    text(join(folder, 'memory.stat')),
  ])
  const limit = Number(limitText?.trim() || 'max')
  const usage = Number(usageText?.trim() || Number.NaN)
  if (!Number.isFinite(limit) || limit >= unlimitedV1 || !Number.isFinite(usage)) return undefined
  const inactive = Number(new RegExp(`^${files.inactive} (\\d+)$`, 'm').exec(stat ?? '')?.[1] ?? 0)
  return { limit, used: Math.max(0, usage - inactive) }
}

async function text(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    // Another system, or another version: there is no such file.
    return undefined
  }
}
