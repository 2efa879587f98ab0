import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { githubTools } from '../../../server/src/agents/tools/github-tools.ts'
import { googleTools } from '../../../server/src/agents/tools/google-tools.ts'
import { Classifier, type Guess } from '../../../server/src/agents/understanding/classifier.ts'
import { decide, thresholds } from '../../../server/src/agents/understanding/decision.ts'
import { type Embedder, openEmbedder } from '../../../server/src/agents/understanding/embedding.ts'
import { type Features, featuresOf } from '../../../server/src/agents/understanding/features.ts'
import { examplesFrom } from '../../../server/src/agents/understanding/understanding.ts'
import { type Benchmark, type Figure, figure, median, quantile } from '../benchmark.ts'

const files = ['clinc150.json', 'banking77-train.csv', 'banking77-test.csv']
const instructions = `These public sets are needed in one folder, named by ATOM_EVAL_DATA; they are not part of Atom:
  clinc150.json        CLINC150 (Larson et al., 2019, CC BY 3.0): data_full.json of github.com/clinc/oos-eval
  banking77-train.csv  BANKING77 (Casanueva et al., 2020, CC BY 4.0): train.csv and test.csv of
  banking77-test.csv   github.com/PolyAI-LDN/task-specific-datasets, folder banking_data`

interface Sentence {
  readonly text: string
  readonly label: string
}

interface Read {
  readonly features: Features
  readonly label: string
}

export const benchmark: Benchmark = {
  name: 'understanding',
  question:
    'How well does the embedded agent tell wishes apart, on sets that others made, and how often would it do something that nobody asked it for? Targets are what was measured of the same design elsewhere (accuracy), and what we allow ourselves (out of scope).',
  async run({ quick, say }) {
    const folder = process.env['ATOM_EVAL_DATA']
    if (folder === undefined || files.some((file) => !existsSync(join(folder, file)))) {
      console.error(instructions)
      process.exit(2)
    }
    const clinc = JSON.parse(await readFile(join(folder, 'clinc150.json'), 'utf8')) as Record<
      'train' | 'test' | 'oos_test',
      readonly (readonly [text: string, label: string])[]
    >
    const sentences = (split: keyof typeof clinc) => clinc[split].map(([text, label]) => ({ text, label }))
    const embedder = await openEmbedder()
    const read = reader(embedder, say)
    const some = (all: readonly Sentence[], count: number) => (quick ? shuffled(all).slice(0, count) : all)

    const lessons = await read('CLINC150, 20 an intent', sampled(sentences('train'), quick ? 10 : 20))
    const test = await read('CLINC150, its test split', some(sentences('test'), 500))
    const outside = await read('CLINC150, out of scope', some(sentences('oos_test'), 200))
    const ten = Classifier.train(firstOfEach(lessons, 10))
    const figures = [
      figure({
        name: 'CLINC150, 10 examples an intent: right',
        value: accuracy(ten, test),
        unit: 'share',
        target: '>=0.868',
      }),
    ]
    if (!quick) {
      const plain = Classifier.train(firstOfEach(lessons, 10).map(withoutEmbedding))
      figures.push(
        figure({
          name: 'the same without sentence embeddings: right',
          value: accuracy(plain, test.map(withoutEmbedding)),
          unit: 'share',
          target: '>=0.75',
        }),
      )
      const twenty = Classifier.train(lessons)
      figures.push(
        figure({
          name: 'CLINC150, 20 examples an intent: right',
          value: accuracy(twenty, test),
          unit: 'share',
          target: '>=0.919',
        }),
        ...atThreshold('CLINC150, 20 examples an intent', twenty, test, outside),
      )
    }
    figures.push(...atThreshold('CLINC150, 10 examples an intent', ten, test, outside))
    const banking = await read(
      'BANKING77, 10 an intent',
      sampled(rowsOf(await readFile(join(folder, 'banking77-train.csv'), 'utf8')), 10),
    )
    const asked = await read(
      'BANKING77, its test split',
      some(rowsOf(await readFile(join(folder, 'banking77-test.csv'), 'utf8')), 500),
    )
    figures.push(
      figure({
        name: 'BANKING77, 10 examples an intent: right',
        value: accuracy(Classifier.train(banking), asked),
        unit: 'share',
        target: '>=0.772',
      }),
    )
    figures.push(...(await ownAgent(read, some(sentences('oos_test'), 200))))
    figures.push(...(await speed(embedder, ten, shuffled(sentences('test')).slice(0, 200))))
    return figures
  },
}

