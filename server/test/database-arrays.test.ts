import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { jsonArray, plainArray, textArray } from '#foundation/database/arrays.ts'
import { testServer } from './support/postgres.ts'

test('[RM30] arrays that are written by hand are read by PostgreSQL as what they were, whatever their texts hold', async () => {
  const client = new pg.Client(await testServer())
  await client.connect()
  try {
    const texts = [
      ...[
        '',
        ' ',
        'NULL',
        'null',
        'nulls',
        ' padded ',
        'a,b,c,d',
        '{}',
        '{1,2,3}',
        '"',
        '""""""',
        '\\',
        '\\"',
        '\n\t',
      ],
      ...['plain-text_1.0', 'naïve 🦦', "o'clock", '$1', null],
    ]
    const ids = ['01a20739-ba0b-751a-92f5-1463578299ea', null]
    const objects = texts.map((text) => ({ text, [`${text}`]: [text, null, 1, false, { '"': '\\u0041' }] }))
    const { rows } = await client.query(
      'select $1::text[] as texts, $2::integer[] as numbers, $3::boolean[] as flags, $4::uuid[] as ids, $5::jsonb[] as objects, $6::text[] as nothing, $7::jsonb[] as none',
      [
        textArray(texts),
        plainArray([0, -1, 2 ** 31 - 1]),
        plainArray([true, false]),
        textArray(ids),
        jsonArray(objects),
        textArray([]),
        jsonArray([]),
      ],
    )
    assert.deepEqual(rows, [
      { texts, numbers: [0, -1, 2 ** 31 - 1], flags: [true, false], ids, objects, nothing: [], none: [] },
    ])
  } finally {
    await client.end()
  }
})
