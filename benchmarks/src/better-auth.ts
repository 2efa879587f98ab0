import { betterAuth } from 'better-auth'
import { genericOAuth } from 'better-auth/plugins'
import pg from 'pg'

/** Where one of Better Auth's processes finds its database and the provider. */
export interface BetterAuthSettings {
  readonly databaseUrl: string
  /** Token endpoint of the provider. */
  readonly tokenUrl: string
  readonly clientId: string
  readonly clientSecret: string
}

export const betterAuthProvider = 'rotating'

/** Better Auth as its documentation sets it up: PostgreSQL, one provider by addresses, tokens encrypted at rest. */
export function openBetterAuth({ databaseUrl, tokenUrl, clientId, clientSecret }: BetterAuthSettings) {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 })
  const auth = betterAuth({
    database: pool,
    baseURL: 'http://127.0.0.1',
    secret: 'a secret of the benchmark, of no use elsewhere',
    account: { encryptOAuthTokens: true },
    logger: { disabled: true },
    telemetry: { enabled: false },
    plugins: [
      genericOAuth({
        config: [
          {
            providerId: betterAuthProvider,
            clientId,
            clientSecret,
            authorizationUrl: 'https://login.salesforce.com/services/oauth2/authorize',
            tokenUrl,
          },
        ],
      }),
    ],
  })
  return { auth, pool }
}
