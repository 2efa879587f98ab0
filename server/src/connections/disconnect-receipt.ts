import type { DisconnectReceipt } from '@atom/contract/connections.ts'
import type { Provider } from '#providers/provider.ts'
import type { ConnectionRow } from './connection-store.ts'

/** What is gone and what is not, now that the connection is ended here and this became of it at the provider. */
export function endsAndRemains(
  provider: Pick<Provider, 'name' | 'remains'>,
  connection: Pick<ConnectionRow, 'expiresAt'>,
  revocation: DisconnectReceipt['revocation'],
  now: Date,
): Pick<DisconnectReceipt, 'gone' | 'remains'> {
  const { name } = provider
  const here = [
    'Atom’s copy of the tokens, and the key that sealed them: no backup of the database can be read without it.',
    'The connection and its history in Atom.',
  ]
  const consent = { what: `The consent at ${name}, until somebody removes it there.`, until: null }
  const accessToken = { what: 'The access token that was given out last, to whoever has a copy.' }
  switch (revocation) {
    case 'revoked':
      return {
        gone: [...here, `The consent at ${name}.`],
        remains: (provider.remains ?? []).flatMap(({ what, until }) =>
          until === 'person' ? [{ what, until: null }] : lasting({ what }, connection, now),
        ),
      }
    case 'kept':
      return {
        gone: here,
        remains: [
          { what: `The consent at ${name}, because another connection lives from it.`, until: null },
          ...lasting(accessToken, connection, now),
        ],
      }
    case 'failed':
    case 'unsupported':
      return { gone: here, remains: [consent, ...lasting(accessToken, connection, now)] }
  }
}

function lasting(
  what: { what: string },
  { expiresAt }: Pick<ConnectionRow, 'expiresAt'>,
  now: Date,
): DisconnectReceipt['remains'] {
  if (expiresAt === null) return [{ ...what, until: null }]
  return expiresAt > now ? [{ ...what, until: expiresAt.toISOString() }] : []
}
