import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { Secret } from '#foundation/secret.ts'
import { StartError } from '#foundation/start-error.ts'

/** Everything that can be set from outside, read once. Secrets are sealed, so the whole can be printed. */
export interface Config {
  readonly host: string
  readonly port: number
  /** The address people and providers reach this server by; no trailing slash. */
  readonly publicUrl: string
  readonly dataDir: string
  /** Absent: the embedded PostgreSQL in the data folder. */
  readonly databaseUrl: Secret | undefined
  /** Absent: processes on one database hear of each other through it alone. */
  readonly redisUrl: Secret | undefined
  /** By version, in memory or in AWS KMS (`openKeyring`). Absent: generated once into the data folder. */
  readonly masterKeys: Secret | undefined
  /** Absent: random, printed while no account exists. */
  readonly setupToken: Secret | undefined
  readonly corsOrigins: readonly string[]
  /** Addresses or CIDR ranges whose `X-Forwarded-*` is believed. */
  readonly trustedProxies: readonly string[]
  readonly logLevel: LogLevel
  /** `on`: started with the server. `offer`: an operator may start it from the Connections page. `off`: neither. */
  readonly sandbox: 'on' | 'offer' | 'off'
  /** Lets a scraper read `/metrics` without an account. Absent: operators only. */
  readonly metricsToken: Secret | undefined
  /** Where `/live` and `/ready` are answered even while the process is blocked. Absent: on the one port alone. */
  readonly probePort: number | undefined
  /** How long a server that ends goes on serving for a balancer to look away, and when it ends whatever is left. */
  readonly stop: { readonly graceMs: number; readonly deadlineMs: number }
  /** Absent: the embedded agent answers. */
  readonly model: ModelConfig | undefined
  /** Absent: neither traces nor metrics leave this process. */
  readonly telemetry: TelemetryConfig | undefined
}

/** By OpenTelemetry's own names (`OTEL_…`). */
export interface TelemetryConfig {
  /** Of the collector, speaking OTLP over HTTP; no trailing slash. */
  readonly endpoint: string
  /** Sent with every export, a key among them. */
  readonly headers: Secret | undefined
  readonly resource: Readonly<Record<string, string>>
  /** The part of requests and turns whose trace is kept, 0 to 1. */
  readonly ratio: number
  readonly metricIntervalMs: number
}

export interface ModelConfig {
  /** An OpenAI-compatible API, such as `http://127.0.0.1:11434/v1`. */
  readonly baseUrl: string
  readonly key: Secret | undefined
  readonly name: string
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
type LogLevel = (typeof logLevels)[number]

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The only reader of the environment. A bad value stops the start with one line that names the variable (`StartError`).
 */
export function readConfig(environment: Environment = process.env): Config {
  const read = (name: string) => {
    const value = environment[name]?.trim()
    return value === undefined || value === '' ? undefined : value
  }
  const secret = (name: string) => {
    const value = read(name)
    return value === undefined ? undefined : new Secret(value)
  }
  const host = read('ATOM_HOST') ?? '127.0.0.1'
  const port = portOf('ATOM_PORT', read('ATOM_PORT') ?? '3000')
  const probePort = read('ATOM_PROBE_PORT')
  return Object.freeze({
    host,
    port,
    publicUrl: originOf('ATOM_PUBLIC_URL', read('ATOM_PUBLIC_URL') ?? `http://${hostInUrl(host)}:${port}`),
    dataDir: resolve(read('ATOM_DATA_DIR') ?? '.atom'),
    databaseUrl: databaseUrlOf(read('DATABASE_URL')),
    redisUrl: redisUrlOf(read('REDIS_URL')),
    masterKeys: secret('ATOM_MASTER_KEYS'),
    setupToken: longSecretOf('ATOM_SETUP_TOKEN', read('ATOM_SETUP_TOKEN')),
    corsOrigins: listOf(read('ATOM_CORS_ORIGINS')).map((origin) => originOf('ATOM_CORS_ORIGINS', origin)),
    trustedProxies: listOf(read('ATOM_TRUSTED_PROXIES')).map(networkOf),
    logLevel: oneOf('ATOM_LOG_LEVEL', read('ATOM_LOG_LEVEL') ?? 'info', logLevels),
    sandbox: sandboxOf(read('ATOM_SANDBOX')),
    metricsToken: longSecretOf('ATOM_METRICS_TOKEN', read('ATOM_METRICS_TOKEN')),
    probePort: probePort === undefined ? undefined : probePortOf(probePort, port),
    stop: stopOf(read('ATOM_STOP_GRACE') ?? '5', read('ATOM_STOP_DEADLINE') ?? '25'),
    model: modelOf(read('ATOM_MODEL_BASE_URL'), secret('ATOM_MODEL_KEY'), read('ATOM_MODEL_NAME')),
    telemetry: telemetryOf(read),
  })
}

function portOf(name: string, text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) {
    throw new StartError(`${name} is "${text}". Give a port from 1 to 65535.`)
  }
  return port
}

function probePortOf(text: string, port: number): number {
  const probePort = portOf('ATOM_PROBE_PORT', text)
  if (probePort === port)
    throw new StartError(`ATOM_PROBE_PORT is ${probePort}, as ATOM_PORT is. Give another one.`)
  return probePort
}

/** A drain needs a moment of its own beside the grace. */
const leastDrainMs = 1_000

function stopOf(grace: string, deadline: string): Config['stop'] {
  const graceMs = secondsOf('ATOM_STOP_GRACE', grace)
  const deadlineMs = secondsOf('ATOM_STOP_DEADLINE', deadline)
  if (deadlineMs < graceMs + leastDrainMs) {
    throw new StartError(
      `ATOM_STOP_DEADLINE is ${deadline} s, which leaves nothing beside an ATOM_STOP_GRACE of ${grace} s. Give more.`,
    )
  }
  return { graceMs, deadlineMs }
}

