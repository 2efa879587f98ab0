import { randomBytes } from 'node:crypto'
import type { AppRegistry } from '../app-registry.ts'
import { type AppToken, AppTokens } from '../app-tokens.ts'
import type { GrantStore } from '../grant-store.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import type { ServiceKeys } from '../service-keys.ts'
import { organisation } from './github-data.ts'
import type { Repository } from './github-seed.ts'

/** What the GitHub App is called in addresses, and by its number. */
export const githubApp = { slug: 'atom-sandbox', id: 1_042_042, name: 'Atom Sandbox' } as const
/** Who writes what the app writes. */
export const appLogin = `${githubApp.slug}[bot]`

/** What the app asks each account for. */
export const appPermissions: Permissions = {
  contents: 'read',
  issues: 'write',
  metadata: 'read',
  pull_requests: 'read',
}

/** Permission → `read` or `write`. */
export type Permissions = Readonly<Record<string, string>>

const tokenSeconds = 3600
const longestAssertionSeconds = 600
const letters = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

export interface Installation {
  readonly id: number
  /** Login of the person or organisation it is installed for. */
  readonly account: string
  /** Ids of repositories; all of the account's, also those to come, where absent. */
  readonly repositories?: readonly number[]
  /** Key of the person who did it. */
  readonly installedBy: string
  readonly createdAt: string
  readonly updatedAt: string
  readonly suspendedAt: string | null
  /** Asked for by somebody who may not decide; there is no installation yet. */
  readonly requested?: true
}

/** What a token of an installation may reach: never more than the installation itself. */
export interface InstallationToken {
  readonly installation: Installation
  readonly permissions: Permissions
  /** Ids; all of the installation's where absent. */
  readonly repositories: readonly number[] | undefined
}

/** What is wrong with what an app says for itself, in GitHub's words. */
export interface AssertionRefusal {
  readonly status: number
  readonly message: string
}

/** Where the GitHub App is installed, and what it may do there. Tokens end with the installation. */
export class GithubInstallations {
  readonly #installations: Collection<Installation>
  readonly #store: SandboxStore
  readonly #tokens: AppTokens
  readonly #keys: ServiceKeys
  readonly #apps: AppRegistry
  readonly #clock: SandboxClock

