import sql, { empty } from 'sql-template-tag'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import type { Particulars } from '#providers/provider.ts'

export interface AppRow {
  readonly id: string
  readonly workspaceId: string
  readonly provider: string
  readonly clientId: string
  readonly dataKey: Buffer
  readonly clientSecret: Buffer
  readonly privateKey: Buffer | null
  readonly version: number
  readonly scopes: readonly string[] | null
  readonly configuredAt: Date
  readonly secretExpiresAt: Date | null
  readonly testing: boolean
  readonly settings: Particulars
  /** Where Atom registered it by itself; null: an operator's. */
  readonly registeredWith: string | null
}

interface SealedApp {
  readonly dataKey: Buffer
  readonly clientSecret: Buffer
  readonly privateKey?: Buffer
}

interface AppEntry {
  readonly secretExpiresAt: Date | null
  readonly testing: boolean
  readonly workspaceId: string
  readonly provider: string
  readonly clientId: string
  readonly scopes: readonly string[] | null
  readonly configuredBy: string
  readonly configuredAt: Date
  readonly settings: Particulars
  readonly newId: string
  /** Called inside the transaction, once the id and the version are known. */
  seal(id: string, version: number): Promise<SealedApp>
}

interface AppRegistration {
  readonly id: string
  readonly workspaceId: string
  readonly provider: string
  readonly clientId: string
  readonly registeredWith: string
  readonly registeredBy: string
  readonly settings: Particulars
  readonly at: Date
  /** null: never. */
  readonly endsAt: Date | null
  readonly sealed: SealedApp
}

const appColumns = sql`
  id, configured_at as "configuredAt", secret_expires_at as "secretExpiresAt", testing, workspace_id as "workspaceId",
  provider, client_id as "clientId", data_key as "dataKey", client_secret as "clientSecret", private_key as "privateKey",
  version, scopes, settings, registered_with as "registeredWith"`

/** All SQL about the apps by which an installation is known to providers. */
export class AppStore {
  readonly #database: Database

  constructor(dependencies: { database: Database }) {
    this.#database = dependencies.database
  }

