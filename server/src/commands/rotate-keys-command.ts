import { realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import sql from 'sql-template-tag'
import { signingKeys } from '../access/signing-keys.ts'
import { type Config, readConfig } from '../config.ts'
import { connectionKeys } from '../connections/data-keys.ts'
import { type KeyCount, KeyRotation, type RotationResult } from '../foundation/crypto/key-rotation.ts'
import { addMasterKey, type Keyring, openKeyring } from '../foundation/crypto/keyring.ts'
import { reachEmbedded, startEmbedded } from '../foundation/database/embedded.ts'
import { pendingMigrations } from '../foundation/database/migrate.ts'
import { type Database, type DatabaseAddress, openDatabase } from '../foundation/database/pool.ts'
import { AtomError } from '../foundation/errors.ts'
import { createLog, type Log } from '../foundation/log.ts'
import { StartError } from '../foundation/start-error.ts'
import { ProgressLine } from './progress-line.ts'

/** One batch at a time, and one more for what is asked beside it. */
const poolSize = 2

const help = `
Works while servers run. It may be stopped at any moment, kill -9 included: start it again and it goes on where it was.

With the key file of the data folder (no ATOM_MASTER_KEYS): atom rotate-keys --new-key. A running server takes the key up.
To a key in AWS KMS: atom rotate-keys --new-key aws-kms:<its ARN>. The server needs kms:Encrypt and kms:Decrypt with it.
With ATOM_MASTER_KEYS: add v2:<32 random bytes as base64url> or v2:aws-kms:<ARN>, restart every server with it, then atom rotate-keys.

Exit status: 0 everything is under the newest master key, 1 it is not, 2 wrong call.`

/** `atom rotate-keys`: every data key under the newest master key, so that the older ones can be put away. */
export function rotateKeysCommand(): Command {
  return new Command('rotate-keys')
    .description('move every data key to the newest master key, while the server runs')
    .option('--new-key [key]', 'first add a new master key to the key file of the data folder')
    .addOption(
      new Option('--dry-run', 'count the data keys under each master key and change nothing').conflicts(
        'newKey',
      ),
    )
    .addHelpText('after', help)
    .action(async (options: { newKey?: true | string; dryRun?: boolean }, command: Command) => {
      const config = readConfig()
      if (options.newKey !== undefined && config.masterKeys !== undefined) {
        command.error(
          'error: --new-key adds to the key file, and ATOM_MASTER_KEYS is set. Add a key there, restart every server with it, and run this without --new-key.',
          { exitCode: 2 },
        )
      }
      if (typeof options.newKey === 'string' && !options.newKey.startsWith('aws-kms:')) {
        command.error(
          'error: --new-key makes a random key by itself, or takes aws-kms:<ARN>. A secret on a command line can be read by others.',
          { exitCode: 2 },
        )
      }
      const log = createLog({ level: 'warn', readable: process.stdout.isTTY === true })
      await using born = new AsyncDisposableStack()
      const dataDir = await existing(config)
      const keyring = await openKeyring({ env: config.masterKeys?.reveal(), dataDir, log, mustExist: true })
      const database = await openExisting(config, dataDir, { log, born })
      // Signing keys first: from then on no server starts without the newest master key.
      const rotation = new KeyRotation({ database, keyring, columns: [signingKeys, ...connectionKeys] })
      if (options.dryRun === true) {
        process.stdout.write(counted(await rotation.count(), keyring))
        return
      }
      await requireServersWith(database, config, keyring, options.newKey !== undefined)
      if (options.newKey !== undefined) {
        const elsewhere = options.newKey === true ? undefined : options.newKey
        const version = await addedKey(database, dataDir, elsewhere)
        process.stdout.write(
          `Master key v${version} was added to ${join(dataDir, 'master.keys')}. Copy that file to where its copies are kept.\n`,
        )
      }
      const line = new ProgressLine({ output: process.stdout, what: 'data keys' })
      const result = await finished(rotation.run((progress) => line.tell(progress))).finally(() => line.end())
      process.stdout.write(outcome(result, await rotation.count(), keyring, config))
      if (result.refused.length > 0 || result.held > 0) process.exitCode = 1
    })
}

/** @throws StartError where the database or a key service stayed away for too long */
async function finished(run: Promise<RotationResult>): Promise<RotationResult> {
  try {
    return await run
  } catch (error) {
    if (!(error instanceof AtomError)) throw error
    throw new StartError(`${error.detail} What is moved stays moved: run this again to go on.`, {
      cause: error,
    })
  }
}

/** The data folder; this command makes none. */
async function existing(config: Config): Promise<string> {
  if (config.databaseUrl !== undefined && config.masterKeys !== undefined) return config.dataDir
  const needed = config.databaseUrl === undefined ? join(config.dataDir, 'database') : config.dataDir
  try {
    await stat(needed)
    return await realpath(config.dataDir)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new StartError(
      code === 'ENOENT'
        ? `There is no Atom in ${config.dataDir}. Name its data folder in ATOM_DATA_DIR, or its database in DATABASE_URL.`
        : `The data folder ${config.dataDir} cannot be read (${code}). Run this as the user that runs Atom.`,
      { cause: error },
    )
  }
}

/** The database as it is: the running server's where one runs. It is not migrated, which is the server's to do. */
async function openExisting(
  config: Config,
  dataDir: string,
  { log, born }: { log: Log; born: AsyncDisposableStack },
): Promise<Database> {
  const address: DatabaseAddress =
    config.databaseUrl === undefined
      ? born.use((await reachEmbedded(dataDir)) ?? (await startEmbedded({ dataDir, log }))).connection
      : { connectionString: config.databaseUrl.reveal() }
  const connection = { ...address, application_name: 'atom rotate-keys' }
  const database = born.use(await openDatabase({ connection, poolSize, log }))
  // Of another schema than this version's nobody could say that nothing is left on a key.
  const { migrationsFolder } = await import('../app.ts')
  const [pending] = await pendingMigrations(database, migrationsFolder)
  if (pending !== undefined) {
    throw new StartError(
      `The database is not of this version of Atom yet (${pending} is missing). Start the server of this version, or run: atom migrate`,
    )
  }
  return database
}

/**
 * Nothing is moved under a key that a running server lacks: it could open nothing any more. Each server says in the name of
 * its sessions what it has (`Keyring.announcement`).
 *
 * @throws StartError which server lacks what
 */
async function requireServersWith(
  database: Database,
  config: Config,
  keyring: Keyring,
  newKey: boolean,
): Promise<void> {
  const running = await database.query<{ name: string }>(sql`
    select distinct application_name as name from pg_stat_activity
    where datname = current_database() and application_name like 'atom (%'`)
  const fitting = newKey ? 'atom (key file)' : keyring.announcement
  const other = running.find(({ name }) => name !== fitting)
  if (other === undefined) return
  const theirs = /v\d+/.exec(other.name)?.[0]
  const here = config.masterKeys === undefined ? 'the key file of the data folder' : 'ATOM_MASTER_KEYS'
  throw new StartError(
    theirs === undefined
      ? `A server on this database has its master keys from its key file, and this command has them from ${here}. Run it without ATOM_MASTER_KEYS.`
      : `A server on this database has ${theirs} as its newest master key, from ATOM_MASTER_KEYS, and this command has v${keyring.current.version} from ${here}. Restart every server with the new key, and run this with the same ATOM_MASTER_KEYS.`,
  )
}

/** Of two commands that add a key at once, the second waits here and adds its own after the first one's. */
async function addedKey(database: Database, dataDir: string, elsewhere: string | undefined): Promise<number> {
  return await database.transaction(async (tx) => {
    await tx.query(sql`select pg_advisory_xact_lock(hashtext('atom master.keys'))`)
    return await addMasterKey(dataDir, elsewhere)
  })
}

function counted(counts: readonly KeyCount[], keyring: Keyring): string {
  const newest = keyring.current.version
  const versions = new Set([...keyring.versions, ...counts.map(({ version }) => version)])
  const lines = [...versions]
    .sort((a, b) => a - b)
    .map((version) => {
      const kinds = counts.filter((one) => one.version === version && one.keys > 0)
      const list = kinds.map(({ noun, keys }) => things(keys, noun)).join(', ')
      const role =
        version === newest
          ? ' (newest)'
          : keyring.versions.includes(version)
            ? ''
            : ' (not among the master keys)'
      return `v${version}${role}: ${list === '' ? 'nothing' : list}`
    })
  const older = counts.filter(({ version }) => version !== newest).reduce((sum, { keys }) => sum + keys, 0)
  return `${lines.join('\n')}\n${things(older, 'data key')} would move to v${newest}.\n`
}

const namedRefusals = 20

function outcome(
  result: RotationResult,
  counts: readonly KeyCount[],
  keyring: Keyring,
  config: Config,
): string {
  const { version, rewrapped, refused, held } = result
  const lines = [`${things(rewrapped, 'data key')} moved to master key v${version}.`]
  for (const one of refused.slice(0, namedRefusals)) {
    lines.push(`Refused: ${one.noun} ${one.id}: ${one.reason}. What to do: ${one.remedy}.`)
  }
  if (refused.length > namedRefusals) lines.push(`… and ${refused.length - namedRefusals} more.`)
  if (held > 0) {
    lines.push(`${things(held, 'data key')} held by a transaction that does not end. Run this again.`)
  }
  const place = config.masterKeys === undefined ? 'master.keys' : 'ATOM_MASTER_KEYS'
  for (const older of keyring.versions.filter((one) => one < version)) {
    const left = counts.filter((one) => one.version === older).reduce((sum, { keys }) => sum + keys, 0)
    const verdict =
      left > 0 || refused.length > 0
        ? `v${older} must stay in ${place}`
        : `v${older} may be removed from ${place}; backups from before now still need it`
    lines.push(`${things(left, 'key')} left on v${older}: ${verdict}.`)
  }
  return `${lines.join('\n')}\n`
}

function things(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}
