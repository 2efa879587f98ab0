import type { KeyColumn } from '#foundation/crypto/key-rotation.ts'
import { dataKeyColumns } from './connection-store.ts'
import { dataKeyBinding } from './credential-vault.ts'
import { answerKeys } from './proxy/answer-seal.ts'

/** Where this room keeps wrapped data keys: what a new master key has to take over. */
export const connectionKeys: readonly KeyColumn[] = [
  {
    ...dataKeyColumns.connection,
    noun: 'connection',
    binding: ({ workspaceId, id }) => dataKeyBinding('connection', workspaceId, id),
    remedy: 'disconnect it and connect it anew',
  },
  {
    ...dataKeyColumns.app,
    noun: 'app',
    binding: ({ workspaceId, id }) => dataKeyBinding('app', workspaceId, id),
    remedy: 'enter its client secret anew',
  },
  {
    ...dataKeyColumns.flow,
    noun: 'flow',
    binding: ({ workspaceId, id }) => dataKeyBinding('flow', workspaceId, id),
    remedy: 'it goes by itself within a day',
  },
  answerKeys,
]
