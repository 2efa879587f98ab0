import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { chmod, link, open, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Log } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'

export interface MasterKey {
  readonly version: number
  readonly key: KeyObject
}

const keyBytes = 32
const entryForm = /^v([1-9]\d{0,8}):([A-Za-z0-9_-]{43})=?$/
const rightForm =
  'v1:<32 random bytes as base64url>, further ones after a comma (v2:…); make one with: openssl rand -base64 32 | tr "+/" "-_" | tr -d "="'

/**
 * The versioned master keys (AES-256). The newest version seals; each one opens what was sealed under it, so a key can be
 * replaced while what it sealed is still there.
 */
export class Keyring {
  readonly current: MasterKey
  readonly #keys: ReadonlyMap<number, MasterKey>

  constructor(keys: readonly MasterKey[]) {
    const newest = keys.toSorted((a, b) => b.version - a.version)[0]
    if (newest === undefined) throw new Error('a keyring needs a key')
    this.current = newest
    this.#keys = new Map(keys.map((key) => [key.version, key]))
  }

  find(version: number): MasterKey | undefined {
    return this.#keys.get(version)
  }
}

export interface KeyringOptions {
  /** The value of ATOM_MASTER_KEYS. */
  readonly env: string | undefined
  /** Where `master.keys` is kept when ATOM_MASTER_KEYS is not set; it is made when there is none. */
  readonly dataDir: string
  readonly log?: Log
}

export async function openKeyring(options: KeyringOptions): Promise<Keyring> {
  if (options.env !== undefined) return parseKeyring(options.env, 'ATOM_MASTER_KEYS')
  const path = join(options.dataDir, 'master.keys')
  const text = (await readKeyFile(path, options.log)) ?? (await createKeyFile(path, options.log))
  return parseKeyring(text, path)
}

/** `source` is named to the person when the form is wrong; what was found there never is. */
export function parseKeyring(text: string, source: string): Keyring {
  const keys: MasterKey[] = []
  for (const [index, entry] of text.trim().split(',').entries()) {
    const found = entryForm.exec(entry.trim())
    const bytes = Buffer.from(found?.[2] ?? '', 'base64url')
    const version = Number(found?.[1])
    if (found === null || bytes.length !== keyBytes)
      throw wrongForm(source, `entry ${index + 1} has another form`)
    if (new Set(bytes).size < 8) throw wrongForm(source, `the key v${version} is not random`)
    if (keys.some((key) => key.version === version)) throw wrongForm(source, `v${version} is there twice`)
    keys.push({ version, key: createSecretKey(bytes) })
    bytes.fill(0)
  }
  return new Keyring(keys)
}

async function readKeyFile(path: string, log: Log | undefined): Promise<string | undefined> {
  try {
    const { mode } = await stat(path)
    if ((mode & 0o077) !== 0) {
      await chmod(path, 0o600)
      log?.warn({ path }, 'the master key file could be read by other users; its permissions are 0600 again')
    }
    return await readFile(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw new StartError(
      `The master key file ${path} cannot be read or is not private (${codeOf(error)}). Make it belong to the user that runs Atom, with mode 0600.`,
      { cause: error },
    )
  }
}

/** Made aside and linked to its name: the file is whole from its first moment, and of two processes one wins. */
async function createKeyFile(path: string, log: Log | undefined): Promise<string> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`
  try {
    const file = await open(aside, 'wx', 0o600)
    try {
      await file.writeFile(`v1:${randomBytes(keyBytes).toString('base64url')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    try {
      await link(aside, path)
      log?.info(
        { path },
        'a master key was made; keep a copy of this file, sealed credentials open with nothing else',
      )
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    } finally {
      await rm(aside)
    }
    const folder = await open(dirname(path), 'r')
    await folder.sync()
    await folder.close()
  } catch (error) {
    throw new StartError(
      `The master key file ${path} cannot be written (${codeOf(error)}). Give this user the right to write there, or set ATOM_MASTER_KEYS.`,
      { cause: error },
    )
  }
  return await readFile(path, 'utf8')
}

function wrongForm(source: string, reason: string): StartError {
  return new StartError(`${source} is not valid: ${reason}. The form is ${rightForm}`)
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
