import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { founder } from './doors.ts'

const run = promisify(execFile)

export interface ApplicationSettings {
  /** Of Atom. */
  readonly url: string
  readonly collectorUrl: string
  readonly founder: typeof founder
}

/** Traces, by what was done in them, and the errors that an operator saw at the end. */
export interface ApplicationTold {
  readonly overSocket: string
  readonly overHttp: string
  readonly failed: string
  readonly errors: readonly { readonly place: string; readonly exampleTraceId: string | null }[]
}

/** Runs the application, which uses `@atom/client`, to its end: in a process of its own, as it is not a part of the server. */
export async function runApplication(settings: ApplicationSettings): Promise<ApplicationTold> {
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'traced-application-child.ts')], {
    env: { ...process.env, ATOM_TEST_APPLICATION: JSON.stringify(settings) },
  })
  return JSON.parse(stdout) as ApplicationTold
}
