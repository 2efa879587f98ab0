import assert from 'node:assert/strict'
import { createDecipheriv, createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Envelope } from './envelope.ts'
import { Keyring } from './keyring.ts'
import { LocalMasterKey } from './master-key.ts'
import { type Binding, EnvelopeError } from './sealed-bytes.ts'

const first = new LocalMasterKey(1, createSecretKey(randomBytes(32)))
const second = new LocalMasterKey(2, createSecretKey(randomBytes(32)))
const envelope = new Envelope({ keyring: new Keyring([first]) })
const row = { table: 'connection', workspace: 'w1', id: 'c1' }
const field = { ...row, field: 'access_token', version: '3' }

async function doesNotOpen(work: () => Promise<unknown>): Promise<void> {
  await assert.rejects(work, EnvelopeError)
}

test('[CR5] what was sealed opens in its place, whatever the order in which the place is described', async () => {
  const key = await envelope.createKey(row)
  for (const text of ['gho_token', '', 'ü😀\0', 'x'.repeat(100_000)]) {
    const sealed = await envelope.seal(key, text, field)
    const reordered = Object.fromEntries(Object.entries(field).reverse())
    assert.equal((await envelope.open(key, sealed, reordered)).reveal(), text)
  }
})

test('[CR5] what was opened cannot be logged or serialised by accident', async () => {
  const key = await envelope.createKey(row)
  const opened = await envelope.open(key, await envelope.seal(key, 'gho_token', field), field)
  for (const text of [inspect(opened), JSON.stringify({ opened }), `${opened}`])
    assert.ok(!text.includes('gho_'))
})

test('[CR6] no bit of a sealed value or of its key can be changed', async () => {
  const key = await envelope.createKey(row)
  const sealed = await envelope.seal(key, 'gho_token', field)
  for (const [name, bytes] of Object.entries({ key, sealed })) {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const edited = Buffer.from(bytes)
      edited.writeUInt8(edited.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      await doesNotOpen(() =>
        name === 'key' ? envelope.open(edited, sealed, field) : envelope.open(key, edited, field),
      )
    }
  }
})

test('[CR6] a shortened value does not open, not even with a tag that AES-GCM would still allow', async () => {
  const key = await envelope.createKey(row)
  const sealed = await envelope.seal(key, 'gho_token', field)
  for (let length = 0; length < sealed.length; length++) {
    await doesNotOpen(() => envelope.open(key, sealed.subarray(0, length), field))
  }
  for (let length = 0; length < key.length; length++) {
    await doesNotOpen(() => envelope.open(key.subarray(0, length), sealed, field))
  }
})

test('[CR7] what was sealed for one place does not open in another', async () => {
  const key = await envelope.createKey(row)
  const sealed = await envelope.seal(key, 'gho_token', field)
  const { version: _, ...withoutVersion } = field
  const elsewhere: readonly Binding[] = [
    { ...field, workspace: 'w2' },
    { ...field, id: 'c2' },
    { ...field, field: 'refresh_token' },
    { ...field, version: '2' },
    { ...field, more: '' },
    { ...row, fiel: 'd', version: '3' },
    { ...row, field: 'access_token3', version: '' },
    withoutVersion,
    row,
    {},
  ]
  for (const place of elsewhere) await doesNotOpen(() => envelope.open(key, sealed, place))
})

test('[CR7] a data key serves its own row and no other, also when row and ciphertext move together', async () => {
  const key = await envelope.createKey(row)
  const other = { ...field, id: 'c2' }
  await doesNotOpen(() => envelope.seal(key, 'gho_token', other))
  const otherKey = await envelope.createKey({ ...row, id: 'c2' })
  const sealed = await envelope.seal(key, 'gho_token', field)
  await doesNotOpen(() => envelope.open(otherKey, sealed, field))
  await assert.rejects(() => envelope.createKey({}), /bound to something/)
})

