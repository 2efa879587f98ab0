import { type Static, Type } from 'typebox'
import { Time } from './route.ts'

export const HealthStatus = Type.Union([Type.Literal('up'), Type.Literal('degraded'), Type.Literal('down')])
export type HealthStatus = Static<typeof HealthStatus>

/** The state of a process in one word; `down`: it runs, but without something it cannot serve without. */
export const StatusWord = Type.Union([Type.Literal('starting'), HealthStatus, Type.Literal('draining')])
export type StatusWord = Static<typeof StatusWord>

/** One thing that can be well or not, as it was when it was last looked at. */
export const HealthComponent = Type.Object({
  status: HealthStatus,
  detail: Type.Optional(Type.String({ description: 'In plain words.' })),
  required: Type.Boolean({ description: 'Without it `/ready` says no.' }),
  since: Time,
  checkedAt: Time,
  latencyMs: Type.Number({ description: 'How long the last look took.' }),
  lastError: Type.Optional(Type.Object({ detail: Type.String(), at: Time })),
  figures: Type.Optional(
    Type.Record(Type.String(), Type.Number(), { description: 'Readings; the name ends with the unit.' }),
  ),
})
export type HealthComponent = Static<typeof HealthComponent>

const ByName = Type.Record(Type.String(), HealthComponent)

export const Health = Type.Object({
  status: HealthStatus,
  /** From here on for operators only. */
  state: Type.Optional(StatusWord),
  node: Type.Optional(Type.String({ description: 'The process that answers.' })),
  version: Type.Optional(Type.String()),
  startedAt: Type.Optional(Time),
  components: Type.Optional(ByName),
  system: Type.Optional(ByName),
})
export type Health = Static<typeof Health>
