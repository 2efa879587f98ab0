import { type Static, type TSchema, Type } from 'typebox'
import type { ErrorCode } from './errors.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Who may call: `anyone`, a signed-in `member` of the workspace, or an `operator` (owner or admin of it). */
export type Audience = 'anyone' | 'member' | 'operator'

/**
 * Who is served first where not all can be: probes always, then signing in and renewing a session, then people, then agents and
 * others who come with a key, then what can wait.
 */
export type Priority = 'probe' | 'entry' | 'people' | 'agents' | 'bulk'

/**
 * One route as both sides know it: the validator of the server, the types of the client, an entry of the OpenAPI document.
 * `path` is written as OpenAPI and RFC 6570 write it: `/v1/rooms/{id}`.
 */
export interface Route {
  readonly method: Method
  readonly path: string
  readonly summary: string
  readonly audience: Audience
  readonly params?: TSchema
  readonly query?: TSchema
  readonly body?: TSchema
  /** Largest body in bytes; 64 KiB where absent. */
  readonly bodyLimit?: number
  /** `people` where absent. */
  readonly priority?: Priority
  /** Success answers by status. `Nothing` for an empty body. */
  readonly answers: Readonly<Record<number, TSchema>>
  /**
   * The answer with status 200 is a stream of server-sent events (`text/event-stream`): what `data` of each holds, as JSON, by
   * the name of the event; `message` is the one without a name.
   */
  readonly events?: Readonly<Record<string, TSchema>>
  /** Codes that this route can answer besides those that every route can. */
  readonly errors: readonly ErrorCode[]
}

export function route<const R extends Route>(definition: R): R {
  return definition
}

export const Nothing = Type.Null()

type Part<R extends Route, K extends 'params' | 'query' | 'body'> =
  R extends Record<K, infer S extends TSchema> ? Static<S> : undefined
export type Params<R extends Route> = Part<R, 'params'>
export type Query<R extends Route> = Part<R, 'query'>
export type Body<R extends Route> = Part<R, 'body'>
/** The union of what the route answers on success. */
export type Answer<R extends Route> = Static<R['answers'][keyof R['answers'] & number]>

export const Id = Type.String({ format: 'uuid', description: 'UUID' })
export const Time = Type.String({ format: 'date-time', description: 'RFC 3339, UTC' })
export const ById = Type.Object({ id: Id })
export const PageQuery = Type.Object(
  {
    cursor: Type.Optional(Type.String({ maxLength: 200 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
  },
  { additionalProperties: false },
)

/** A cursor-paged list: `next` is null on the last page. */
export function Page<T extends TSchema>(item: T) {
  return Type.Object({ items: Type.Array(item), next: Type.Union([Type.String(), Type.Null()]) })
}
