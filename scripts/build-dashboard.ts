import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dashboard', 'dist')
const mark = join(dist, '.built-from')

/** Builds dashboard/dist unless it was built from exactly these sources. Into a folder beside it first, so that a kill in mid-build leaves no half dashboard. */
export async function buildDashboard(): Promise<void> {
  const sources = await fingerprintOfSources()
  if (existsSync(mark) && (await readFile(mark, 'utf8')) === sources) return
  const began = Date.now()
  const live = process.stderr.isTTY
  process.stderr.write(`Building the dashboard …${live ? '' : '\n'}`)
  const next = `${dist}.next-${process.pid}`
  await rm(next, { recursive: true, force: true })
  const { code, said } = await vite(next)
  if (code !== 0) {
    await rm(next, { recursive: true, force: true })
    process.stderr.write(`\n${said}\nThe dashboard could not be built; its sources are in ./dashboard.\n`)
    process.exit(1)
  }
  await compress(join(next, 'assets'))
  await writeFile(join(next, '.built-from'), sources)
  await putInPlace(next)
  process.stderr.write(
    `${live ? '\r\x1b[K' : ''}Building the dashboard: ${((Date.now() - began) / 1000).toFixed(1)} s\n`,
  )
}

/** Of two that build at once each puts its own there, and they are the same. */
async function putInPlace(next: string): Promise<void> {
  for (let times = 1; ; times++) {
    await rm(dist, { recursive: true, force: true, maxRetries: 5 })
    try {
      return await rename(next, dist)
    } catch (error) {
      const faster =
        error instanceof Error && 'code' in error && /^(ENOTEMPTY|EEXIST)$/.test(String(error.code))
      if (!faster || times === 5) throw error
    }
  }
}

/** Beside each text file its smaller forms, so that no request has to make them. Fonts are compressed already. */
async function compress(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/\.(js|css|svg)$/.test(name)) continue
    const file = join(folder, name)
    const bytes = await readFile(file)
    await writeFile(`${file}.gz`, gzipSync(bytes, { level: 9 }))
    await writeFile(
      `${file}.br`,
      brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
    )
  }
}

async function vite(outDir: string): Promise<{ code: number | null; said: string }> {
  const child = spawn(
    process.execPath,
    [
      join(root, 'node_modules', 'vite', 'bin', 'vite.js'),
      'build',
      '--outDir',
      outDir,
      '--emptyOutDir',
      '--logLevel',
      'warn',
    ],
    { cwd: join(root, 'dashboard'), stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let said = ''
  child.stdout.on('data', (chunk) => {
    said += chunk
  })
  child.stderr.on('data', (chunk) => {
    said += chunk
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, said: said.slice(-4000) }
}

async function fingerprintOfSources(): Promise<string> {
  const hash = createHash('sha256')
  const folders = ['dashboard/src', 'dashboard/public', 'client/src', 'contract/src']
  const files = [
    'dashboard/index.html',
    'dashboard/vite.config.ts',
    'dashboard/package.json',
    'package-lock.json',
    'scripts/build-dashboard.ts',
  ]
  for (const folder of folders) {
    const place = join(root, folder)
    if (!existsSync(place)) continue
    for (const entry of await readdir(place, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) files.push(join(entry.parentPath, entry.name).slice(root.length + 1))
    }
  }
  for (const file of files.sort()) {
    const path = join(root, file)
    if (existsSync(path))
      hash
        .update(file)
        .update('\0')
        .update(await readFile(path))
        .update('\0')
  }
  return hash.digest('hex')
}
