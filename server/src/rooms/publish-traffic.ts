import { asAtomError } from '#foundation/errors.ts'
import { Distribution } from '#foundation/telemetry/distribution.ts'
import { FineHistogram } from '#foundation/telemetry/fine-histogram.ts'
import type { RoomNews } from './timeline.ts'

/** What waits in one lane. */
export interface LaneLoad {
  readonly rows: number
  readonly bytes: number
}

/** How long a publisher waited for the answer after the commit, in milliseconds. */
const waits = [1, 2, 5, 10, 20, 40, 60, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]
const batches = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]

/** What is counted of publishing. Nothing here decides anything; all of it may be read at any time. */
export class PublishTraffic {
  /** From the arrival in a lane to the answer after the commit, in milliseconds. */
  readonly acknowledged = new Distribution({ bounds: waits, scale: 1_000, most: 60_000 })
  /** The same since it was taken last, for the history. */
  readonly fine = new FineHistogram()
  /** Events in one commit of a lane. */
  readonly batches = new Distribution({ bounds: batches, scale: 1, most: 1_024 })
  /** What became of each event that was handed to a lane: `stored`, `repeated`, or the code of its refusal. */
  readonly verdicts = new Map<string, number>([
    ['stored', 0],
    ['repeated', 0],
  ])
  #committed = 0

  /** Events that this process committed, in lanes and in transactions. */
  get committed(): number {
    return this.#committed
  }

  /** One event on its way through a lane; `work` is answered as it would be without. */
  watch<A extends { readonly duplicate: boolean }>(work: Promise<A>): Promise<A> {
    const began = performance.now()
    return work.then(
      (appended) => {
        const ms = performance.now() - began
        this.acknowledged.record(ms)
        this.fine.record(ms)
        this.#add(appended.duplicate ? 'repeated' : 'stored')
        return appended
      },
      (error: unknown) => {
        this.#add(asAtomError(error).code)
        throw error
      },
    )
  }

  heard({ events }: RoomNews): void {
    this.#committed += events?.length ?? 0
  }

  #add(verdict: string): void {
    this.verdicts.set(verdict, (this.verdicts.get(verdict) ?? 0) + 1)
  }
}
