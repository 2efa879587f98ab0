import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** What tests and benchmarks need of Debian, and where its programs are then. */
const packages = {
  'postgresql-15': '/usr/lib/postgresql/15/bin/postgres',
  // Not `redis-server`, which would start a service: the program itself is in the tools, and goes by the name it is called.
  'redis-tools': '/usr/bin/redis-check-rdb',
  chromium: '/usr/bin/chromium',
  // A peer of benchmarks; tests do without.
  'nats-server': '/usr/sbin/nats-server',
} as const

/** Installs those that are missing when we are root; otherwise says what to install, and ends. */
export function installDebianPackages(...wanted: readonly (keyof typeof packages)[]): void {
  const missing = wanted.filter((name) => !existsSync(packages[name]))
  if (missing.length === 0) return
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    console.error(
      `This needs ${missing.join(' and ')}. Install them as root (${command}) and run the same command again.`,
    )
    process.exit(1)
  }
  console.error(`Installing Debian packages: ${missing.join(', ')}`)
  // A test machine wants the programs, not a database service of its own.
  const script = `mkdir -p /etc/postgresql-common && { [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; } && apt-get update -qq && ${command} -qq`
  const done = spawnSync('sh', ['-c', script], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  if (done.status !== 0) {
    console.error(`The Debian packages could not be installed: ${command}`)
    process.exit(1)
  }
}
