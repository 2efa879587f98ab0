import { AtomError } from '#foundation/errors.ts'
import { filled } from '#providers/provider.ts'
import { CredentialUnfit, type CredentialValues } from '#providers/provider-flows.ts'
import type { App } from '../apps.ts'
import { signedAssertion } from '../authorization-server/signed-assertion.ts'
import type { TokenRequest } from '../authorization-server/token-endpoint.ts'
import type { RenewalSource } from '../refresh/renewal-source.ts'

export const jwtBearerGrant = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

/** Whether the app's own key would sign: then it speaks for itself, for whomever it likes. */
export function signsAsApp(app: App, values: CredentialValues): boolean {
  const parts = app.provider.flows?.jwt_bearer?.assertion({ clientId: app.clientId, values })
  return parts !== undefined && parts.privateKey === undefined
}

/**
 * A signed assertion in place of consent (RFC 7523 2.1). Each request signs a new one.
 * @throws CredentialUnfit where what the person gave is no key, or not of this kind
 */
export async function jwtBearer(app: App, source: RenewalSource, now: Date): Promise<TokenRequest> {
  const flow = app.provider.flows?.jwt_bearer
  if (flow === undefined) throw new TypeError(`${app.provider.id} knows no assertions`)
  const parts = flow.assertion({ clientId: app.clientId, values: source.values })
  const privateKey = parts.privateKey ?? app.privateKey?.reveal()
  if (privateKey === undefined) {
    throw new AtomError('provider_not_configured', `The app of ${app.provider.name} has no private key here.`)
  }
  const scope = source.scopes.join(app.provider.scopes.separator)
  const assertion = await signedAssertion({
    ...parts,
    privateKey,
    algorithm: flow.algorithm,
    audience: filled(flow.audience, source.particulars),
    claims: flow.scopes === 'claim' ? { scope } : {},
    now,
    lifetimeSeconds: flow.lifetimeSeconds,
  }).catch((error: unknown) => {
    if (!(error instanceof AtomError)) throw error
    const field = flow.fields.find(({ multiline }) => multiline)?.name ?? ''
    throw new CredentialUnfit(
      field,
      `Holds no private key that can sign${flow.algorithm === undefined ? '' : ` with ${flow.algorithm}`}.`,
    )
  })
  return {
    grantType: jwtBearerGrant,
    parameters: { assertion, ...(flow.scopes === 'parameter' && scope !== '' && { scope }) },
    client: flow.client ?? 'unnamed',
  }
}
