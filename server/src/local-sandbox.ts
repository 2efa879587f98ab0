import { join } from 'node:path'
import { type Sandbox, startSandbox } from '@atom/sandbox/sandbox.ts'
import type { SandboxOffer, SandboxView } from '#connections/apps.ts'
import type { Log } from '#foundation/log.ts'

/** What the sandbox stands in for, running or not; the compiler asks for each one that it learns. */
export const sandboxProviders: readonly string[] = Object.keys({
  github: true,
  google: true,
  microsoft: true,
  asana: true,
  salesforce: true,
  hubspot: true,
  notion: true,
  slack: true,
} satisfies Record<keyof Sandbox['apps'], true>)

/**
 * The provider sandbox of this server: started when it is asked for, and again with the server once it was, because the
 * connections made with it live on.
 */
export class LocalSandbox implements SandboxOffer, AsyncDisposable {
  readonly providers = sandboxProviders
  readonly #dataDir: string
  readonly #log: Log
  readonly #redirectUris: () => readonly string[]
  #sandbox: Sandbox | undefined
  #opening: Promise<Sandbox> | undefined

  constructor(options: { dataDir: string; log: Log; redirectUris: () => readonly string[] }) {
    this.#dataDir = options.dataDir
    this.#log = options.log
    this.#redirectUris = options.redirectUris
  }

  /** Where the state is kept; its being there says that the sandbox was used before. */
  get file(): string {
    return join(this.#dataDir, 'sandbox.sqlite')
  }

  running(): SandboxView | undefined {
    return this.#sandbox
  }

  /** Origins that the server may call on loopback. */
  reach(): readonly string[] {
    return this.#sandbox === undefined ? [] : [this.#sandbox.url]
  }

  async open(): Promise<SandboxView> {
    this.#opening ??= startSandbox({
      dataDir: this.#dataDir,
      redirectUris: this.#redirectUris(),
      log: this.#log,
    })
    try {
      this.#sandbox = await this.#opening
    } catch (thrown) {
      this.#opening = undefined
      throw thrown
    }
    return this.#sandbox
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#opening)?.[Symbol.asyncDispose]()
  }
}
