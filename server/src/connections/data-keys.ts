import type { KeyColumn } from '#foundation/crypto/key-rotation.ts'
import { dataKeyBinding } from './credential-vault.ts'
import { answerKeys } from './proxy/answer-seal.ts'

const place = { idType: 'uuid', key: 'data_key', workspace: 'workspace_id' } as const

/** Where this room keeps wrapped data keys: what a new master key has to take over. */
export const connectionKeys: readonly KeyColumn[] = [
  {
    ...place,
    table: 'credentials',
    id: 'connection_id',
    noun: 'connection',
    binding: ({ workspaceId, id }) => dataKeyBinding('connection', workspaceId, id),
    remedy: 'disconnect it and connect it anew',
  },
  {
    ...place,
    table: 'provider_apps',
    id: 'id',
    noun: 'app',
    binding: ({ workspaceId, id }) => dataKeyBinding('app', workspaceId, id),
    remedy: 'enter its client secret anew',
  },
  {
    ...place,
    table: 'connection_flows',
    id: 'id',
    noun: 'flow',
    binding: ({ workspaceId, id }) => dataKeyBinding('flow', workspaceId, id),
    remedy: 'it goes by itself within a day',
  },
  answerKeys,
]
