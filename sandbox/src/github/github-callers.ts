import type { AuthorizationServer } from '../authorization-server.ts'
import type { Person } from '../people.ts'
import type { GithubData } from './github-data.ts'
import {
  appLogin,
  appPermissions,
  type GithubInstallations,
  type Installation,
} from './github-installations.ts'
import { allows } from './github-oauth.ts'
import type { Repository } from './github-seed.ts'

/** Who a token speaks for, and what it may do. */
export interface GithubCaller {
  /** Nobody where the app speaks for itself. */
  readonly person: Person | undefined
  /** Who writes what it writes. */
  readonly login: string
  /** What GitHub calls it where it has asked too often. */
  readonly numbered: string
  readonly clientId: string
  /** Of an OAuth app; a GitHub App has permissions instead. */
  readonly scopes: readonly string[] | undefined
  /** Of an installation's own token. */
  readonly installation: Installation | undefined
  /** Whether it may set what takes the right to push. */
  pushes(repository: Repository): boolean
  /** Whether it knows of a private repository. */
  sees(repository: Repository): boolean
  writes(repository: Repository): boolean
}

/** Tells the tokens that GitHub gives apart: of a person for an OAuth app, of a person for a GitHub App, of an installation. */
export class GithubCallers {
  readonly #oauth: AuthorizationServer
  readonly #app: AuthorizationServer
  readonly #installations: GithubInstallations
  readonly #data: GithubData

  constructor(dependencies: {
    oauth: AuthorizationServer
    app: AuthorizationServer
    installations: GithubInstallations
    data: GithubData
  }) {
    this.#oauth = dependencies.oauth
    this.#app = dependencies.app
    this.#installations = dependencies.installations
    this.#data = dependencies.data
  }

  /** `suspended`: the token is one, and the account has suspended the app. */
  async of(token: string): Promise<GithubCaller | 'suspended' | undefined> {
    if (token.startsWith('ghs_')) return this.#installed(token)
    if (token.startsWith('ghu_')) return await this.#user(token)
    const owner = await this.#oauth.owner(token)
    if (owner === undefined) return undefined
    const { person, scopes, clientId } = owner
    const member = (repository: Repository) => this.#data.isMember(person.key, repository)
    return {
      person,
      login: person.key,
      numbered: `user ID ${person.githubId}`,
      clientId,
      scopes,
      installation: undefined,
      pushes: member,
      sees: (repository) => allows(scopes, 'repo') && member(repository),
      writes: (repository) => allows(scopes, repository.private ? 'repo' : 'public_repo', 'repo'),
    }
  }

  #installed(token: string): GithubCaller | 'suspended' | undefined {
    const found = this.#installations.token(token)
    if (found === undefined) return undefined
    const { installation, permissions, repositories } = found
    if (installation.suspendedAt !== null) return 'suspended'
    const reaches = (repository: Repository) =>
      this.#installations.covers(installation, repository) && repositories?.includes(repository.id) !== false
    const writes = (repository: Repository) => reaches(repository) && permissions['issues'] === 'write'
    return {
      person: undefined,
      login: appLogin,
      numbered: `installation ID ${installation.id}`,
      clientId: '',
      scopes: undefined,
      installation,
      pushes: writes,
      sees: reaches,
      writes,
    }
  }

  /** What the person may do, as far as the app may where it is installed. */
  async #user(token: string): Promise<GithubCaller | undefined> {
    const owner = await this.#app.owner(token)
    if (owner === undefined) return undefined
    const { person, clientId } = owner
    const reaches = (repository: Repository) =>
      this.#data.isMember(person.key, repository) &&
      this.#installations
        .list()
        .some(
          (installation) =>
            installation.suspendedAt === null && this.#installations.covers(installation, repository),
        )
    const writes = (repository: Repository) => reaches(repository) && appPermissions['issues'] === 'write'
    return {
      person,
      login: person.key,
      numbered: `user ID ${person.githubId}`,
      clientId,
      scopes: undefined,
      installation: undefined,
      pushes: writes,
      sees: reaches,
      writes,
    }
  }
}
