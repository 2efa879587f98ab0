import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Remedy } from '@atom/contract/connections.ts'
import type { Log } from '#foundation/log.ts'
import type { ConnectionRow } from '../connection-store.ts'
import type { Renewal } from './credential-store.ts'

/** What is written down: a renewal, sealed as it will be stored. */
interface Entry {
  readonly workspaceId: string
  readonly renewal: Renewal
}

/** The same as JSON holds it. */
interface Written {
  readonly workspaceId: string
  readonly connectionId: string
  readonly further?: string
  readonly generation: number
  readonly accessToken: string
  readonly refreshToken: string | null
  readonly issuedAt: string
  readonly expiresAt: string | null
  readonly refreshExpiresAt: string | null
  readonly keepAliveAt: string | null
  readonly particulars: Readonly<Record<string, string>>
  readonly standing: {
    readonly status: ConnectionRow['status']
    readonly reason: string | null
    readonly remedy: Remedy | null
  }
}

/**
 * Renewals that a provider has answered and the database has not got yet, one file each. A provider that spends a refresh
 * token with its use has given its only successor to this process: neither a kill nor a database that is away may lose it.
 * Files hold ciphertext under the data key of their connection, which is in the database alone, and go as soon as it has what
 * they say.
 */
export class RefreshJournal {
  readonly #folder: string
  readonly #log: Log
  readonly #own = new Set<string>()

  constructor(dependencies: { folder: string; log: Log }) {
    this.#folder = dependencies.folder
    this.#log = dependencies.log
  }

  /**
   * Writes it to the disk, and only then resolves. Where the disk does not take it, the database is all there is, and the
   * renewal goes on without.
   */
  async write(workspaceId: string, renewal: Renewal): Promise<void> {
    const name = nameOf(renewal)
    this.#own.add(name)
    try {
      const made = await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      if (made !== undefined) await syncFolder(dirname(made))
      const file = await open(join(this.#folder, `${name}.new`), 'w', 0o600)
      try {
        await file.writeFile(JSON.stringify(written(workspaceId, renewal)))
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(join(this.#folder, `${name}.new`), join(this.#folder, name))
      // The file is on the disk; its name is only with its folder.
      await syncFolder(this.#folder)
    } catch (error) {
      this.#log.warn({ connectionId: renewal.connectionId, err: error }, 'a renewal was not journalled')
      await this.#discard(`${name}.new`)
    }
  }

  /** The database has it, or something newer. */
  async forget(renewal: Renewal): Promise<void> {
    this.#own.delete(nameOf(renewal))
    try {
      await rm(join(this.#folder, nameOf(renewal)), { force: true })
      // Not synced: a name that comes back after the power was gone is found, and its generation is over.
    } catch (error) {
      // It is found again and forgotten then: its generation is over.
      this.#log.warn({ connectionId: renewal.connectionId, err: error }, 'a journalled renewal stays behind')
    }
  }

  /** The database could not be given it: from now on it is found among those left behind. */
  leave(renewal: Renewal): void {
    this.#own.delete(nameOf(renewal))
  }

  /** What was never finished, and holds nothing that anybody looks for. */
  async #discard(name: string): Promise<void> {
    try {
      await rm(join(this.#folder, name), { force: true })
    } catch (error) {
      this.#log.warn({ file: name, err: error }, 'an unfinished journal file stays behind')
    }
  }

  /** What an earlier process, or an earlier attempt of this one, could not store. */
  async leftBehind(): Promise<Entry[]> {
    let names: string[]
    try {
      names = await readdir(this.#folder)
    } catch (error) {
      // Nothing was ever journalled here.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
      throw error
    }
    const entries: Entry[] = []
    for (const name of names) {
      if (!name.endsWith('.json') || this.#own.has(name)) continue
      const entry = await this.#read(name)
      if (entry !== undefined) entries.push(entry)
    }
    return entries
  }

  async #read(name: string): Promise<Entry | undefined> {
    try {
      return entryOf(JSON.parse(await readFile(join(this.#folder, name), 'utf8')) as Written)
    } catch (error) {
      // Another process of this folder may have stored and forgotten it since it was listed.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
        this.#log.error({ file: name, err: error }, 'a journalled renewal cannot be read')
      }
      return undefined
    }
  }
}

/** So that the names in it are on the disk. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } catch (error) {
    // POSIX leaves it to the file system whether folders can be synced; those that cannot keep names by themselves.
    if (!(error instanceof Error && 'code' in error && cannotSync.has(String(error.code)))) throw error
  } finally {
    await folder.close()
  }
}

const cannotSync = new Set(['EINVAL', 'EISDIR', 'ENOTSUP', 'EOPNOTSUPP', 'EPERM'])

function nameOf({ connectionId, further, generation }: Renewal): string {
  return `${connectionId}.${further ?? 'first'}.${generation}.json`
}

function written(workspaceId: string, renewal: Renewal): Written {
  const { connectionId, further, generation, sealed, particulars, standing } = renewal
  return {
    workspaceId,
    connectionId,
    ...(further !== undefined && { further }),
    generation,
    accessToken: sealed.accessToken.toString('base64'),
    refreshToken: sealed.refreshToken?.toString('base64') ?? null,
    issuedAt: renewal.issuedAt.toISOString(),
    expiresAt: renewal.expiresAt?.toISOString() ?? null,
    refreshExpiresAt: renewal.refreshExpiresAt?.toISOString() ?? null,
    keepAliveAt: renewal.keepAliveAt?.toISOString() ?? null,
    particulars,
    standing,
  }
}

function entryOf(from: Written): Entry {
  const { workspaceId, connectionId, further, generation, particulars, standing } = from
  const time = (text: string | null) => (text === null ? null : new Date(text))
  return {
    workspaceId,
    renewal: {
      connectionId,
      further,
      generation,
      sealed: {
        accessToken: Buffer.from(from.accessToken, 'base64'),
        refreshToken: from.refreshToken === null ? null : Buffer.from(from.refreshToken, 'base64'),
      },
      issuedAt: new Date(from.issuedAt),
      expiresAt: time(from.expiresAt),
      refreshExpiresAt: time(from.refreshExpiresAt),
      keepAliveAt: time(from.keepAliveAt),
      particulars,
      standing,
    },
  }
}
