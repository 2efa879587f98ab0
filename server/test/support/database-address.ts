import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { DatabaseAddress } from '#foundation/database/pool.ts'

// Apart from `postgres.ts`, which asks something of node:test: from then on every promise of the process takes several times as long,
// and a benchmark would measure that.

export const migrationsFolder = fileURLToPath(new URL('../../migrations', import.meta.url))

/** The same server, another database. */
export function named(server: DatabaseAddress, database: string): DatabaseAddress {
  const { user, password, host, port } = new pg.Client(server)
  return { host, port, database, ...(user && { user }), ...(password && { password }) }
}

/** As DATABASE_URL takes it. */
export function urlOf(address: DatabaseAddress): string {
  const { user, password, host, port, database } = new pg.Client(address)
  const url = new URL(`postgres://localhost/${database}`)
  url.username = user ?? ''
  if (typeof password === 'string') url.password = password
  // A Unix socket has no place in an address but here.
  if (host.startsWith('/')) url.searchParams.set('host', host)
  else url.hostname = host
  url.port = String(port)
  return url.href
}
