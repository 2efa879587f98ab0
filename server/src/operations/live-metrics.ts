import type { Metrics } from '#foundation/telemetry/metrics.ts'
import type { LiveSources } from './live-sources.ts'

/** Turns of agents at this process; those that wait are the database's to tell, and stand in the history. */
export function registerTurnMetrics(metrics: Metrics, turns: { running: () => number }): void {
  metrics.gauge({ name: 'atom_turns_running', help: 'Turns that run at this process', read: turns.running })
}

/** Whether processes hear of each other through Redis now, or through the database alone. */
export function registerRedisMetrics(metrics: Metrics, connected: () => boolean): void {
  metrics.gauge({
    name: 'atom_redis_connected',
    help: '1 while Redis carries news between processes, 0 while only the database does',
    read: () => Number(connected()),
  })
}

/** Names what is counted of rooms and sockets, as Prometheus reads it. */
export function registerLiveMetrics(metrics: Metrics, sources: LiveSources): void {
  const { sockets, socketCounts, publishCounts } = sources
  const by = function* (label: string, counts: Iterable<readonly [string, number]>) {
    for (const [name, count] of counts) yield [{ [label]: name }, count] as const
  }

  metrics.gauge({ name: 'atom_sockets_open', help: 'Sockets of this process', read: () => sockets.count })
  metrics.counter({
    name: 'atom_socket_handshakes_accepted_total',
    help: 'Handshakes that became sockets',
    read: () => socketCounts.accepted,
  })
  metrics.counter({
    name: 'atom_socket_handshakes_returned_total',
    help: 'Accepted handshakes of clients that come back, with cursors',
    read: () => socketCounts.returned,
  })
  metrics.counter({
    name: 'atom_socket_handshakes_refused_total',
    help: 'Handshakes refused, by error code',
    labels: ['code'],
    read: () => by('code', socketCounts.refused),
  })
  metrics.counter({
    name: 'atom_sockets_closed_total',
    help: 'Sockets closed, by the reason told or seen',
    labels: ['reason'],
    read: () => by('reason', socketCounts.closed),
  })
  metrics.gauge({
    name: 'atom_socket_rooms_followed',
    help: 'Rooms that sockets of this process follow',
    read: () => [...sockets.rooms()].length,
  })
  metrics.counter({
    name: 'atom_socket_frames_received_total',
    help: 'Frames that clients sent',
    read: () => socketCounts.framesIn,
  })
  metrics.counter({
    name: 'atom_socket_frames_sent_total',
    help: 'Frames sent to clients, once for each socket',
    read: () => socketCounts.framesOut,
  })
  metrics.counter({
    name: 'atom_socket_frames_refused_total',
    help: 'Frames of clients that were refused, by error code',
    labels: ['code'],
    read: () => by('code', socketCounts.framesRefused),
  })
  metrics.counter({
    name: 'atom_socket_rooms_resumed_total',
    help: 'Rooms named by clients that come back: quiet, with news, reset, or refused',
    labels: ['outcome'],
    read: () => by('outcome', socketCounts.resumed),
  })
  metrics.counter({
    name: 'atom_socket_resume_pages_total',
    help: 'Pages read for sockets that missed something',
    read: () => socketCounts.pages,
  })
  metrics.gauge({
    name: 'atom_socket_slow_readers',
    help: 'Sockets that read too slowly now: crowded get no signals, behind no live events',
    labels: ['state'],
    read: () => {
      const slow = { crowded: 0, behind: 0 }
      for (const socket of sockets.open()) {
        if (socket.behind) slow.behind++
        else if (socket.crowded) slow.crowded++
      }
      return by('state', Object.entries(slow))
    },
  })
  metrics.counter({
    name: 'atom_socket_slow_reads_total',
    help: 'How often a socket became a slow reader, by state',
    labels: ['state'],
    read: () => by('state', socketCounts.slow),
  })
  metrics.counter({
    name: 'atom_socket_signals_dropped_total',
    help: 'Signals, deltas among them, not sent to slow readers',
    read: () => socketCounts.signalsDropped,
  })
  metrics.gauge({
    name: 'atom_socket_unsent_bytes',
    help: 'Bytes that wait for sockets to read them',
    read: () => {
      let bytes = 0
      for (const socket of sockets.open()) bytes += socket.unsent
      return bytes
    },
  })
  metrics.gauge({
    name: 'atom_socket_reconnect_spread_seconds',
    help: 'The time over which clients that lose their socket come back',
    read: () => sockets.spreadMs / 1_000,
  })

  metrics.counter({
    name: 'atom_room_events_committed_total',
    help: 'Events that this process committed',
    read: () => publishCounts.committed,
  })
  metrics.counter({
    name: 'atom_room_publishes_total',
    help: 'Events handed to a lane, by what became of them: stored, repeated, or an error code',
    labels: ['verdict'],
    read: () => by('verdict', publishCounts.verdicts),
  })
  metrics.distribution(
    'atom_room_publish_batch_events',
    'Events in one commit of a lane',
    publishCounts.batches,
  )
  metrics.distribution(
    'atom_room_acknowledgement_seconds',
    'From the arrival in a lane to the answer after the commit',
    publishCounts.acknowledged,
    0.001,
  )
  metrics.gauge({
    name: 'atom_room_lane_events',
    help: 'Events that wait in a lane',
    labels: ['lane'],
    read: () => sources.lanes().map(({ rows }, lane) => [{ lane: String(lane) }, rows] as const),
  })
  metrics.gauge({
    name: 'atom_room_lane_bytes',
    help: 'Bytes that wait in a lane',
    labels: ['lane'],
    read: () => sources.lanes().map(({ bytes }, lane) => [{ lane: String(lane) }, bytes] as const),
  })
}