function secondsOf(name: string, text: string): number {
  const seconds = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || seconds > 3_600) {
    throw new StartError(`${name} is "${text}". Give seconds, at most 3600.`)
  }
  return seconds * 1_000
}

/** A listening address is not always one that a browser can open. */
function hostInUrl(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}

function originOf(name: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '') {
    throw new StartError(
      `${name} has "${text}". Give an address such as https://atom.example.org, without a path.`,
    )
  }
  return url.origin
}

function databaseUrlOf(text: string | undefined): Secret | undefined {
  if (text === undefined) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw new StartError(
      'DATABASE_URL is not the address of a PostgreSQL. Give postgres://user:password@host:5432/database.',
    )
  }
  return new Secret(text)
}

function redisUrlOf(text: string | undefined): Secret | undefined {
  if (text === undefined) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '') {
    throw new StartError(
      'REDIS_URL is not the address of a Redis. Give redis://user:password@host:6379, or rediss:// for TLS.',
    )
  }
  return new Secret(text)
}

function longSecretOf(name: string, text: string | undefined): Secret | undefined {
  if (text === undefined) return undefined
  if (text.length < 16) {
    throw new StartError(`${name} is too short. Give at least 16 characters, or leave it out.`)
  }
  return new Secret(text)
}

function sandboxOf(text: string | undefined): Config['sandbox'] {
  if (text === undefined) return 'offer'
  if (text === '1') return 'on'
  if (text === '0') return 'off'
  throw new StartError(`ATOM_SANDBOX is "${text}". Give 1 to start the provider sandbox, 0 to forbid it.`)
}

function modelOf(
  baseUrl: string | undefined,
  key: Secret | undefined,
  name: string | undefined,
): ModelConfig | undefined {
  if (baseUrl === undefined) {
    if (key === undefined && name === undefined) return undefined
    throw new StartError('ATOM_MODEL_BASE_URL is missing. Give the address of an OpenAI-compatible API.')
  }
  if (!URL.canParse(baseUrl) || !/^https?:$/.test(new URL(baseUrl).protocol)) {
    throw new StartError(
      `ATOM_MODEL_BASE_URL is "${baseUrl}". Give an address such as http://127.0.0.1:11434/v1.`,
    )
  }
  if (name === undefined) {
    throw new StartError(
      'ATOM_MODEL_NAME is missing. Give the name of a model that ATOM_MODEL_BASE_URL serves.',
    )
  }
  return { baseUrl: baseUrl.replace(/\/+$/, ''), key, name }
}

function telemetryOf(read: (name: string) => string | undefined): TelemetryConfig | undefined {
  const endpoint = read('OTEL_EXPORTER_OTLP_ENDPOINT')
  if (endpoint === undefined || read('OTEL_SDK_DISABLED') === 'true') return undefined
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new StartError(
      `OTEL_EXPORTER_OTLP_ENDPOINT is "${endpoint}". Give the address of a collector such as http://127.0.0.1:4318.`,
    )
  }
  const headers = read('OTEL_EXPORTER_OTLP_HEADERS')
  // Judged now, so that a bad one stops the start and not the first export; what is in it is said nowhere.
  if (headers !== undefined) pairsOf('OTEL_EXPORTER_OTLP_HEADERS', headers)
  const ratio = Number(read('OTEL_TRACES_SAMPLER_ARG') ?? '0.01')
  if (!(ratio >= 0 && ratio <= 1)) {
    throw new StartError('OTEL_TRACES_SAMPLER_ARG is no part of 1. Give a number from 0 to 1, such as 0.01.')
  }
  const interval = read('OTEL_METRIC_EXPORT_INTERVAL') ?? '60000'
  if (!/^\d+$/.test(interval) || Number(interval) < 1_000) {
    throw new StartError(
      `OTEL_METRIC_EXPORT_INTERVAL is "${interval}". Give milliseconds, at least 1000, such as 60000.`,
    )
  }
  return {
    endpoint: endpoint.replace(/\/+$/, ''),
    headers: headers === undefined ? undefined : new Secret(headers),
    resource: {
      ...pairsOf('OTEL_RESOURCE_ATTRIBUTES', read('OTEL_RESOURCE_ATTRIBUTES') ?? ''),
      'service.name': read('OTEL_SERVICE_NAME') ?? 'atom',
    },
    ratio,
    metricIntervalMs: Number(interval),
  }
}

/** `a=1,b=2`, values percent-encoded, as OpenTelemetry writes them. @throws StartError without the values, which may be keys */
export function pairsOf(name: string, text: string): Record<string, string> {
  return Object.fromEntries(
    listOf(text).map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1 || !/^(?:[^%]|%[\da-f]{2})*$/i.test(pair)) {
        throw new StartError(`${name} is not a list such as name=value,other=value.`)
      }
      return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())]
    }),
  )
}

function networkOf(text: string): string {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  const bits = prefix === undefined ? 0 : Number(prefix)
  if (
    family === 0 ||
    rest.length > 0 ||
    !Number.isInteger(bits) ||
    bits < 0 ||
    bits > (family === 4 ? 32 : 128)
  ) {
    throw new StartError(
      `ATOM_TRUSTED_PROXIES has "${text}". Give addresses or networks such as 10.0.0.0/8, separated by commas.`,
    )
  }
  return text
}

function listOf(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

function oneOf<const T extends string>(name: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text)
  if (found === undefined) throw new StartError(`${name} is "${text}". Give one of ${choices.join(', ')}.`)
  return found
}
