import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { StartError } from '#foundation/start-error.ts'

/**
 * Says that the port is taken before anything else is started for nothing. Not in a worker: all workers share the port, and
 * the process that started them has asked. @throws StartError
 */
export async function requireFreePort(host: string, port: number): Promise<void> {
  if (cluster.isWorker) return
  const probe = createServer()
  try {
    probe.listen({ host, port, exclusive: true })
    await once(probe, 'listening')
  } catch (error) {
    throw portError(error, host, port)
  }
  probe.close()
  await once(probe, 'close')
}

/** What a failure to listen means to the person at the terminal; anything else as it is. `variable` sets the port. */
export function portError(error: unknown, host: string, port: number, variable = 'ATOM_PORT'): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') {
    return new StartError(
      `Port ${port} on ${host} is in use by another program. Stop it, or set ${variable} to a free port.`,
      { cause: error },
    )
  }
  if (code === 'EACCES') {
    return new StartError(`This user may not listen on port ${port}. Set ${variable} to 1024 or higher.`, {
      cause: error,
    })
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new StartError(
      `${host} is not an address of this machine. Set ATOM_HOST to one that is, or to 0.0.0.0 for all.`,
      { cause: error },
    )
  }
  return error
}
