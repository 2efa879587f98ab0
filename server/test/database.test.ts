import assert from 'node:assert/strict'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { testDatabase } from './support/postgres.ts'

test('[DB1] a fresh database answers', async () => {
  await using own = await testDatabase()
  assert.deepEqual(await own.database.query(sql`select ${1}::bigint as one`), [{ one: 1 }])
})
