import { randomBytes } from 'node:crypto'
import {
  access,
  chmod,
  chown,
  constants,
  lchown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Log } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'
import type { Binaries } from './postgres-binaries.ts'
import { here, isAlive, type RunAs, runProgram } from './postmaster.ts'

/** `nobody`: exists as a number everywhere, owns nothing, and needs no entry in any file. */
const nobody = 65_534
const noUserName = /could not look up effective user ID/
const unfinished = /^database\.new-(\d+)-[0-9a-f]+$/

export const databaseUser = 'atom'
export const databaseName = 'atom'

/** Makes sure that the data folder exists and can be written; its absolute path, without links. */
export async function openDataDir(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    const path = await realpath(dataDir)
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
    // Root may write where no file can be made: a read-only file system says so only when it is tried.
    const probe = join(path, `.write-${randomBytes(6).toString('hex')}`)
    await mkdir(probe)
    await rm(probe, { recursive: true })
    return path
  } catch (error) {
    throw new StartError(
      `The data folder ${dataDir} cannot be written (${codeOf(error)}). Give this user the right to write there, or name another folder in ATOM_DATA_DIR.`,
      { cause: error },
    )
  }
}

/**
 * Who PostgreSQL runs as: ourselves; when we are root, whom PostgreSQL refuses to run as, the owner of the database if there
 * is one already, and `nobody` otherwise. A database that belongs to root was copied there: it is given to `nobody`.
 */
export async function runnerOf(folder: string): Promise<RunAs | undefined> {
  const own = process.geteuid?.()
  const owner = await ownerOf(folder)
  if (own !== 0) {
    if (owner !== undefined && owner.uid !== own) {
      throw new StartError(
        `The database in ${folder} belongs to user ${owner.uid}, and Atom runs as user ${own}. Start Atom as it was started before, or run: chown -R ${own} ${dirname(folder)}`,
      )
    }
    return undefined
  }
  if (owner === undefined) return { uid: nobody, gid: nobody }
  if (owner.uid !== 0) return owner
  await give(folder, nobody)
  return { uid: nobody, gid: nobody }
}

/** Refuses a database that these programs cannot open. */
export async function checkMajor(folder: string, binaries: Binaries): Promise<void> {
  const written = Number.parseInt(await readFile(join(folder, 'PG_VERSION'), 'utf8'), 10)
  if (written === binaries.major) return
  throw new StartError(
    `The database in ${folder} was written by PostgreSQL ${written}, and this Atom carries PostgreSQL ${binaries.major}. Start the Atom that wrote it, or name another folder in ATOM_DATA_DIR.`,
  )
}