  constructor(dependencies: {
    store: SandboxStore
    grants: GrantStore
    keys: ServiceKeys
    apps: AppRegistry
    clock: SandboxClock
  }) {
    this.#store = dependencies.store
    this.#installations = dependencies.store.collection('github', 'installation')
    this.#keys = dependencies.keys
    this.#apps = dependencies.apps
    this.#clock = dependencies.clock
    this.#tokens = new AppTokens({
      grants: dependencies.grants,
      mint: () => `ghs_${Array.from(randomBytes(36), (byte) => letters[byte % 62]).join('')}`,
    })
  }

  /** Whether people are asked to authorize the app when they install it, so that the callback has a `code` too. */
  get authorizes(): boolean {
    return this.#store.setting('github.authorizeOnInstall') === 'on'
  }

  set authorizes(on: boolean) {
    this.#store.keepSetting('github.authorizeOnInstall', on ? 'on' : 'off')
  }

  list(): Installation[] {
    return this.#installations.list().filter(({ requested }) => requested !== true)
  }

  requests(): Installation[] {
    return this.#installations.list().filter(({ requested }) => requested === true)
  }

  get(id: number): Installation | undefined {
    return this.list().find((each) => each.id === id)
  }

  of(account: string): Installation | undefined {
    return this.list().find((each) => each.account === account)
  }

  /** Installs, or changes what is installed there already. */
  install(
    account: string,
    personKey: string,
    repositories: readonly number[] | undefined,
  ): { readonly installation: Installation; readonly known: boolean } {
    const known = this.of(account)
    const now = this.#now()
    const installation: Installation = {
      ...(known ?? { id: this.#nextId(), installedBy: personKey, createdAt: now, suspendedAt: null }),
      account,
      updatedAt: now,
      ...(repositories !== undefined && { repositories }),
    }
    const { repositories: _before, ...all } = installation
    this.#keep(repositories === undefined ? all : installation)
    for (const asked of this.requests()) {
      if (asked.account === account) this.#installations.delete(String(asked.id))
    }
    return { installation, known: known !== undefined }
  }

  /** Asks an owner to install it. Asked again, it is still one request. */
  request(account: string, personKey: string): void {
    if (this.requests().some((each) => each.account === account && each.installedBy === personKey)) return
    const now = this.#now()
    this.#keep({
      id: this.#nextId(),
      account,
      installedBy: personKey,
      createdAt: now,
      updatedAt: now,
      suspendedAt: null,
      requested: true,
    })
  }

  suspend(installation: Installation, suspended: boolean): void {
    this.#keep({ ...installation, suspendedAt: suspended ? this.#now() : null })
  }

  /** Its tokens are dead at once. */
  uninstall(installation: Installation): void {
    this.#installations.delete(String(installation.id))
    this.#tokens.endAll(grantOf(installation))
  }

  /** Those of one person, or all; and what was asked for. */
  withdraw(personKey: string | undefined): void {
    for (const each of this.#installations.list()) {
      if (personKey === undefined || each.installedBy === personKey) this.uninstall(each)
    }
  }

  clear(): void {
    this.#installations.clear()
    this.authorizes = false
  }

  covers({ account, repositories }: Installation, repository: Repository): boolean {
    return repository.owner === account && repositories?.includes(repository.id) !== false
  }

  issue(
    installation: Installation,
    permissions: Permissions,
    repositories: readonly number[] | undefined,
  ): { readonly token: string; readonly expiresAt: Date } {
    const { token, expiresAt } = this.#tokens.issue({
      clientId: this.#apps.clientIdOf('github-app') ?? '',
      grantId: grantOf(installation),
      account: installation.installedBy,
      scopes: [
        ...Object.entries(permissions).map(([name, level]) => `${name}:${level}`),
        ...(repositories ?? []).map((id) => `only:${id}`),
      ],
      seconds: tokenSeconds,
    })
    return { token, expiresAt: new Date(expiresAt * 1000) }
  }

  /** Undefined for a token that is none of an installation, or no longer. */
  token(token: string): InstallationToken | undefined {
    const found = token.startsWith('ghs_') ? this.#tokens.find(token) : undefined
    const installation = found === undefined ? undefined : this.get(idIn(found))
    if (found === undefined || installation === undefined) return undefined
    const pairs = found.scopes.map((scope) => scope.split(':') as [string, string])
    const only = pairs.filter(([name]) => name === 'only').map(([, id]) => Number(id))
    return {
      installation,
      permissions: Object.fromEntries(pairs.filter(([name]) => name !== 'only')),
      repositories: only.length === 0 ? undefined : only,
    }
  }

  endToken(token: string): void {
    this.#tokens.end(token)
  }

  /**
   * Whether the app itself speaks: an RS256 JWT of its key, ten minutes long at most
   * (docs.github.com, "Generating a JSON Web Token for a GitHub App"). The machine's clock decides, since whoever signs knows
   * no other.
   */
  refusalOf(assertion: string | undefined): AssertionRefusal | undefined {
    const undecodable = { status: 401, message: 'A JSON web token could not be decoded' }
    const read = this.#keys.signed('github', assertion ?? '')
    if ('problem' in read) return undecodable
    const { iss, iat, exp } = read.claims
    if (iss === undefined) {
      return { status: 401, message: "Missing 'issuer' claim ('iss') in JSON web token" }
    }
    if (String(iss) !== this.#apps.clientIdOf('github-app') && String(iss) !== String(githubApp.id)) {
      return { status: 404, message: 'Integration not found' }
    }
    const now = Date.now() / 1000
    if (!Number.isInteger(iat) || Number(iat) > now) {
      return {
        status: 401,
        message:
          "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
      }
    }
    if (typeof exp !== 'number' || exp <= now) {
      return {
        status: 401,
        message:
          "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
      }
    }
    return exp > now + longestAssertionSeconds
      ? { status: 401, message: "'Expiration time' claim ('exp') is too far in the future" }
      : undefined
  }

  #keep(installation: Installation): void {
    this.#installations.put(String(installation.id), installation)
  }

  // A number is not given twice: whoever keeps one of an installation that is gone must not meet another.
  #nextId(): number {
    const last = Number(this.#store.setting('github.lastInstallation') ?? 70_420_000)
    this.#store.keepSetting('github.lastInstallation', String(last + 1))
    return last + 1
  }

  #now(): string {
    return this.#clock
      .now()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z')
  }
}

/** Owners of the organisation may install there; everybody may for themselves. */
export function mayInstall(personKey: string, account: string): boolean {
  return account === organisation.login ? personKey !== 'katherine' : account === personKey
}

function grantOf({ id }: Installation): string {
  return `installation:${id}`
}

function idIn({ grantId }: AppToken): number {
  return Number(grantId.slice('installation:'.length))
}