test('[CR8] after a new master key old values still open, new ones need it, and without the old one they say so', async () => {
  const key = await envelope.createKey(row)
  const sealed = await envelope.seal(key, 'gho_token', field)
  const rotated = new Envelope({ keyring: new Keyring([first, second]) })
  assert.equal((await rotated.open(key, sealed, field)).reveal(), 'gho_token')
  const newKey = await rotated.createKey(row)
  await doesNotOpen(() => envelope.seal(newKey, 'text', field))
  const onlyNew = new Envelope({ keyring: new Keyring([second]) })
  await assert.rejects(() => onlyNew.open(key, sealed, field), /master key v1, which is not among/)
  const impostor = new Envelope({ keyring: new Keyring([new LocalMasterKey(1, second.key)]) })
  await doesNotOpen(() => impostor.open(key, sealed, field))
})

test('[CR8] the same text sealed twice is two different ciphertexts, and neither shows the text', async () => {
  const key = await envelope.createKey(row)
  const sealed = [
    await envelope.seal(key, 'gho_token', field),
    await envelope.seal(key, 'gho_token', field),
  ] as const
  assert.notDeepEqual(sealed[0], sealed[1])
  assert.ok(sealed.every((bytes) => !bytes.includes('gho_token')))
  assert.notDeepEqual(await envelope.createKey(row), await envelope.createKey(row))
})

test('[CR13] a rewrapped data key is the same key under the newest master key: what it sealed opens as it is, without the old one', async () => {
  const key = await envelope.createKey(row)
  const sealed = await envelope.seal(key, 'gho_token', field)
  const both = new Envelope({ keyring: new Keyring([first, second]) })
  const fresh = await both.rewrap(key, field)
  assert.deepEqual([Envelope.versionOf(key), Envelope.versionOf(fresh)], [1, 2])
  const onlyNew = new Envelope({ keyring: new Keyring([second]) })
  assert.equal((await onlyNew.open(fresh, sealed, field)).reveal(), 'gho_token')
  // Who still holds the key as it was wrapped before seals what the rewrapped one opens.
  const next = await envelope.seal(key, 'gho_next', field)
  assert.equal((await onlyNew.open(fresh, next, field)).reveal(), 'gho_next')
  assert.equal(await both.rewrap(fresh, field), fresh)
})

test('[CR13] a data key that was edited or moved, or whose master key is missing, is not rewrapped', async () => {
  const key = await envelope.createKey(row)
  const both = new Envelope({ keyring: new Keyring([first, second]) })
  for (let bit = 0; bit < key.length * 8; bit++) {
    const edited = Buffer.from(key)
    edited.writeUInt8(edited.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    await doesNotOpen(() => both.rewrap(edited, row))
  }
  await doesNotOpen(() => both.rewrap(key, { ...row, id: 'c2' }))
  await doesNotOpen(() => both.rewrap(key.subarray(0, 5), row))
  const onlyNew = new Envelope({ keyring: new Keyring([second]) })
  await assert.rejects(() => onlyNew.rewrap(key, row), /master key v1, which is not among/)
})

test('[CR9] the layout is the documented one: another program with the master key can open it', async () => {
  const key = await envelope.createKey({ id: 'c1' })
  const lengths = (text: string) => Buffer.from([0, 0, 0, text.length])
  const canonical = (...texts: string[]) =>
    Buffer.concat(texts.flatMap((text) => [lengths(text), Buffer.from(text)]))
  const open = (masterOrData: Buffer, sealed: Buffer, associated: Buffer) => {
    const decipher = createDecipheriv('aes-256-gcm', masterOrData, sealed.subarray(0, 12), {
      authTagLength: 16,
    })
    decipher.setAAD(associated).setAuthTag(sealed.subarray(-16))
    return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])
  }
  assert.deepEqual([...key.subarray(0, 13)], [1, 0, 0, 0, 1, 0, 6, 0, 0, 0, 2, 105, 100])
  const clear = Buffer.concat([key.subarray(0, 13), canonical('data key', 'id', 'c1')])
  const dataKey = open(first.key.export(), key.subarray(13), clear)
  const sealed = await envelope.seal(key, 'text', { id: 'c1', field: 'f' })
  const place = Buffer.concat([Buffer.of(1), canonical('value', 'field', 'f', 'id', 'c1')])
  assert.equal(open(dataKey, sealed.subarray(1), place).toString(), 'text')
})
