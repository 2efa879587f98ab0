import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { chmod, link, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'
import { AwsKmsMasterKey, kmsKeyArn } from './aws-kms.ts'
import { LocalMasterKey, type MasterKey } from './master-key.ts'

const keyBytes = 32
const keyFileName = 'master.keys'
const entryForm = /^v([1-9]\d{0,8}):(?:aws-kms:(.+)|([A-Za-z0-9_-]{43})=?)$/
const rightForm =
  'v1:<32 random bytes as base64url> or v1:aws-kms:<ARN of a symmetric key>, further ones after a comma (v2:…); make one with: openssl rand -base64 32 | tr "+/" "-_" | tr -d "="'

/**
 * The versioned master keys: AES-256 keys in memory, or keys of a key service. The newest version seals; each one opens what
 * was sealed under it, so a key can be replaced, also by one of the other kind, while what it sealed is still there.
 */
export class Keyring {
  #current: MasterKey
  readonly #keys: Map<number, MasterKey>
  readonly #file: KeyFile | undefined

  /** `file`: where further keys may appear while this process runs. */
  constructor(keys: readonly MasterKey[], file?: KeyFile) {
    this.#current = newestOf(keys)
    this.#keys = new Map(keys.map((key) => [key.version, key]))
    this.#file = file
  }

  /** What seals from now on. */
  get current(): MasterKey {
    this.#look()
    return this.#current
  }

  find(version: number): MasterKey | undefined {
    if (!this.#keys.has(version)) this.#look()
    return this.#keys.get(version)
  }

  /** From the oldest to the newest. */
  get versions(): readonly number[] {
    this.#look()
    return [...this.#keys.keys()].sort((a, b) => a - b)
  }

  /**
   * Whether all keys answer. One that did at the last time is believed; one that did not is asked again, so that it is known
   * to be back before somebody needs it.
   *
   * @throws AtomError `unavailable`
   */
  async check(): Promise<void> {
    for (const key of this.#keys.values()) if (key.failing) await key.probe()
  }

  /**
   * What a process says of its keys to others on the same database, as the name of its sessions: `rotate-keys` must not move
   * anything under a key that a running server does not have.
   */
  get announcement(): string {
    return this.#file === undefined ? `atom (master key v${this.#current.version})` : 'atom (key file)'
  }

  /** A key that left the file still opens here; what is newest there seals. */
  #look(): void {
    const keys = this.#file?.changed()
    if (keys === undefined) return
    for (const key of keys) this.#keys.set(key.version, key)
    this.#current = newestOf(keys)
  }
}

function newestOf(keys: readonly MasterKey[]): MasterKey {
  const newest = keys.toSorted((a, b) => b.version - a.version)[0]
  if (newest === undefined) throw new Error('a keyring needs a key')
  return newest
}

/**
 * The key file of the data folder, looked at again whenever a key is asked for: `atom rotate-keys --new-key` adds to it while
 * the server runs. A look costs microseconds and happens once per new data key, never per value.
 */
class KeyFile {
  readonly #path: string
  readonly #log: Log | undefined
  #seen: string

  constructor(path: string, log: Log | undefined) {
    this.#path = path
    this.#log = log
    this.#seen = stateOf(path)
  }

  /** Its keys, where it is another file than at the last look. */
  changed(): readonly MasterKey[] | undefined {
    try {
      const state = stateOf(this.#path)
      if (state === this.#seen) return undefined
      const keys = parseKeys(readFileSync(this.#path, 'utf8'), this.#path, this.#log)
      this.#seen = state
      this.#log?.info(
        { path: this.#path, versions: keys.map(({ version }) => version) },
        'the master key file changed and was read again',
      )
      return keys
    } catch (error) {
      this.#log?.warn(
        { err: error, path: this.#path },
        'the master key file cannot be read any more; the keys read before stay in use',
      )
      return undefined
    }
  }
}

function stateOf(path: string): string {
  const { ino, size, mtimeMs } = statSync(path)
  return `${ino} ${size} ${mtimeMs}`
}

export interface KeyringOptions {
  /** The value of ATOM_MASTER_KEYS. */
  readonly env: string | undefined
  /** Where `master.keys` is kept when ATOM_MASTER_KEYS is not set; it is made when there is none. */
  readonly dataDir: string
  readonly log?: Log
  /** Refuse where there is no key file, instead of making one: for a command that works on what exists. */
  readonly mustExist?: boolean
}

/**
 * @throws StartError one sentence: keys that are not there, cannot be read, have another form, or do not answer
 */
export async function openKeyring(options: KeyringOptions): Promise<Keyring> {
  const keyring = await readKeyring(options)
  await prove(keyring.current)
  return keyring
}

async function readKeyring(options: KeyringOptions): Promise<Keyring> {
  if (options.env !== undefined) return parseKeyring(options.env, 'ATOM_MASTER_KEYS', options.log)
  const path = join(options.dataDir, keyFileName)
  const found = await readKeyFile(path, options.log)
  if (found === undefined && options.mustExist === true) {
    throw new StartError(
      `There is no master key file ${path}. Set ATOM_DATA_DIR or ATOM_MASTER_KEYS as the server has it.`,
    )
  }
  if (found === undefined) await createKeyFile(path, options.log)
  // Before the keys are read: a file that changes in between is then read once too often and not once too seldom.
  const file = new KeyFile(path, options.log)
  return new Keyring(parseKeys(await readFile(path, 'utf8'), path, options.log), file)
}

/** A key service that does not let us in is met when Atom starts, and not by the first person who connects an account. */
async function prove(key: MasterKey): Promise<void> {
  try {
    await key.probe()
  } catch (error) {
    throw new StartError(
      `The master key v${key.version} cannot be used (${reasonOf(error)}). Give this server the right to kms:Encrypt and kms:Decrypt with it, and the way to its region.`,
      { cause: error },
    )
  }
}

/** The service's own words, where it has said any. */
function reasonOf(error: unknown): string {
  const told = error instanceof AtomError ? error.cause : error
  return told instanceof Error ? `${told.name}: ${told.message}` : String(told)
}

/**
 * Adds a new newest key to the key file and answers its version: a random one, or `aws-kms:<ARN>`, which has to answer. The
 * file is replaced as a whole and on the disk when this resolves; it keeps its owner, who may not be who runs this. Two at
 * once must be kept apart by the caller.
 */
export async function addMasterKey(dataDir: string, elsewhere?: string): Promise<number> {
  const path = join(dataDir, keyFileName)
  try {
    await sweepAsides(path)
    const [text, { uid, gid }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    const version = newestOf(parseKeys(text, path)).version + 1
    const entry = `v${version}:${elsewhere ?? randomBytes(keyBytes).toString('base64url')}`
    await prove(newestOf(parseKeys(entry, 'The new master key')))
    const aside = await writeAside(path, `${text.trim()},${entry}\n`, { uid, gid })
    await rename(aside, path)
    await syncFolder(path)
    return version
  } catch (error) {
    if (error instanceof StartError) throw error
    throw new StartError(
      `The master key file ${path} cannot be replaced (${codeOf(error)}); it is as it was. Run this as the user that runs Atom.`,
      { cause: error },
    )
  }
}

/** `source` is named to the person when the form is wrong; what was found there never is. */
export function parseKeyring(text: string, source: string, log?: Log): Keyring {
  return new Keyring(parseKeys(text, source, log))
}

function parseKeys(text: string, source: string, log?: Log): readonly MasterKey[] {
  const keys: MasterKey[] = []
  for (const [index, entry] of text.trim().split(',').entries()) {
    const [, digits, arn, base64url = ''] = entryForm.exec(entry.trim()) ?? []
    const version = Number(digits)
    if (digits === undefined || (arn !== undefined && !kmsKeyArn.test(arn)))
      throw wrongForm(source, `entry ${index + 1} has another form`)
    if (keys.some((key) => key.version === version)) throw wrongForm(source, `v${version} is there twice`)
    keys.push(
      arn === undefined
        ? new LocalMasterKey(version, localKey(base64url, source, index + 1, version))
        : new AwsKmsMasterKey(version, arn, log),
    )
  }
  return keys
}

function localKey(base64url: string, source: string, entry: number, version: number): KeyObject {
  const bytes = Buffer.from(base64url, 'base64url')
  if (bytes.length !== keyBytes) throw wrongForm(source, `entry ${entry} has another form`)
  if (new Set(bytes).size < 8) throw wrongForm(source, `the key v${version} is not random`)
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
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
async function createKeyFile(path: string, log: Log | undefined): Promise<void> {
  try {
    const aside = await writeAside(path, `v1:${randomBytes(keyBytes).toString('base64url')}\n`)
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
    await syncFolder(path)
  } catch (error) {
    throw new StartError(
      `The master key file ${path} cannot be written (${codeOf(error)}). Give this user the right to write there, or set ATOM_MASTER_KEYS.`,
      { cause: error },
    )
  }
}

/** A private file beside `path`, on the disk. */
async function writeAside(
  path: string,
  text: string,
  owner?: { readonly uid: number; readonly gid: number },
): Promise<string> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`
  const file = await open(aside, 'wx', 0o600)
  try {
    await file.writeFile(text)
    const { uid, gid } = await file.stat()
    if (owner !== undefined && (owner.uid !== uid || owner.gid !== gid))
      await file.chown(owner.uid, owner.gid)
    await file.sync()
    return aside
  } catch (error) {
    await rm(aside)
    throw error
  } finally {
    await file.close()
  }
}

/** What a killed process left of its writing. */
async function sweepAsides(path: string): Promise<void> {
  const aside = new RegExp(`^${RegExp.escape(basename(path))}\\.[0-9a-f]{12}$`)
  for (const name of await readdir(dirname(path))) {
    if (aside.test(name)) await rm(join(dirname(path), name), { force: true })
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r')
  await folder.sync()
  await folder.close()
}

function wrongForm(source: string, reason: string): StartError {
  return new StartError(`${source} is not valid: ${reason}. The form is ${rightForm}`)
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
