import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Names, in lower case, and values in turn. */
export type FieldList = readonly string[]

type Given = OutgoingHttpHeaders | OutgoingHttpHeader[]

/**
 * An answer with standing fields: what everything in front of a door has to say with each answer, written together with its
 * head. Where the door says something itself under the same name, that counts. Measured: `setHeader` for each field, which
 * keeps it, looks it up and lists it once more, costs a tenth of a whole request more than the one list that this hands to Node.
 */
export class Answer<R extends IncomingMessage = IncomingMessage> extends ServerResponse<R> {
  #standing: string[] = []
  /** Bytes of the body, where the head announced them. */
  #announced: number | undefined
  /** Bytes that the connection had sent before, where it did not. */
  #sentBefore = 0

  /** From now on these stand, and nothing else. */
  standOn(fields: FieldList): void {
    this.#standing = fields.slice()
  }

  /** One more, that none of them is yet. */
  stand(name: string, value: string): void {
    this.#standing.push(name, value)
  }

  /** Says something else under the name of one that stands. */
  standInstead(name: string, value: string): void {
    const place = this.#placeOf(name)
    if (place < 0) this.#standing.push(name, value)
    else this.#standing[place + 1] = value
  }

  standing(name: string): string | undefined {
    const place = this.#placeOf(name)
    return place < 0 ? undefined : this.#standing[place + 1]
  }

  /** Bytes of the body that were sent; of one that announced none, with its framing. */
  bodyBytes(socket: Socket): number {
    if (this.#announced !== undefined) return this.#announced
    return this.headersSent ? Math.max(0, socket.bytesWritten - this.#sentBefore) : 0
  }

  override writeHead(status: number, reason?: string, fields?: Given): this
  override writeHead(status: number, fields?: Given): this
  override writeHead(status: number, second?: string | Given, third?: Given): this {
    const reason = typeof second === 'string' ? second : undefined
    const given = reason === undefined ? (second as Given | undefined) : third
    // Whatever was set one by one is in a place of its own; then all of it goes there.
    const list =
      this.headersSent || Array.isArray(given) || this.getHeaderNames().length > 0
        ? this.#merged(given)
        : this.#listed(given)
    const written =
      reason === undefined ? super.writeHead(status, list) : super.writeHead(status, reason, list)
    this.#announced ??= lengthOf(this.getHeader('content-length'))
    if (this.#announced === undefined) this.#sentBefore = this.req.socket.bytesWritten
    return written
  }

  /** As Node takes them in one pass. */
  #listed(given: OutgoingHttpHeaders | undefined): OutgoingHttpHeader[] {
    const list: OutgoingHttpHeader[] = this.#standing
    this.#standing = []
    for (const name in given) {
      const value = given[name]
      if (value === undefined) continue
      const field = name.toLowerCase()
      if (field === 'content-length') this.#announced = lengthOf(value)
      for (let place = 0; place < list.length; place += 2)
        if (list[place] === field) {
          list.splice(place, 2)
          break
        }
      list.push(name, value)
    }
    return list
  }

  #merged(given: Given | undefined): Given | undefined {
    const standing = this.#standing
    this.#standing = []
    const names = Array.isArray(given)
      ? given.filter((_text, place) => place % 2 === 0)
      : Object.keys(given ?? {})
    const told = new Set(names.map((name) => String(name).toLowerCase()))
    for (let place = 0; place < standing.length; place += 2) {
      const [name = '', value = ''] = standing.slice(place, place + 2)
      if (!told.has(name) && !this.hasHeader(name)) this.setHeader(name, value)
    }
    return given
  }

  #placeOf(name: string): number {
    for (let place = 0; place < this.#standing.length; place += 2)
      if (this.#standing[place] === name) return place
    return -1
  }
}

function lengthOf(value: OutgoingHttpHeader | undefined): number | undefined {
  const length = Number(value)
  return value === undefined || Number.isNaN(length) ? undefined : length
}

/** Every response of this server is one; Fastify's types do not know. */
export function answerOf(response: ServerResponse): Answer {
  if (response instanceof Answer) return response
  throw new TypeError('This response was made by another server.')
}
