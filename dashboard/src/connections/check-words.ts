import type { AppTest } from '@atom/contract/connections.ts'

export const checkWords: Readonly<Record<AppTest['checks'][number]['name'], string>> = {
  redirect_uri: 'Redirect address',
  discovery: 'Description of the server',
  keys: 'Signing keys',
  consent_page: 'Consent page',
  token_endpoint: 'Token endpoint',
  credentials: 'Client id and secret',
}
