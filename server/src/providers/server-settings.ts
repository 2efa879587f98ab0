import type { FlowName } from '@atom/contract/connections.ts'
import { apiAt, httpsAddress } from './https-address.ts'
import type { ClientAuthentication, Particular, Particulars, Provider } from './provider.ts'
import type { ProviderFlows } from './provider-flows.ts'

/**
 * What an operator says of any server that is described by settings, whether its addresses are published (`openid`) or said
 * as well (`oauth2`).
 */
export const serverSettings = {
  resource: {
    label: 'Resource',
    meaning:
      'The API as the server names it, where tokens are for one API each (RFC 8707). An https address.',
    pattern: httpsAddress,
    configurable: true,
    optional: true,
  },
  authentication: {
    label: 'Client authentication',
    meaning:
      'client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth, self_signed_tls_client_auth or none.',
    pattern:
      /^(?:client_secret_(?:basic|post|jwt)|private_key_jwt|tls_client_auth|self_signed_tls_client_auth|none)$/,
    standard: 'client_secret_basic',
    configurable: true,
  },
  dpop: {
    label: 'Bind tokens to a key (DPoP)',
    meaning: 'on or off. On, where server and API accept tokens with proof of possession (RFC 9449).',
    pattern: /^(?:on|off)$/,
    standard: 'off',
    configurable: true,
  },
} as const satisfies Readonly<Record<string, Particular>>

/** Where the API is; what it is otherwise differs. */
export function apiSetting(otherwise: string): Particular {
  return {
    label: 'API address',
    meaning: `Where the API is that the access is for. Left out: ${otherwise}.`,
    pattern: httpsAddress,
    configurable: true,
    optional: true,
  }
}

/** The parts of such a server that are the same whatever is said of it. */
export const anyServer = {
  clientAuthentication: 'client_secret_basic',
  appKey: {
    meaning:
      'The private key, as PEM or JWK, whose public half the server knows: for private_key_jwt and the JWT bearer grant. For TLS client authentication in PEM, with its certificate and those above it below (RFC 8705).',
    presented: true,
  },
  pkce: 'S256',
  refreshTokens: 'single_use',
  errors: { invalid_dpop_proof: 'operator', invalid_target: 'operator', invalid_request_uri: 'refused' },
  afterRevocation:
    'The server was told to end the access, if it offers that. An access token that was given out may work until it expires.',
  revoked: (status: number) => status === 200,
} as const satisfies Partial<Provider>

/** What the settings above change. */
export function servedAs(
  { resource, authentication, dpop }: Particulars,
  api: string | undefined,
  described: Provider['api'],
): Partial<Provider> {
  return {
    clientAuthentication: authentication as ClientAuthentication,
    dpop: dpop === 'on',
    ...(resource !== undefined && { resource }),
    ...(api !== undefined && { api: { ...described, ...apiAt(api) } }),
  }
}

/** Grants of such a server that need no browser, and those of them that an operator has to say that it takes. */
export function serverFlows(
  audience: string,
  needs?: (flow: FlowName) => Readonly<Record<string, RegExp>>,
): Pick<ProviderFlows, 'jwt_bearer' | 'token_exchange'> {
  return {
    jwt_bearer: {
      ...(needs && { needs: needs('jwt_bearer') }),
      fields: [
        {
          name: 'subject',
          label: 'Account',
          meaning: 'Whom the assertion names, as the server knows them.',
          pattern: /^[^\p{Cc}]{1,300}$/u,
        },
        {
          name: 'issuer',
          label: 'Issuer of the assertion',
          meaning: 'Who signs, as the server knows them. Left out: the app.',
          optional: true,
          pattern: /^[^\p{Cc}]{1,300}$/u,
        },
        {
          name: 'privateKey',
          label: 'Private key',
          meaning: 'Of whoever signs, as PEM or JWK. Left out: the one that was entered with the app.',
          secret: true,
          optional: true,
          multiline: true,
        },
      ],
      app: 'needed',
      client: 'authenticates',
      audience,
      lifetimeSeconds: 180,
      scopes: 'parameter',
      assertion: ({ clientId, values }) => ({
        // The app's own key speaks for the app and for nobody else.
        issuer: (values['privateKey'] === undefined ? undefined : values['issuer']) ?? clientId,
        subject: values['subject'] ?? '',
        ...(values['privateKey'] !== undefined && { privateKey: values['privateKey'] }),
      }),
    },
    token_exchange: {
      ...(needs && { needs: needs('token_exchange') }),
      fields: [
        {
          name: 'token',
          label: 'Token',
          meaning: 'That the server exchanges for one of its own.',
          secret: true,
          multiline: true,
        },
        {
          name: 'tokenType',
          label: 'Type of the token',
          meaning:
            'urn:ietf:params:oauth:token-type:jwt, or of access_token, id_token, refresh_token, saml1, saml2.',
          pattern: /^urn:ietf:params:oauth:token-type:(?:jwt|access_token|id_token|refresh_token|saml[12])$/,
        },
      ],
      subjectToken: '{token}',
      subjectTokenType: '{tokenType}',
    },
  }
}
