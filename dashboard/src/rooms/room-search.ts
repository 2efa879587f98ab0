import type { Panel } from './room-header.tsx'

export interface RoomSearch {
  /** What stands beside the messages. */
  readonly panel?: Panel
  /** `seq` of the message that the address leads to. */
  readonly at?: number
}

/** What of an address is a place in a room; anything else is passed over. */
export function roomSearch(search: { panel?: unknown; at?: unknown }): RoomSearch {
  const at = Number(search.at)
  return {
    ...(search.panel === 'pins' || search.panel === 'search' ? { panel: search.panel } : {}),
    ...(Number.isSafeInteger(at) && at > 0 ? { at } : {}),
  }
}
