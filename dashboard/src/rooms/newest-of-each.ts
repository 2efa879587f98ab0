import type { MessageProgress, RoomSnapshot } from '@atom/client'

/** The newest of my messages in each state that there is (sent, delivered, read), newest first: their `seq`. */
export function newestOfEach(
  events: RoomSnapshot['events'],
  progress: RoomSnapshot['progress'],
  me: string,
): readonly number[] {
  const seqs = new Map<MessageProgress['state'], number>()
  for (const event of events.toReversed()) {
    if (event.type !== 'message.created' || event.actor.id !== me || event.deletedAt !== undefined) continue
    const { state } = progress.of(event)
    if (!seqs.has(state)) seqs.set(state, event.seq)
    // Everything before it has come as far.
    if (state === 'read') break
  }
  return [...seqs.values()]
}
