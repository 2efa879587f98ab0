import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Classifier, type Example } from './classifier.ts'
import { featuresOf } from './features.ts'

const width = 3
/** A little room of three directions in the place of the true embeddings: the lessons are what is tested. */
const lessons: readonly Example[] = [
  ...['show my issues', 'list my issues', 'what issues are open'].map((text) =>
    lesson(text, 'list', [1, 0, 0]),
  ),
  ...['close issue 3', 'close #9', 'please close issue 12'].map((text) => lesson(text, 'close', [0, 1, 0])),
  ...['hello', 'good morning', 'hi there'].map((text) => lesson(text, 'greeting', [0, 0, 1])),
]

function lesson(text: string, label: string, embedding: readonly number[]): Example {
  return { label, features: featuresOf(text, Float32Array.from(embedding)) }
}

const vector = (text: string, embedding: readonly number[] = [0, 0, 0]) =>
  featuresOf(text, Float32Array.from(embedding))

test('[NL20] the same examples give the same weights, to the last bit', () => {
  const [one, other] = [Classifier.train(lessons), Classifier.train(lessons)]
  assert.ok(Buffer.from(one.weights.buffer).equals(Buffer.from(other.weights.buffer)))
  assert.ok(one.weights.some((weight) => weight !== 0))
})

test('[NL20] it knows its examples again, and says how sure it is', () => {
  const classifier = Classifier.train(lessons)
  for (const { label, features } of lessons) {
    const guesses = classifier.guess(features)
    assert.equal(guesses[0]?.label, label)
    assert.ok(Math.abs(guesses.reduce((sum, { probability }) => sum + probability, 0) - 1) < 1e-5)
    assert.deepEqual(
      guesses,
      guesses.toSorted((a, b) => b.probability - a.probability),
    )
  }
})

test('[NL20] words alone and meaning alone both count', () => {
  const classifier = Classifier.train(lessons)
  assert.equal(classifier.guess(vector('close issue 77'))[0]?.label, 'close')
  assert.equal(classifier.guess(vector('zzz', [0, 0, 1]))[0]?.label, 'greeting')
})

test('[NL20] it works without embeddings', () => {
  const plain = lessons.map(({ label }, at) => {
    const text = [
      'show my issues',
      'list my issues',
      'what issues are open',
      'close issue 3',
      'close #9',
      'please close issue 12',
      'hello',
      'good morning',
      'hi there',
    ][at]
    return { label, features: featuresOf(text ?? '', new Float32Array(0)) }
  })
  const classifier = Classifier.train(plain)
  assert.equal(classifier.guess(featuresOf('close issue 4', new Float32Array(0)))[0]?.label, 'close')
})

test('[NL21] kept weights make the same classifier again', () => {
  const trained = Classifier.train(lessons)
  const kept = trained.weights.slice()
  const again = Classifier.from(trained.labels, width, kept)
  assert.ok(again)
  const asked = vector('close the issues of today', [0.5, 0.5, 0])
  assert.deepEqual(again.guess(asked), trained.guess(asked))
})

test('[NL21] weights of other labels, other embeddings or of half a file are not taken up', () => {
  const { weights, labels } = Classifier.train(lessons)
  const refused = [
    Classifier.from([...labels, 'one more'], width, weights),
    Classifier.from(labels, 512, weights),
    Classifier.from(labels, width, weights.subarray(1)),
    Classifier.from(labels, width, new Float32Array(0)),
  ]
  // Not deepEqual: printing the difference of such arrays takes minutes.
  assert.ok(refused.every((one) => one === undefined))
})
