import { filled } from '#providers/provider.ts'
import type { App } from '../apps.ts'
import type { TokenRequest } from '../authorization-server/token-endpoint.ts'
import type { RenewalSource } from '../refresh/renewal-source.ts'

export const tokenExchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange'

/** One token for another (RFC 8693 2.1). */
export function tokenExchange(app: App, source: RenewalSource): TokenRequest {
  const flow = app.provider.flows?.token_exchange
  if (flow === undefined) throw new TypeError(`${app.provider.id} exchanges no tokens`)
  return {
    grantType: tokenExchangeGrant,
    parameters: {
      ...flow.parameters,
      subject_token: filled(flow.subjectToken, source.values),
      subject_token_type: filled(flow.subjectTokenType, source.values),
      ...(source.scopes.length > 0 && { scope: source.scopes.join(app.provider.scopes.separator) }),
    },
    client: 'authenticates',
  }
}
