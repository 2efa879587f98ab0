import { lookup } from 'node:dns/promises'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { type Readable, Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { Agent, errors, type HeadersInit, fetch as undiciFetch } from 'undici'
import { AnswerReceiver, heard } from './dialled-answer.ts'
import { AtomError } from './errors.ts'
import { fingerprint } from './ids.ts'
import type { Log } from './log.ts'
import type { Secret } from './secret.ts'

/** Who is calling, for a server that asks in the handshake (RFC 8705); it goes nowhere else. */
export interface ClientCertificate {
  /** PEM, with those above it below. */
  readonly chain: string
  /** PEM. */
  readonly privateKey: Secret
}

export interface OutboundRequest {
  readonly method?: string
  readonly headers?: HeadersInit
  readonly body?: string | Uint8Array<ArrayBuffer> | URLSearchParams | ReadableStream<Uint8Array> | null
  readonly signal?: AbortSignal
  /** From the call to the last byte of the answer; 30 s where absent. */
  readonly timeoutMs?: number
  /** The longest answer that is passed on, unpacked; 10 MiB where absent. */
  readonly maxBytes?: number
  /** No connection is shared with another certificate, or with none. */
  readonly certificate?: ClientCertificate | undefined
}

/** A request that is passed on rather than made: its parts go as they are, and its answer comes unread. */
export interface Dial {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Name, value, name, value. */
  readonly headers: readonly string[]
  readonly body?: string | Uint8Array | Readable
  readonly signal?: AbortSignal
  /** Until the answer begins, in ms. */
  readonly patienceMs: number
  /** From its first byte to its last, in ms. */
  readonly timeoutMs: number
  /** The longest answer that is passed on, unpacked. */
  readonly maxBytes: number
  readonly certificate?: ClientCertificate | undefined
  /** A body of an announced length up to this, and not packed, is waited for and given as a whole; none where absent. */
  readonly wholeBytes?: number
}

export interface Dialled {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Unpacked. A stream has to be read to its end or destroyed. */
  readonly body: Buffer | Readable
  /** What broke the body, in the words of `fetch`. */
  translated(error: unknown): unknown
}

export interface Address {
  readonly address: string
  readonly family: number
}

export interface OutboundOptions {
  /** Origins (`http://127.0.0.1:4000`) that may be called wherever they lead, also by plain HTTP: named by the operator. */
  readonly allowLoopback: () => readonly string[]
  readonly log: Log
  /** All addresses of a host; the system's resolver where absent. */
  readonly resolve?: (hostname: string) => Promise<readonly Address[]>
}

/** The one way out of the server. */
export interface Outbound extends AsyncDisposable {
  /**
   * Like `fetch`, streaming both ways, but: HTTPS only, to public addresses only, no redirect is followed, and size and time
   * have a limit. Throws `proxy_target_refused` for a forbidden address, `provider_unavailable` when the network fails or
   * takes too long, `provider_refused` when the answer is too long (also while its body is read), and the signal's own
   * reason when the caller gives up.
   */
  fetch(url: string | URL, request?: OutboundRequest): Promise<Response>
  /** The same for what is passed on: as strict, without what the Fetch standard wants done to each request. */
  dial(url: URL, request: Dial): Promise<Dialled>
}

/** Where the connection never came about, so that nothing of the request can have arrived. */
const nothingSent = new Set([
  'ECONNREFUSED',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** Whether a failed request surely did not reach anybody. Anything in doubt counts as sent. */
export function neverSent(failure: unknown): boolean {
  for (let at = failure; at instanceof Error; at = at.cause) {
    if (at instanceof AtomError && at.code === 'proxy_target_refused') return true
    if (at instanceof AggregateError && at.errors.length > 0) return at.errors.every(neverSent)
    if ('code' in at && typeof at.code === 'string' && nothingSent.has(at.code)) return true
  }
  return false
}

const defaultTimeoutMs = 30_000
const defaultMaxBytes = 10 * 1024 * 1024
const connectTimeoutMs = 10_000
/** Certificates whose connections are kept open; the one not used for longest gives way. */
const mostCertificates = 100

/** IANA IPv4 Special-Purpose Address Registry, multicast, reserved, and the one public address that is a metadata service. */
const forbiddenV4 = blockList('ipv4', [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // Azure's WireServer, which answers inside a virtual machine only.
  '168.63.129.16/32',
])

/** IPv6 is the other way round: only global unicast is public (RFC 4291 2.4), without its special parts (IANA registry). */
const globalV6 = blockList('ipv6', ['2000::/3'])
const specialV6 = blockList('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'])
/** IPv6 addresses that are IPv4 addresses in other clothes (RFC 4291 2.5.5.2, RFC 6052 2.1): the last 32 bits count. */
const carriesV4 = blockList('ipv6', ['::ffff:0:0/96', '64:ff9b::/96'])

/** Whether an address belongs to the public internet: not this machine, not a network near it, not a metadata service. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 4) return !forbiddenV4.check(address, 'ipv4')
  if (isIP(address) !== 6 || address.includes('%')) return false
  if (carriesV4.check(address, 'ipv6')) return isPublicAddress(lastFourBytes(address))
  return globalV6.check(address, 'ipv6') && !specialV6.check(address, 'ipv6')
}

export function createOutbound(options: OutboundOptions): Outbound {
  const resolve = options.resolve ?? ((hostname) => lookup(hostname, { all: true }))
  const agents = new Agents(publicLookup(resolve), options.log)
  const isListed = (url: URL) =>
    options.allowLoopback().some((origin) => origin === url.origin || new URL(origin).origin === url.origin)

  return {
    async dial(url, request) {
      const listed = isListed(url)
      if (!listed) refuseUnfit(url)
      const { signal } = request
      const translated = (error: unknown): unknown =>
        signal?.aborted === true ? signal.reason : outward(error, url, options.log, request.patienceMs)
      const receiver = new AnswerReceiver({
        method: request.method,
        signal,
        body: request.body,
        wholeBytes: Math.min(request.wholeBytes ?? 0, request.maxBytes),
        timeoutMs: request.timeoutMs,
        slow: () => slow(url, request.timeoutMs),
      })
      agents.of(listed, request.certificate).dispatch(
        {
          origin: url.origin,
          path: url.pathname + url.search,
          method: request.method,
          headers: request.headers as string[],
          body: request.body ?? null,
          headersTimeout: request.patienceMs,
        },
        receiver,
      )
      try {
        const { status, headers, body } = await receiver.answer
        const tooMuch = () => tooLong(url, request.maxBytes)
        return {
          status,
          headers,
          body: Buffer.isBuffer(body) ? body : unpacked(body, headers, request, tooMuch),
          translated,
        }
      } catch (error) {
        throw translated(error)
      }
    },
    async fetch(address, request = {}) {
      const url = new URL(address)
      const listed = isListed(url)
      if (!listed) refuseUnfit(url)
      const {
        signal,
        timeoutMs = defaultTimeoutMs,
        maxBytes = defaultMaxBytes,
        body,
        certificate,
        ...rest
      } = request
      const patience = AbortSignal.timeout(timeoutMs)
      const translated = (error: unknown): unknown => {
        if (signal?.aborted === true) return signal.reason
        if (patience.aborted && !(error instanceof AtomError)) return slow(url, timeoutMs, error)
        return outward(error, url, options.log, timeoutMs)
      }
      try {
        const answer = await undiciFetch(url, {
          ...rest,
          ...(body != null && { body }),
          ...(body instanceof ReadableStream && { duplex: 'half' }),
          signal: signal === undefined ? patience : AbortSignal.any([signal, patience]),
          redirect: 'manual',
          dispatcher: agents.of(listed, certificate),
        })
        const refuse = () => tooLong(url, maxBytes)
        if (Number(answer.headers.get('content-length') ?? 0) > maxBytes && request.method !== 'HEAD') {
          await answer.body?.cancel()
          throw refuse()
        }
        return new Response(answer.body && limited(answer.body, maxBytes, refuse, translated), {
          status: answer.status,
          statusText: answer.statusText,
          headers: [...answer.headers],
        })
      } catch (error) {
        throw translated(error)
      }
    },
    async [Symbol.asyncDispose]() {
      await agents.destroy()
    },
  }
}

/** Connections, apart by where they may lead and by who shows themselves there. */
class Agents {
  readonly #lookup: LookupFunction
  readonly #log: Log
  readonly #nobody: Pair
  readonly #shown = new Map<string, Pair>()

  constructor(lookup: LookupFunction, log: Log) {
    this.#lookup = lookup
    this.#log = log
    this.#nobody = this.#pair({})
  }

  of(listed: boolean, certificate: ClientCertificate | undefined): Agent {
    const pair = certificate === undefined ? this.#nobody : this.#showing(certificate)
    return listed ? pair.listed : pair.public
  }

  async destroy(): Promise<void> {
    const pairs = [this.#nobody, ...this.#shown.values()]
    await Promise.all(pairs.flatMap((pair) => [pair.listed.destroy(), pair.public.destroy()]))
  }

  #showing({ chain, privateKey }: ClientCertificate): Pair {
    const key = privateKey.reveal()
    const name = fingerprint(`${chain}${key}`)
    const pair = this.#shown.get(name) ?? this.#pair({ cert: chain, key })
    this.#shown.delete(name)
    this.#shown.set(name, pair)
    const [oldest] = this.#shown
    if (this.#shown.size > mostCertificates && oldest !== undefined) {
      this.#shown.delete(oldest[0])
      // Requests that are under way come to their end.
      for (const agent of [oldest[1].listed, oldest[1].public])
        agent.close().catch((error: unknown) => this.#log.warn({ err: error }, 'connections were not closed'))
    }
    return pair
  }

  #pair(shown: { cert?: string; key?: string }): Pair {
    const limits = { connections: 128, headersTimeout: 0, bodyTimeout: 0 }
    const connect = { timeout: connectTimeoutMs, ...shown }
    return {
      listed: new Agent({ ...limits, connect }),
      public: new Agent({ ...limits, connect: { ...connect, lookup: this.#lookup } }),
    }
  }
}

interface Pair {
  readonly listed: Agent
  readonly public: Agent
}

function refuseUnfit(url: URL): void {
  if (url.protocol !== 'https:') throw refused('Only https:// addresses may be called.')
  if (url.username !== '' || url.password !== '') throw refused('An address must not carry a password.')
  const literal = url.hostname.replace(/^\[|\]$/g, '')
  // Node does not look up what is an address already.
  if (isIP(literal) !== 0 && !isPublicAddress(literal)) throw privateNetwork(url.hostname)
}

/**
 * The name is resolved once, at the moment of connecting, and the connection goes to what was found and judged: a name that
 * leads elsewhere a moment later (DNS rebinding) gains nothing. One private address among public ones refuses them all.
 */
function publicLookup(resolve: NonNullable<OutboundOptions['resolve']>): LookupFunction {
  return (hostname, { all }, callback) => {
    resolve(hostname)
      .then((found) => {
        const [first] = found
        if (first === undefined) throw new Error(`${hostname} has no address`)
        if (!found.every(({ address }) => isPublicAddress(address))) throw privateNetwork(hostname)
        if (all === true) callback(null, [...found])
        else callback(null, first.address, first.family)
      })
      .catch((error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), []))
  }
}

/** Passes the body on, counting; what breaks it is told in our words. */
function limited(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  tooLong: () => AtomError,
  translated: (error: unknown) => unknown,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader()
  let bytes = 0
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (done) return controller.close()
        bytes += value.byteLength
        if (bytes > maxBytes) {
          await reader.cancel()
          throw tooLong()
        }
        controller.enqueue(value as Uint8Array<ArrayBuffer>)
      } catch (error) {
        controller.error(translated(error))
      }
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

/** Content codings that an answer may come in (RFC 9110 8.4.1), as `Accept-Encoding` says them. */
export const knownCodings = 'gzip, deflate, br'

function unpacked(
  body: Readable,
  headers: Dialled['headers'],
  { method, maxBytes }: Dial,
  refuse: () => AtomError,
): Readable {
  if (method === 'HEAD') return body
  const coding = String(headers['content-encoding'] ?? 'identity').toLowerCase()
  const length = headers['content-length']
  if (length !== undefined && Number(length) > maxBytes) {
    body.destroy()
    throw refuse()
  }
  if (length === '0') return body
  const decoder = decoderOf(coding)
  if (decoder === undefined && coding !== 'identity') {
    body.destroy()
    throw new AtomError('provider_refused', 'The answer came in a content coding that nobody asked for.')
  }
  // The parser holds a body to the length that it announced.
  if (length !== undefined && coding === 'identity') return body
  let bytes = 0
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.byteLength
      if (bytes > maxBytes) done(refuse())
      else done(null, chunk)
    },
  })
  return chained(decoder === undefined ? [body, counted] : [body, decoder, counted])
}

function decoderOf(coding: string): Transform | undefined {
  if (coding === 'gzip' || coding === 'x-gzip') return createGunzip()
  if (coding === 'deflate') return createInflate()
  if (coding === 'br') return createBrotliDecompress()
  return undefined
}

/** As `pipeline`, without its callback: what breaks one breaks all, and the last one is whom its reader asks. */
export function chained(parts: readonly [Readable, ...Transform[]]): Readable {
  let last: Readable = parts[0]
  for (const next of parts.slice(1) as Transform[]) {
    const from = last
    from.once('error', (error) => next.destroy(error))
    from.once('close', () => {
      if (!from.readableEnded && !next.destroyed) next.destroy(new Error('the body ended early'))
    })
    next.once('close', () => from.destroy())
    last = from.pipe(next).on('error', heard)
  }
  return last
}

function outward(error: unknown, url: URL, log: Log, patienceMs: number): unknown {
  if (error instanceof AtomError) return error
  const refusal = refusalBeneath(error)
  if (refusal !== undefined) return refusal
  log.debug({ err: error, origin: url.origin }, 'a request to the outside failed')
  if (error instanceof errors.HeadersTimeoutError) return slow(url, patienceMs, error)
  return new AtomError('provider_unavailable', `${url.host} cannot be reached.`, { cause: error })
}

function slow(url: URL, ms: number, cause?: unknown): AtomError {
  return new AtomError('provider_unavailable', `${url.host} did not answer within ${ms / 1000} seconds.`, {
    cause,
  })
}

function tooLong(url: URL, maxBytes: number): AtomError {
  return new AtomError('provider_refused', `The answer of ${url.host} is longer than ${maxBytes} bytes.`)
}

function refusalBeneath(error: unknown): AtomError | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof AtomError) return at
    if (at instanceof AggregateError) {
      const found = at.errors.map(refusalBeneath).find((inner) => inner !== undefined)
      if (found !== undefined) return found
    }
  }
  return undefined
}

function privateNetwork(host: string): AtomError {
  return refused(`${host} leads into a private network, which Atom does not call.`)
}

function refused(detail: string): AtomError {
  return new AtomError('proxy_target_refused', detail)
}

function lastFourBytes(address: string): string {
  if (address.includes('.')) return address.slice(address.lastIndexOf(':') + 1)
  // The URL parser writes an IPv6 address in its one canonical form, so that the last two groups are there.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split(':')
  const [high = 0, low = 0] = groups.slice(-2).map((group) => Number.parseInt(group || '0', 16))
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

function blockList(family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [network = '', prefix] = subnet.split('/')
    list.addSubnet(network, Number(prefix), family)
  }
  return list
}
