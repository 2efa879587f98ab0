import { readdir, readFile } from 'node:fs/promises'

interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

/** What a running Atom holds in memory, in MiB; pages that several processes share are counted once. */
export interface Memory {
  readonly server: number
  readonly database: number
}

/** The embedded database lives below this program; whoever started it is the server. */
const databaseRoot = 'atom-death-watch'

/** A process and everything below it, from the top. */
export async function treeOf(root: number): Promise<readonly Process[]> {
  const all = await processes()
  const found = all.filter(({ pid }) => pid === root)
  for (const { pid } of found) found.push(...all.filter(({ parent }) => parent === pid))
  return found
}

/** The server among the processes below `root`, such as npm and its shell; once its database runs. */
export async function serverBelow(root: number): Promise<number> {
  const watch = (await treeOf(root)).find(({ command }) => command.includes(databaseRoot))
  if (watch === undefined) throw new Error(`no Atom with its own database runs below process ${root}`)
  return watch.parent
}

/** Of a server with its own database, when it has come to rest: two readings within 1 %. */
export async function restingMemory(server: number): Promise<Memory> {
  let last = await memoryOf(server)
  for (let reading = 0; reading < 20; reading++) {
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const now = await memoryOf(server)
    const before = last.server + last.database
    if (Math.abs(now.server + now.database - before) < before / 100) return now
    last = now
  }
  return last
}

async function memoryOf(server: number): Promise<Memory> {
  const tree = await treeOf(server)
  const watch = tree.find(({ command }) => command.includes(databaseRoot))
  const database = watch === undefined ? [] : await treeOf(watch.pid)
  const below = new Set(database.map(({ pid }) => pid))
  return {
    server: await residentOf(tree.filter(({ pid }) => !below.has(pid))),
    database: await residentOf(database),
  }
}

async function residentOf(list: readonly Process[]): Promise<number> {
  let kib = 0
  for (const { pid } of list) {
    // A process may have ended since it was listed.
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
    kib += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0)
  }
  return kib / 1024
}

async function processes(): Promise<readonly Process[]> {
  const found: Process[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const [stat, command] = await Promise.all(
      ['stat', 'cmdline'].map((file) => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '')),
    )
    // pid (name) state parent …, and the name may hold anything.
    const parent = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[1]
    if (parent !== undefined)
      found.push({ pid: Number(name), parent: Number(parent), command: command ?? '' })
  }
  return found
}
