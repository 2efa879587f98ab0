/** A place in a list that is ordered by time. */
export interface MomentCursor {
  /** As PostgreSQL writes it, with its microseconds. */
  readonly at: string
  readonly id: string
  /** Where more than one thing may have this moment and id. */
  readonly seq?: number
}

const written =
  /^(?<at>(?<day>[12]\d{3}-\d\d-\d\d) (?:[01]\d|2[0-3])(?::[0-5]\d){2}(?:\.\d{1,6})?[+-](?:0\d|1[0-4])(?::[0-5]\d)?)\|(?<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\|(?<seq>\d{1,15}))?$/

/** What a client keeps to ask for the page after. */
export function writeMomentCursor({ at, id, seq }: MomentCursor): string {
  return Buffer.from(seq === undefined ? `${at}|${id}` : `${at}|${id}|${seq}`).toString('base64url')
}

/** Undefined: it is none that was written here. What is answered the database can read, whoever made it up. */
export function readMomentCursor(cursor: string): MomentCursor | undefined {
  const { at, day, id, seq } = written.exec(Buffer.from(cursor, 'base64url').toString())?.groups ?? {}
  if (at === undefined || day === undefined || id === undefined) return undefined
  // A month has no more days than it has.
  const midnight = new Date(`${day}T00:00:00Z`)
  if (Number.isNaN(midnight.getTime()) || !midnight.toISOString().startsWith(day)) return undefined
  return { at, id, ...(seq !== undefined && { seq: Number(seq) }) }
}
