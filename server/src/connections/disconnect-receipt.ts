import type { DisconnectReceipt, FlowName } from '@atom/contract/connections.ts'
import type { Provider } from '#providers/provider.ts'
import type { ConnectionRow } from './connection-store.ts'

/** What the provider was asked to take back; an app that acts in its own name has its access. */
const givenBy: Partial<Record<FlowName, 'consent' | 'key'>> = {
  authorization_code: 'consent',
  device_code: 'consent',
  api_key: 'key',
}

/** What is gone and what is not, now that the connection is ended here and this became of it at the provider. */
export function endsAndRemains(
  provider: Pick<Provider, 'name' | 'remains'>,
  connection: Pick<ConnectionRow, 'expiresAt' | 'flow'>,
  revocation: DisconnectReceipt['revocation'],
  now: Date,
): Pick<DisconnectReceipt, 'gone' | 'remains'> {
  const { name, remains: remaining = [] } = provider
  const given = givenBy[connection.flow] ?? 'access'
  const here = [
    `Atom’s copy of the ${given === 'key' ? 'key' : 'tokens'}. In backups of the database it stays sealed until they are deleted.`,
    'The connection and its history in Atom.',
  ]
  // Where the app stays installed or listed, the consent is not what was taken back.
  const ended = given === 'consent' && remaining.some(({ until }) => until === 'person') ? 'tokens' : given
  const itself = { what: `The ${given} at ${name}, until somebody removes it there.`, until: null }
  const accessToken = { what: 'The access token that was given out last, to whoever has a copy.' }
  // A key is what a request is made with: no other token was given out.
  const last = given === 'key' ? [] : lasting(accessToken, connection, now)
  switch (revocation) {
    case 'revoked':
      return {
        gone: [...here, `The ${ended} at ${name}.`],
        remains: remaining.flatMap(({ what, until }) =>
          until === 'person' ? [{ what, until: null }] : lasting({ what }, connection, now),
        ),
      }
    case 'kept':
      return {
        gone: here,
        remains: [
          { what: `The ${given} at ${name}, because another connection lives from it.`, until: null },
          ...last,
        ],
      }
    case 'failed':
    case 'unsupported':
      return { gone: here, remains: [itself, ...last] }
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
