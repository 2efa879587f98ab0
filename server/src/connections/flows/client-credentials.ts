import { filled } from '#providers/provider.ts'
import type { App } from '../apps.ts'
import type { TokenRequest } from '../authorization-server/token-endpoint.ts'
import type { RenewalSource } from '../refresh/renewal-source.ts'

/** The app asks in its own name (RFC 6749 4.4). */
export function clientCredentials(app: App, source: RenewalSource): TokenRequest {
  const { scopes, flows } = app.provider
  const given = flows?.client_credentials?.parameters ?? {}
  const parameters = Object.entries(given).map(([name, value]) => [name, filled(value, source.particulars)])
  return {
    grantType: 'client_credentials',
    parameters: {
      ...Object.fromEntries(parameters),
      ...(source.scopes.length > 0 && { scope: source.scopes.join(scopes.separator) }),
    },
    client: 'authenticates',
  }
}
