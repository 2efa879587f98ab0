import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joinedMetrics } from './joined-metrics.ts'

test('[MO29] what several processes count stands together by name, each sample under its own label, whatever is in the others', () => {
  const of = (count: number) =>
    [
      '# HELP a_total What } happens {',
      '# TYPE a_total counter',
      `a_total{route="/v1/{id} x",code=""} ${count}`,
      `a_total{} ${count}`,
      '',
      '# HELP b Now',
      '# TYPE b gauge',
      'b 0.5',
      '',
    ].join('\n')
  assert.equal(
    joinedMetrics([
      { worker: 1, text: of(3) },
      { worker: 2, text: `${of(4)}\n# HELP c Only here\n# TYPE c gauge\nc 1\n` },
    ]),
    [
      '# HELP a_total What } happens {',
      '# TYPE a_total counter',
      'a_total{worker="1",route="/v1/{id} x",code=""} 3',
      'a_total{worker="1"} 3',
      'a_total{worker="2",route="/v1/{id} x",code=""} 4',
      'a_total{worker="2"} 4',
      '',
      '# HELP b Now',
      '# TYPE b gauge',
      'b{worker="1"} 0.5',
      'b{worker="2"} 0.5',
      '',
      '# HELP c Only here',
      '# TYPE c gauge',
      'c{worker="2"} 1',
      '',
    ].join('\n'),
  )
})
