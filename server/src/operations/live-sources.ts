import type { CloseReason } from '@atom/contract/socket.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Distribution } from '#foundation/telemetry/distribution.ts'

// What operations reads of rooms and sockets. Both stand on floors of their own, so app.ts hands these in.

type Counts = Iterable<readonly [name: string, count: number]>

export interface SocketHere {
  readonly id: string
  readonly principal: AccountPrincipal
  readonly deviceId: string
  readonly address: string
  readonly since: Date
  readonly heardAt: Date
  readonly followers: { readonly size: number }
  /** Bytes, nearly. */
  readonly unsent: number
  readonly crowded: boolean
  readonly behind: boolean
  close(reason: CloseReason): void
}

export interface RoomHere {
  readonly id: string
  readonly followers: number
  /** Number of the last event delivered. */
  readonly position: number
}

export interface SocketsHere {
  readonly count: number
  readonly spreadMs: number
  /** Sockets that `moveAll` has still to see gone. */
  readonly moving: number
  /** Has every client open another socket before this one ends, in waves. */
  moveAll(): { readonly sockets: number; readonly withinMs: number }
  open(): Iterable<SocketHere>
  rooms(): Iterable<RoomHere>
}

/** All but the tallies of names only grow, from 0 at the start. */
export interface SocketCounts {
  readonly accepted: number
  readonly returned: number
  readonly refused: Counts
  readonly closed: Counts
  readonly framesIn: number
  readonly framesOut: number
  readonly framesRefused: Counts
  readonly resumed: Counts
  readonly pages: number
  readonly slow: Counts
  readonly signalsDropped: number
}

export interface PublishCounts {
  readonly committed: number
  readonly verdicts: Counts
  /** In milliseconds. */
  readonly acknowledged: Distribution
  readonly batches: Distribution
}

export interface LiveSources {
  readonly sockets: SocketsHere
  readonly socketCounts: SocketCounts
  readonly publishCounts: PublishCounts
  lanes(): readonly { readonly rows: number; readonly bytes: number }[]
}