/** Makes the database aside and moves it to its place when it is whole and on the disk. False when it was there already. */
export async function createIfMissing(options: {
  readonly folder: string
  readonly binaries: Binaries
  readonly runAs: RunAs | undefined
  readonly log: Log
}): Promise<boolean> {
  const { folder, binaries, runAs } = options
  await sweepUnfinished(dirname(folder), options.log)
  if ((await ownerOf(folder)) !== undefined) return false
  const aside = join(dirname(folder), `database.new-${process.pid}-${randomBytes(6).toString('hex')}`)
  await mkdir(aside, { mode: 0o700 })
  try {
    if (runAs !== undefined) await chown(aside, runAs.uid, runAs.gid)
    await fill(aside, binaries, runAs, options.log)
    await rename(aside, folder)
    const parent = await open(dirname(folder), 'r')
    await parent.sync()
    await parent.close()
    return true
  } catch (error) {
    await rm(aside, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
    // Another Atom was faster; who may use the folder is decided when the server starts.
    if (['ENOTEMPTY', 'EEXIST'].includes(codeOf(error))) return false
    throw error
  }
}

async function fill(folder: string, binaries: Binaries, runAs: RunAs | undefined, log: Log): Promise<void> {
  const initdb = {
    program: join(binaries.home, 'bin', 'initdb'),
    // Without --no-sync: a page of the catalog that the kernel still holds back at a power cut would be lost together with
    // every row that was acknowledged since, and the sync costs next to nothing (decision 0011).
    args: [
      `--pgdata=${here}`,
      `--username=${databaseUser}`,
      '--auth=trust',
      '--encoding=UTF8',
      '--locale-provider=builtin',
      '--locale=C.UTF-8',
      '--data-checksums',
    ],
  }
  const create = {
    program: join(binaries.home, 'bin', 'postgres'),
    args: ['--single', '-D', here, 'postgres'],
    input: `create database ${databaseName}\n`,
  }
  const outcome = await runBoth([initdb, create], { folder, runAs })
  if (outcome === undefined) return
  if (!noUserName.test(outcome)) throw explainedFailure(outcome)
  log.info('this user id has no name; the database is made under a borrowed one')
  const borrowed = await borrowName([initdb, create])
  const again = borrowed && (await runBoth(borrowed, { folder, runAs }))
  if (borrowed !== undefined && again === undefined) return
  throw new StartError(
    `The user id ${runAs?.uid ?? process.geteuid?.()} has no name, and PostgreSQL makes a database only for a user that has one. Add a line for it to /etc/passwd, start Atom once as a user with a name on this data folder, or set DATABASE_URL to a PostgreSQL of your own.`,
    { cause: new Error(again ?? outcome) },
  )
}

interface Program {
  readonly program: string
  readonly args: readonly string[]
  readonly input?: string
}

/** Nothing when all succeed, what was said by the first that does not. */
async function runBoth(
  programs: readonly Program[],
  where: { readonly folder: string; readonly runAs: RunAs | undefined },
): Promise<string | undefined> {
  for (const program of programs) {
    const { code, said } = await runProgram({ ...program, ...where })
    if (code !== 0) return said
  }
  return undefined
}

/**
 * initdb and the single-user mode look their user up by name and refuse a number without one, as containers give it; the
 * server itself does not mind. In a user namespace of its own (user_namespaces(7)) such a user can pass for one that has a
 * name, where the kernel allows that; what is written belongs to its real number all the same.
 */
async function borrowName(programs: readonly Program[]): Promise<readonly Program[] | undefined> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => Number(line.split(':')[2]))
  const named = users.find((uid) => uid > 0)
  if (named === undefined) return undefined
  const unshare = ['--user', `--map-user=${named}`, `--map-group=${named}`, '--']
  return programs.map(({ program, args, ...rest }) => ({
    program: 'unshare',
    args: [...unshare, program, ...args],
    ...rest,
  }))
}

/** What a program of PostgreSQL said before it gave up, as a sentence that names the next step. */
export function explainedFailure(said: string): StartError {
  const cause = { cause: new Error(said) }
  const library = /error while loading shared libraries: (\S+):/.exec(said)?.[1]
  if (library !== undefined) {
    const advice = library.startsWith('libstdc++')
      ? 'Install it (on Debian: apt-get install libstdc++6)'
      : 'Install it, run "npm install" again'
    return new StartError(
      `The embedded database needs the library ${library}, which is missing here. ${advice}, or set DATABASE_URL to a PostgreSQL of your own.`,
      cause,
    )
  }
  if (/No space left on device/.test(said)) {
    return new StartError(
      'The embedded database has no space left on the disk. Free some, and start again.',
      cause,
    )
  }
  const words = said
    .split('\n')
    .map((line) => line.replace(/^.*?(FATAL|PANIC|ERROR|initdb: error): +/, ''))
    .filter((line) => line.trim() !== '')
  const last =
    words.findLast((_, at) => /FATAL|PANIC|error/i.test(said.split('\n')[at] ?? '')) ?? words.at(-1)
  return new StartError(
    `The embedded database does not start: ${last ?? 'it said nothing'}. See database.log in the data folder, or set DATABASE_URL to a PostgreSQL of your own.`,
    cause,
  )
}

async function sweepUnfinished(dataDir: string, log: Log): Promise<void> {
  for (const name of await readdir(dataDir)) {
    const pid = unfinished.exec(name)?.[1]
    if (pid === undefined || (isAlive(Number(pid)) && Number(pid) !== process.pid)) continue
    log.info({ folder: name }, 'removing a database that was never finished')
    await rm(join(dataDir, name), { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  }
}

async function ownerOf(folder: string): Promise<RunAs | undefined> {
  try {
    const { uid, gid } = await lstat(folder)
    return { uid, gid }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function give(folder: string, uid: number): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    await lchown(join(entry.parentPath, entry.name), uid, uid)
  }
  await lchown(folder, uid, uid)
  await chmod(folder, 0o700)
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
