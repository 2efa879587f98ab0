import type { Profiler } from 'node:inspector'

// Where the processor was during requests, layer by layer: what its sampling profiler says of the real server, put together as in
// production. Leaving a layer out instead was measured to differ by more from round to round than most layers cost.

/** The layers that `issue` and budget know; they add up to the whole. */
export const layers = [
  'node:http',
  'framework',
  'request id',
  'security headers',
  'cross-origin',
  'rate limit',
  'shedding',
  'token',
  'validation',
  'serialisation',
  'access log',
  'metrics',
  'tracing hooks',
  'guard',
  'garbage',
  'background',
] as const
export type Layer = (typeof layers)[number]

/** Part of the time of each layer, 0 to 1. */
export type Shares = Readonly<Record<Layer, number>>

interface Rule {
  readonly layer: Layer
  /** Parts of the file's address. */
  readonly files: readonly string[]
  /** Functions of those files; all where absent. */
  readonly functions?: readonly string[]
  /** Hands the request on: what Node does below it is Node's, not this layer's. */
  readonly carries?: boolean
}

const server = 'server/src/http/server.ts'

/** The first that fits counts. */
const rules: readonly Rule[] = [
  { layer: 'request id', files: ['foundation/ids.ts', 'node_modules/uuid/'] },
  { layer: 'security headers', files: ['http/security-headers.ts', 'http/answer.ts'] },
  { layer: 'cross-origin', files: ['http/cross-origin.ts'] },
  {
    layer: 'rate limit',
    files: ['http/policy-limits.ts', 'foundation/rate-limit/', 'http/edge.ts', 'http/callers.ts'],
  },
  { layer: 'shedding', files: ['http/load-shedding.ts'] },
  { layer: 'token', files: ['access/tokens.ts', 'access/authenticate.ts', 'access/revocations.ts'] },
  { layer: 'validation', files: ['http/validation.ts', 'http/strict-json.ts', 'node_modules/typebox/'] },
  { layer: 'serialisation', files: ['fastify/lib/reply.js'], functions: ['serialize'] },
  { layer: 'serialisation', files: ['fast-json-stringify', '@fastify/fast-json-stringify-compiler'] },
  { layer: 'access log', files: ['foundation/log', 'node_modules/pino'] },
  { layer: 'access log', files: [server], functions: ['#tell', '#line', 'plainFields', 'tenths'] },
  {
    layer: 'metrics',
    files: ['http/route-traffic.ts', 'telemetry/buckets.ts', 'telemetry/fine-histogram.ts'],
  },
  { layer: 'metrics', files: [server], functions: ['#end'] },
  {
    layer: 'tracing hooks',
    files: ['telemetry/trace.ts', 'telemetry/tracing.ts', 'telemetry/otlp-export.ts'],
  },
  { layer: 'tracing hooks', files: ['node_modules/@opentelemetry/'] },
  { layer: 'tracing hooks', files: [server], functions: ['#trace', 'traceparentOf', 'spanOf'] },
  {
    layer: 'guard',
    files: ['access/guarded-route.ts', 'http/answers-under-way.ts', 'api/atom.ts'],
    carries: true,
  },
  { layer: 'guard', files: [server], carries: true },
  { layer: 'framework', files: ['node_modules/fastify/', 'node_modules/find-my-way/'], carries: true },
  {
    layer: 'framework',
    files: ['node_modules/fast-querystring', 'node_modules/socket.io', 'node_modules/engine.io'],
    carries: true,
  },
  { layer: 'framework', files: ['node_modules/@fastify/', 'node_modules/toad-cache'], carries: true },
]

interface Frame {
  readonly functionName: string
  readonly url: string
}

/**
 * @param stack the innermost first
 * @returns undefined where the processor rested
 */
export function layerOf(stack: readonly Frame[]): Layer | undefined {
  const [leaf] = stack
  if (leaf === undefined || leaf.functionName === '(idle)') return undefined
  // Looking is no part of what is looked at.
  if (stack.some(({ url }) => url === 'node:inspector')) return undefined
  if (leaf.functionName === '(garbage collector)') return 'garbage'
  if (leaf.functionName === '(program)') return 'node:http'
  let nodes = false
  for (const { url, functionName } of stack) {
    if (url.startsWith('node:')) nodes = true
    // Built in, or compiled from a text: whoever called it has it done.
    if (url === '' || url.startsWith('node:') || url.startsWith('evalmachine')) continue
    const rule = rules.find(
      ({ files, functions }) =>
        files.some((file) => url.includes(file)) && (functions?.includes(functionName) ?? true),
    )
    if (rule === undefined) return 'background'
    return rule.carries === true && nodes ? 'node:http' : rule.layer
  }
  return nodes ? 'node:http' : 'background'
}

/** What was sampled, by layer. */
export function sharesOf(profile: Profiler.Profile): Shares {
  const parents = new Map<number, Profiler.ProfileNode>()
  const byId = new Map<number, Profiler.ProfileNode>()
  for (const node of profile.nodes) {
    byId.set(node.id, node)
    for (const child of node.children ?? []) parents.set(child, node)
  }
  const layerOfNode = new Map<number, Layer | undefined>()
  for (const node of profile.nodes) {
    const stack: Frame[] = []
    for (let at: Profiler.ProfileNode | undefined = node; at !== undefined; at = parents.get(at.id))
      stack.push(at.callFrame)
    layerOfNode.set(node.id, layerOf(stack))
  }
  const spent = Object.fromEntries(layers.map((layer) => [layer, 0])) as Record<Layer, number>
  let all = 0
  for (const [place, id] of (profile.samples ?? []).entries()) {
    const layer = layerOfNode.get(id)
    // How long after the sample before it; the processor was there since.
    const us = Math.max(0, profile.timeDeltas?.[place] ?? 0)
    if (layer === undefined) continue
    spent[layer] += us
    all += us
  }
  for (const layer of layers) spent[layer] /= all
  return spent
}
