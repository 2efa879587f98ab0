import type { Effect, ToolOutcome } from '@atom/contract/agents.ts'
import type { Connection } from '@atom/contract/connections.ts'
import type { Static, TObject, TSchema } from 'typebox'

/**
 * What a slot holds, for whoever fills it from words:
 * `text` one line · `prose` several lines · `repository` `owner/name` · `number` digits ·
 * `start` and `end` the instants at which the spoken period begins and ends, RFC 3339 with offset ("tomorrow" fills both,
 * "tomorrow at 3" only `start`).
 */
type SlotKind = 'text' | 'prose' | 'repository' | 'number' | 'start' | 'end'

export interface ToolSlot {
  /** Name of the argument of `input` that it fills. */
  readonly name: string
  /** As a person calls it: "Title". */
  readonly label: string
  readonly kind: SlotKind
  /** A required slot that is missing is asked for; any other is left out, or found by the tool's `prepare`. */
  readonly required: boolean
  /** "What should the issue be called?" */
  readonly question: string
}

/** What a model, or the embedded understanding, knows of a tool. */
export interface ToolDescription {
  /** `provider_verb_noun`. */
  readonly name: string
  /** "Create an issue". */
  readonly title: string
  /** For a language model. */
  readonly description: string
  readonly effect: Effect
  readonly provider: string
  /** Any one of these, in the provider's own words, lets a connection use it. */
  readonly scopes: readonly string[]
  /** JSON Schema of the arguments, an object. */
  readonly input: TSchema
  readonly slots: readonly ToolSlot[]
  /** Natural phrasings, slot values in them written as people write them; what the embedded understanding learns from. */
  readonly examples: readonly string[]
}

export type ToolArgs = Readonly<Record<string, unknown>>

export interface ProviderRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Relative to the provider's API, with its query: `/repos/o/r/issues?state=open`. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
}

export interface ProviderAnswer {
  readonly status: number
  readonly headers: Headers
  /** Parsed JSON; undefined where the body was empty. Foreign data: to be narrowed, never trusted. */
  readonly body: unknown
}

/** One person's connected account, as a tool may use it. Never holds a credential: the connection proxy adds it outside. */
export interface ProviderAccount {
  readonly connection: Connection
  readonly now: Date
  /**
   * @throws AtomError `provider_unavailable` when there was no answer, `connection_needs_reconnect` when the credential is
   * not accepted any more.
   */
  request(request: ProviderRequest): Promise<ProviderAnswer>
}

/** The provider answered that it will not do it: nothing happened, and the sentence says why. */
export class ToolRefused extends Error {
  override readonly name = 'ToolRefused'
}

/** The request left and no clear answer came back: it may have happened. */
export class ToolUncertain extends Error {
  override readonly name = 'ToolUncertain'
}

/** A `ToolOutcome` without what the turn adds to it. */
export type Presented = Omit<ToolOutcome, 'status' | 'durationMs'>

/** The arguments completed from the account, or the one thing that has to be asked first. */
export type Prepared =
  | {
      readonly args: ToolArgs
      /** What the account says about them, for the approval to show: the title of the issue that will be closed. */
      readonly context?: readonly PreviewField[]
    }
  | {
      readonly ask: {
        readonly slot: string
        readonly question: string
        readonly suggestions: readonly string[]
      }
    }

interface PreviewField {
  readonly name: string
  readonly label: string
  readonly value: string
  readonly editable: boolean
  readonly multiline: boolean
}

export interface Tool extends ToolDescription {
  /** What the arguments must satisfy after `prepare`, and after a person edited them; at least as strict as `input`. */
  readonly final: TSchema
  /** What will happen, in one sentence: "Create an issue in atom-labs/app". */
  sentence(args: ToolArgs): string
  /** What an approval shows. Every argument that reaches the provider is among them. */
  preview(args: ToolArgs): readonly PreviewField[]
  /** Completes the arguments by reading from the account; changes nothing there. */
  prepare(account: ProviderAccount, args: ToolArgs): Promise<Prepared>
  /**
   * Does it. `key` is the same for every repetition of the same call.
   * @throws ToolRefused nothing happened · ToolUncertain it may have happened
   */
  call(account: ProviderAccount, args: ToolArgs, key: string): Promise<Presented>
  /**
   * Effect `reconcilable`: what an earlier `call` with this key did, undefined where nothing of it is to be seen. `since`
   * is safely before that call left.
   */
  verify?(account: ProviderAccount, args: ToolArgs, key: string, since: Date): Promise<Presented | undefined>
}

interface Definition<Input extends TObject, Result> extends Omit<ToolDescription, 'input'> {
  readonly input: Input
  /** `input` where absent. */
  readonly final?: TSchema
  sentence(args: Static<Input>): string
  preview?(args: Static<Input>): readonly PreviewField[]
  prepare?(account: ProviderAccount, args: Static<Input>): Promise<Prepared>
  call(account: ProviderAccount, args: Static<Input>, key: string): Promise<Result>
  verify?(
    account: ProviderAccount,
    args: Static<Input>,
    key: string,
    since: Date,
  ): Promise<Result | undefined>
  present(result: Result, args: Static<Input>): Presented
}

/**
 * A tool, written against the types of its own arguments and results. The turn checks arguments against `input` before any
 * of these methods sees them, which is what makes the narrowing here true.
 */
export function defineTool<const Input extends TObject, Result>(definition: Definition<Input, Result>): Tool {
  const narrow = (args: ToolArgs) => args as Static<Input>
  const { call, verify, present, prepare, preview, sentence, ...description } = definition
  return {
    final: description.input,
    ...description,
    sentence: (args) => sentence(narrow(args)),
    preview: (args) => preview?.(narrow(args)) ?? fieldsOf(description.slots, args),
    prepare: (account, args) => prepare?.(account, narrow(args)) ?? Promise.resolve({ args }),
    call: async (account, args, key) => present(await call(account, narrow(args), key), narrow(args)),
    ...(verify && {
      verify: async (account: ProviderAccount, args: ToolArgs, key: string, since: Date) => {
        const found = await verify(account, narrow(args), key, since)
        return found === undefined ? undefined : present(found, narrow(args))
      },
    }),
  }
}

function fieldsOf(slots: readonly ToolSlot[], args: ToolArgs): readonly PreviewField[] {
  return slots
    .filter((slot) => args[slot.name] !== undefined)
    .map((slot) => ({
      name: slot.name,
      label: slot.label,
      value: String(args[slot.name]),
      editable: true,
      multiline: slot.kind === 'prose',
    }))
}
