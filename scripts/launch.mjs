// The door of every npm script. Plain JavaScript for Node 20, because it runs before anything is installed: it installs what
// is missing, then hands over to the Node that the project pins (npm packages `node-linux-*`, or a system Node 24/26).
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import * as module from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const stamp = join(modules, '.atom-installed')
const lock = join(root, '.atom-install.lock')
/** What the stamp says while an installation is under way. */
const cutOff = 'under way'
const pinnedMajors = [24, 26]
const targets = {
  start: 'start.ts',
  test: 'test.ts',
  check: 'check.ts',
  bench: 'bench.ts',
  chaos: '../server/test/chaos/command.ts',
}

const [command, ...args] = process.argv.slice(2)
const target = targets[command]
if (target === undefined) stop(2, `Usage: npm run ${Object.keys(targets).join('|')}`)

// `npm start` needs the product; everything else needs the tools that build and test it too.
await install(command === 'start' ? 'product' : 'everything')
const node = pinnedNode()
const script = join(root, 'scripts', target)
// What Node makes of the sources is kept, for this process and those that it starts: a start takes half of its time.
process.env.NODE_COMPILE_CACHE ??= join(modules, '.cache', 'atom-compiled')
if (node === process.execPath) {
  process.argv = [process.execPath, script, ...args]
  module.enableCompileCache(process.env.NODE_COMPILE_CACHE)
  await import(pathToFileURL(script).href)
} else {
  handOver(node, [script, ...args])
}

async function install(scope) {
  const wanted = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  if (isInstalled(wanted, scope)) return
  await withLock(async () => {
    if (isInstalled(wanted, scope)) return
    // npm unpacks into place: what an installation that was cut off has left looks whole and is not. Its downloads are kept.
    if (wasCutOff()) removeModules()
    mkdirSync(modules, { recursive: true })
    writeFileSync(stamp, cutOff)
    const total = expectedPackages(scope)
    const bar = progress('Installing', total)
    const npm = spawn(process.platform === 'win32' ? 'npm.cmd' : 'npm', installArguments(scope), {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    const listen = (chunk) => {
      said = (said + chunk).slice(-4000)
    }
    npm.stdout.on('data', listen)
    npm.stderr.on('data', listen)
    const ticking = setInterval(() => bar.at(installedPackages()), 250)
    const code = await new Promise((resolve) => {
      npm.on('error', () => resolve(-1))
      npm.on('close', resolve)
    })
    clearInterval(ticking)
    if (code !== 0) {
      bar.end('failed')
      stop(
        1,
        `${essence(said)}\nThe packages could not be installed. Check that the npm registry is in reach, then run the same command again.`,
      )
    }
    writeFileSync(stamp, `${wanted} ${scope}\n`)
    bar.end(`${total} packages`)
  })
}

/**
 * As the lock file says, without writing it. Not `npm ci`: it refuses a lock file that leaves out a binary for another
 * platform which the registry did not have when the file was written.
 */
function installArguments(scope) {
  const omitted = scope === 'product' ? ['--omit=dev'] : []
  return ['install', ...omitted, '--no-save', '--no-audit', '--no-fund', '--loglevel=error']
}

function isInstalled(wanted, scope) {
  if (!existsSync(stamp)) return false
  const [installed, had] = readFileSync(stamp, 'utf8').trim().split(' ')
  return installed === wanted && (had === 'everything' || had === scope)
}

function wasCutOff() {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === cutOff
}

function removeModules() {
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const place of ['', ...workspaces])
    rmSync(join(root, place, 'node_modules'), { recursive: true, force: true })
}

/** What npm says without its stack traces and the parts of its errors, which say the same again. */
function essence(said) {
  return said
    .split('\n')
    .map((line) => line.replace(/^npm (error|ERR!) ?/, ''))
    .filter((line) => /^\S/.test(line) && !/^[{}]|^(syscall|errno) |^A complete log/.test(line))
    .slice(0, 6)
    .join('\n')
}

function expectedPackages(scope) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  return Object.entries(packages).filter(
    ([place, entry]) =>
      place.startsWith('node_modules/') &&
      !place.includes('/node_modules/', 1) &&
      !(scope === 'product' && entry.dev) &&
      (!entry.os || entry.os.includes(process.platform)) &&
      (!entry.cpu || entry.cpu.includes(process.arch)),
  ).length
}

function installedPackages() {
  if (!existsSync(modules)) return 0
  let count = 0
  for (const name of readdirSync(modules)) {
    if (name.startsWith('.')) continue
    count += name.startsWith('@') ? readdirSync(join(modules, name)).length : 1
  }
  return count
}

/** One starter installs; a second one waits for it instead of tearing the folder from under it. */
async function withLock(work) {
  for (let told = false; ; ) {
    try {
      const file = openSync(lock, 'wx')
      writeSync(file, String(process.pid))
      closeSync(file)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') {
        stop(
          1,
          `The folder ${root} is not writable (${error.code}). Give this user the right to write there and start again.`,
        )
      }
      if (isAlive(holderOf(lock))) {
        if (!told) process.stderr.write('Another start is installing the packages; waiting for it …\n')
        told = true
        await new Promise((resolve) => setTimeout(resolve, 300))
      } else rmSync(lock, { force: true })
    }
  }
  const free = () => rmSync(lock, { force: true })
  process.once('exit', free)
  try {
    await work()
  } finally {
    free()
    process.removeListener('exit', free)
  }
}

/** NaN where it has just let go. */
function holderOf(file) {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') return Number.NaN
    throw error
  }
}

function isAlive(pid) {
  if (!pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** The first of: the Node that runs this, the one from npm, both only if of a pinned major. */
function pinnedNode() {
  if (pinnedMajors.includes(Number(process.versions.node.split('.')[0]))) return process.execPath
  const fromNpm = join(modules, `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (existsSync(fromNpm) && spawnSync(fromNpm, ['--version']).status === 0) return fromNpm
  return stop(
    1,
    `Atom runs on Node ${pinnedMajors.join(' or ')}; this is ${process.version} and npm has no binary for ${process.platform}-${process.arch}. Install Node ${pinnedMajors[0]} and run the same command again.`,
  )
}

function handOver(node, argv) {
  const child = spawn(node, argv, {
    cwd: process.cwd(),
    stdio: 'inherit',
    env: { ...process.env, PATH: `${join(modules, '.bin')}:${process.env.PATH}` },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 1)))
}

function progress(label, total) {
  const began = Date.now()
  const live = process.stderr.isTTY
  if (!live) process.stderr.write(`${label} ${total} packages …\n`)
  const seconds = () => `${((Date.now() - began) / 1000).toFixed(0)} s`
  return {
    at(done) {
      if (!live) return
      const filled = Math.min(24, Math.round((24 * done) / total))
      process.stderr.write(
        `\r${label} ${'━'.repeat(filled)}${'─'.repeat(24 - filled)} ${Math.min(done, total)}/${total} ${seconds()} `,
      )
    },
    end(outcome) {
      process.stderr.write(`${live ? '\r\x1b[K' : ''}${label}: ${outcome}, ${seconds()}\n`)
    },
  }
}

function stop(code, sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exit(code)
}