  async apps(workspaceId: string): Promise<AppRow[]> {
    return await this.#database.query<AppRow>(
      sql`select ${appColumns} from provider_apps
        where workspace_id = ${workspaceId} and registered_with is null and retired_at is null`,
    )
  }

  async currentApp(workspaceId: string, provider: string): Promise<AppRow | undefined> {
    const [row] = await this.#database.query<AppRow>(sql`
      select ${appColumns} from provider_apps
      where workspace_id = ${workspaceId} and provider = ${provider} and registered_with is null
        and retired_at is null`)
    return row
  }

  /** The app that Atom registered by itself, while its registration holds. */
  async registeredApp(
    workspaceId: string,
    provider: string,
    registeredWith: string,
    at: Date,
  ): Promise<AppRow | undefined> {
    const [row] = await this.#database.query<AppRow>(sql`
      select ${appColumns} from provider_apps
      where workspace_id = ${workspaceId} and provider = ${provider} and registered_with = ${registeredWith}
        and retired_at is null and (registration_ends_at is null or registration_ends_at > ${at})`)
    return row
  }

  /** Stores a registration in place of one that has ended; of two at once the first stays. */
  async registerApp(registration: AppRegistration): Promise<AppRow> {
    const { workspaceId, provider, registeredWith, at, sealed } = registration
    return await this.#database.transaction(async (tx) => {
      await tx.query(sql`
        update provider_apps set retired_at = ${at}
        where workspace_id = ${workspaceId} and provider = ${provider} and registered_with = ${registeredWith}
          and retired_at is null and registration_ends_at <= ${at}`)
      await tx.query(sql`
        insert into provider_apps (id, workspace_id, provider, client_id, data_key, client_secret, settings, version,
          configured_by, configured_at, registered_with, registration_ends_at)
        values (${registration.id}, ${workspaceId}, ${provider}, ${registration.clientId}, ${sealed.dataKey},
          ${sealed.clientSecret}, ${JSON.stringify(registration.settings)}, 1, ${registration.registeredBy}, ${at},
          ${registeredWith}, ${registration.endsAt})
        on conflict (workspace_id, provider, coalesce(registered_with, '')) where retired_at is null do nothing`)
      await dropUnusedApps(tx, workspaceId, provider)
      const [row] = await tx.query<AppRow>(sql`
        select ${appColumns} from provider_apps
        where workspace_id = ${workspaceId} and provider = ${provider} and registered_with = ${registeredWith}
          and retired_at is null`)
      return present(row)
    })
  }

  /** The server does not know this registration any more: the next flow registers anew. */
  async retireRegistration(id: string, at: Date): Promise<void> {
    await this.#database.query(sql`
      update provider_apps set retired_at = ${at}
      where id = ${id} and registered_with is not null and retired_at is null`)
  }

  async app(id: string): Promise<AppRow | undefined> {
    const [row] = await this.#database.query<AppRow>(
      sql`select ${appColumns} from provider_apps where id = ${id}`,
    )
    return row
  }

  async putApp(entry: AppEntry): Promise<AppRow> {
    return await this.#database.transaction(async (tx) => {
      // Two operators at once: the second waits here and then sees what the first wrote.
      await tx.query(
        sql`select pg_advisory_xact_lock(hashtext(${`provider_apps ${entry.workspaceId} ${entry.provider}`}))`,
      )
      const settings = JSON.stringify(entry.settings)
      // Another server under the same client id is another app: what was connected at one must not be refreshed at the other.
      const [same] = await tx.query<{ id: string; version: number }>(sql`
        select id, version from provider_apps
        where workspace_id = ${entry.workspaceId} and provider = ${entry.provider} and client_id = ${entry.clientId}
          and settings = ${settings}::jsonb and registered_with is null
        order by retired_at desc nulls first limit 1`)
      await this.#retire(tx, entry.workspaceId, entry.provider, entry.configuredAt, {
        except: same?.id,
        registered: false,
      })
      const id = same?.id ?? entry.newId
      const version = (same?.version ?? 0) + 1
      const sealed = await entry.seal(id, version)
      const [row] = await tx.query<AppRow>(sql`
        insert into provider_apps (id, workspace_id, provider, client_id, data_key, client_secret, private_key, settings,
          version, scopes, configured_by, configured_at, secret_expires_at, testing)
        values (${id}, ${entry.workspaceId}, ${entry.provider}, ${entry.clientId}, ${sealed.dataKey},
          ${sealed.clientSecret}, ${sealed.privateKey ?? null}, ${settings}, ${version}, ${entry.scopes}, ${entry.configuredBy},
          ${entry.configuredAt}, ${entry.secretExpiresAt}, ${entry.testing})
        on conflict (id) do update set data_key = excluded.data_key, client_secret = excluded.client_secret,
          private_key = excluded.private_key, version = excluded.version, scopes = excluded.scopes,
          configured_by = excluded.configured_by, configured_at = excluded.configured_at, retired_at = null,
          secret_expires_at = excluded.secret_expires_at, testing = excluded.testing
        returning ${appColumns}`)
      return present(row)
    })
  }

  async retireApp(workspaceId: string, provider: string, at: Date): Promise<void> {
    await this.#database.transaction((tx) =>
      this.#retire(tx, workspaceId, provider, at, { except: undefined, registered: true }),
    )
  }

  async #retire(
    tx: Transaction,
    workspaceId: string,
    provider: string,
    at: Date,
    which: { except: string | undefined; registered: boolean },
  ): Promise<void> {
    await tx.query(sql`
      update provider_apps set retired_at = ${at}
      where workspace_id = ${workspaceId} and provider = ${provider} and retired_at is null
        ${which.registered ? empty : sql`and registered_with is null`}
        ${which.except === undefined ? empty : sql`and id <> ${which.except}`}`)
    await dropUnusedApps(tx, workspaceId, provider, which.except)
  }
}

/** Retired apps whose last connection is gone; their secrets go with them. */
export async function dropUnusedApps(
  tx: Transaction,
  workspaceId: string,
  provider: string,
  except?: string,
): Promise<void> {
  await tx.query(sql`
    delete from provider_apps a
    where a.workspace_id = ${workspaceId} and a.provider = ${provider} and a.retired_at is not null
      ${except === undefined ? empty : sql`and a.id <> ${except}`}
      and not exists (select from connections c where c.app_id = a.id)`)
}

function present<T>(row: T | undefined): T {
  if (row === undefined) throw new Error('a statement that always answers a row answered none')
  return row
}
