import { AtomProcess } from '../../../server/test/support/atom-process.ts'
import { type Benchmark, figure, quantile } from '../benchmark.ts'
import { restingMemory } from '../process-tree.ts'
import { type Connection, Visitor } from '../visitor.ts'

/** Said in turn: small talk, help, a task without an account, something that is not understood. */
const sayings = [
  'hello',
  'what can you do?',
  'show my open issues',
  'create an issue called Fix the login page',
  'thank you',
  'the weather in the mountains is nice',
]

/** In milliseconds from the moment the message leaves the client. */
interface Answered {
  readonly acknowledged: number
  readonly firstDelta: number
  readonly final: number
}

export const benchmark: Benchmark = {
  name: 'first-answer',
  question:
    'Somebody says something to the embedded agent: how long until it is stored, until the first piece of the answer, and until the whole answer is stored?',
  async run({ quick, say }) {
    const rounds = quick ? 20 : 50
    await using atom = await AtomProcess.started({ ATOM_LOG_LEVEL: 'info' })
    const visitor = await Visitor.arrive(atom.setupUrl)
    const [room] = await visitor.rooms()
    if (room === undefined) throw new Error('there is no room with the agent')
    using connection = await visitor.connect()
    const joined = await connection.ask('room.join', { roomId: room.id })
    if (!joined.ok) throw new Error(`could not join the room: ${joined.error.detail}`)

    const first = await ask(connection, room.id, 'hello')
    say(`right after the start: first delta ${first.firstDelta.toFixed(0)} ms`)
    const answers: Answered[] = []
    for (let round = 0; round < rounds; round++) {
      answers.push(await ask(connection, room.id, sayings[round % sayings.length] ?? 'hello'))
    }
    const part = (name: keyof Answered, share: number) =>
      quantile(
        answers.map((answer) => answer[name]),
        share,
      )
    const memory = await restingMemory(atom.pid)
    return [
      figure({ name: 'right after the first start: first delta', value: first.firstDelta, unit: 'ms' }),
      figure({ name: 'right after the first start: final', value: first.final, unit: 'ms' }),
      ...([0.5, 0.95] as const).flatMap((share) =>
        (['acknowledged', 'firstDelta', 'final'] as const).map((name) =>
          figure({
            name: `${words[name]}, p${share * 100} of ${rounds}`,
            value: part(name, share),
            unit: 'ms',
          }),
        ),
      ),
      figure({ name: 'memory after the answers: server', value: memory.server, unit: 'MiB' }),
    ]
  },
}

const words: Readonly<Record<keyof Answered, string>> = {
  acknowledged: 'message acknowledged',
  firstDelta: 'first delta',
  final: 'final',
}

/** Says it and waits until the turn is over, so that nothing of one answer runs into the next. */
async function ask(connection: Connection, roomId: string, text: string): Promise<Answered> {
  const began = performance.now()
  const since = () => performance.now() - began
  const firstDelta = connection.next((frame) =>
    frame.name === 'signal' && frame.signal.kind === 'delta' && frame.signal.text !== ''
      ? since()
      : undefined,
  )
  const final = connection.next((frame) =>
    frame.name === 'event' && frame.event.type === 'message.final' ? since() : undefined,
  )
  const ended = connection.next((frame) =>
    frame.name === 'event' && frame.event.type === 'turn.ended' ? frame.event : undefined,
  )
  const sent = connection
    .ask('message.send', { roomId, clientId: crypto.randomUUID(), text })
    .then((answer) => {
      if (!answer.ok) throw new Error(`“${text}” was not taken: ${answer.error.detail}`)
      return since()
    })
  const [acknowledged, atFirstDelta, atFinal, end] = await Promise.all([sent, firstDelta, final, ended])
  if (end.status !== 'succeeded') throw new Error(`“${text}” ended as ${end.status}: ${end.reason}`)
  return { acknowledged, firstDelta: atFirstDelta, final: atFinal }
}