function reader(embedder: Embedder, say: (line: string) => void) {
  return async (what: string, sentences: readonly Sentence[]): Promise<(Read & Sentence)[]> => {
    say(`reads ${sentences.length} sentences: ${what}`)
    const vectors = await embedder.embed(sentences.map(({ text }) => text))
    return sentences.map((sentence, at) => ({
      ...sentence,
      features: featuresOf(sentence.text, vectors[at] ?? new Float32Array(0)),
    }))
  }
}

function accuracy(classifier: Classifier, test: readonly Read[]): number {
  return (
    test.filter(({ features, label }) => classifier.guess(features)[0]?.label === label).length / test.length
  )
}

function isSure([first, second]: readonly Guess[]): boolean {
  return (
    first !== undefined &&
    first.probability >= thresholds.call &&
    first.probability - (second?.probability ?? 0) >= thresholds.margin
  )
}

function atThreshold(
  name: string,
  classifier: Classifier,
  test: readonly Read[],
  outside: readonly Read[],
): Figure[] {
  const wrong = test.filter(({ features, label }) => {
    const guesses = classifier.guess(features)
    return isSure(guesses) && guesses[0]?.label !== label
  })
  const refused = outside.filter(({ features }) => !isSure(classifier.guess(features)))
  return [
    figure({
      name: `${name}: sure and wrong`,
      value: wrong.length / test.length,
      unit: 'share',
      target: '<=0.06',
    }),
    figure({
      name: `${name}: out of scope refused`,
      value: refused.length / outside.length,
      unit: 'share',
      target: '>=0.75',
    }),
  ]
}

/** What Atom itself would do with wishes that it cannot fulfil. A question for a write's particulars counts as a write. */
async function ownAgent(
  read: ReturnType<typeof reader>,
  outside: readonly Sentence[],
): Promise<readonly Figure[]> {
  const tools = [...githubTools, ...googleTools]
  const own = Classifier.train(await read('what Atom learns', examplesFrom(tools)))
  const now = new Date()
  const effects = (await read('out of scope, for Atom itself', outside)).flatMap(({ text, features }) => {
    const command = decide(text, own.guess(features), { tools, now })
    const name = command.kind === 'call' || command.kind === 'ask' ? command.tool : undefined
    return tools.find((tool) => tool.name === name)?.effect ?? []
  })
  const writes = effects.filter((effect) => effect !== 'read')
  return [
    figure({
      name: 'Atom’s tools, CLINC150 out of scope: a write would be proposed',
      value: writes.length / outside.length,
      unit: 'share',
      target: '<=0.02',
    }),
    figure({
      name: 'Atom’s tools, CLINC150 out of scope: any tool would be called',
      value: effects.length / outside.length,
      unit: 'share',
      target: '<=0.1',
    }),
  ]
}

async function speed(
  embedder: Embedder,
  classifier: Classifier,
  sentences: readonly Sentence[],
): Promise<readonly Figure[]> {
  const times: number[] = []
  for (const { text } of sentences) {
    const began = performance.now()
    const [vector] = await embedder.embed([text])
    classifier.guess(featuresOf(text, vector ?? new Float32Array(0)))
    times.push(performance.now() - began)
  }
  return [
    figure({ name: 'one sentence, embedding and guess among 150: median', value: median(times), unit: 'ms' }),
    figure({ name: 'one sentence: 95th percentile', value: quantile(times, 0.95), unit: 'ms' }),
  ]
}

const withoutEmbedding = <One extends Read>(one: One): One => ({
  ...one,
  features: { ...one.features, embedding: new Float32Array(0) },
})

/** So many of each label, the same ones every time. The sets are in the order in which they were collected. */
function sampled(all: readonly Sentence[], each: number): readonly Sentence[] {
  return firstOfEach(shuffled(all), each)
}

function firstOfEach<One extends { readonly label: string }>(
  all: readonly One[],
  each: number,
): readonly One[] {
  const counts = new Map<string, number>()
  return all.filter(({ label }) => {
    const count = (counts.get(label) ?? 0) + 1
    counts.set(label, count)
    return count <= each
  })
}

/** Fisher and Yates, by a linear congruential sequence (Numerical Recipes), so that two runs draw alike. */
function shuffled<One>(all: readonly One[]): One[] {
  const order = [...all]
  let state = 20_261_123
  for (let at = order.length - 1; at > 0; at -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const other = Math.floor((state / 2 ** 32) * (at + 1))
    const [one, two] = [order[at], order[other]]
    if (one === undefined || two === undefined) continue
    order[at] = two
    order[other] = one
  }
  return order
}

/** RFC 4180, two columns and a head. */
function rowsOf(csv: string): readonly Sentence[] {
  return [...csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*)),([^,\r\n]+)\r?(?:\n|$)/g)]
    .map(([, quoted, plain, label]) => ({
      text: (quoted?.replaceAll('""', '"') ?? plain ?? '').trim(),
      label: label ?? '',
    }))
    .slice(1)
}
