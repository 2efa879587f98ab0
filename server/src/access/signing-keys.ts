import type { KeyColumn } from '#foundation/crypto/key-rotation.ts'
import { signingKeyBinding, wrappedKeyColumn } from './signing-key-store.ts'

/** Where this room keeps wrapped data keys: what a new master key has to take over. */
export const signingKeys: KeyColumn = {
  ...wrappedKeyColumn,
  noun: 'signing key',
  binding: ({ id }) => signingKeyBinding(id),
  remedy: 'put it back from a backup of the database',
}
