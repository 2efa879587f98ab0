/** A message that the server has not acknowledged. */
export interface OwedMessage {
  /** Given by the storage, rising: the order of sending. */
  readonly order: number
  readonly clientId: string
  readonly accountId: string
  readonly roomId: string
  readonly text: string
  /** `seq` of the message that it answers. */
  readonly replyTo?: number
  /** Ids of the members it names. */
  readonly mentions?: readonly string[]
  /** RFC 3339: when the person sent it. */
  readonly at: string
  /** In which trace, as W3C Trace Context writes it; absent for none. */
  readonly traceparent?: string
  /** Present where the server refused it for good: it waits for the person. */
  readonly error?: { readonly code: string; readonly detail: string }
}

/** Where owed messages stay until the server has them. Siblings: memory and IndexedDB, under one suite of tests. */
export interface OutboxStorage {
  /** Resolves when it will survive the end of the tab, as far as this storage survives at all. */
  add(message: Omit<OwedMessage, 'order'>): Promise<OwedMessage>
  /** Replaces the one with the same clientId; nothing where it is gone. */
  update(message: OwedMessage): Promise<void>
  remove(clientId: string): Promise<void>
  /** Of this account, in order. */
  list(accountId: string): Promise<OwedMessage[]>
  close(): void
}

/** For Node, and for a browser that keeps nothing: owed as long as the process lives. */
export function memoryStorage(): OutboxStorage {
  const owed = new Map<string, OwedMessage>()
  let last = 0
  return {
    add: async (message) => {
      const stored = { ...message, order: ++last }
      owed.set(message.clientId, stored)
      return stored
    },
    update: async (message) => {
      if (owed.has(message.clientId)) owed.set(message.clientId, message)
    },
    remove: async (clientId) => {
      owed.delete(clientId)
    },
    list: async (accountId) =>
      [...owed.values()]
        .filter((message) => message.accountId === accountId)
        .sort((a, b) => a.order - b.order),
    close: () => undefined,
  }
}
