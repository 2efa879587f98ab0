import type { Envelope } from '#foundation/crypto/envelope.ts'
import type { KeyColumn } from '#foundation/crypto/key-rotation.ts'
import type { AnswerHeaders } from './proxy-headers.ts'

export interface SealedAnswer {
  readonly dataKey: Buffer
  readonly sealed: Buffer
}

interface KeptAnswer {
  readonly headers: AnswerHeaders
  readonly body: Buffer
}

interface WritePlace {
  readonly workspaceId: string
  readonly writeId: string
}

/** Answers of providers hold people's data: they are sealed as credentials are, each under a key of its own. */
export class AnswerSeal {
  readonly #envelope: Envelope

  constructor(dependencies: { envelope: Envelope }) {
    this.#envelope = dependencies.envelope
  }

  async seal(place: WritePlace, { headers, body }: KeptAnswer): Promise<SealedAnswer> {
    const dataKey = await this.#envelope.createKey(answerBinding(place.workspaceId, place.writeId))
    const text = JSON.stringify({ headers, body: body.toString('base64') })
    return { dataKey, sealed: await this.#envelope.seal(dataKey, text, valueBinding(place)) }
  }

  async open(place: WritePlace, { dataKey, sealed }: SealedAnswer): Promise<KeptAnswer> {
    const text = (await this.#envelope.open(dataKey, sealed, valueBinding(place))).reveal()
    const { headers, body } = JSON.parse(text) as { headers: AnswerHeaders; body: string }
    return { headers, body: Buffer.from(body, 'base64') }
  }
}

/** For the rotation of master keys. */
export const answerKeys: KeyColumn = {
  noun: 'kept answer',
  table: 'kept_answers',
  id: 'write_id',
  idType: 'uuid',
  key: 'data_key',
  workspace: 'workspace_id',
  binding: ({ workspaceId, id }) => answerBinding(workspaceId, id),
  remedy: 'it goes by itself within a day',
}

function answerBinding(workspaceId: string, id: string) {
  return { kind: 'answer', workspace: workspaceId, id }
}

function valueBinding({ workspaceId, writeId }: WritePlace) {
  return { ...answerBinding(workspaceId, writeId), field: 'answer', version: '1' }
}
