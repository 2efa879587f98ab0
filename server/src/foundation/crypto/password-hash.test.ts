import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AtomError } from '#foundation/errors.ts'
import { Secret } from '#foundation/secret.ts'
import { hashPassword, isWeak, verifyPassword } from './password-hash.ts'

test('[CR10] a password is stored as Argon2id with at least the recommended cost, and never twice the same', async () => {
  const [one, two] = await Promise.all([
    hashPassword('the same words'),
    hashPassword(new Secret('the same words')),
  ])
  assert.match(one, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  assert.notEqual(one, two)
  assert.ok((await verifyPassword(one, 'the same words')) && (await verifyPassword(two, 'the same words')))
  for (const wrong of ['the same word', 'The same words', 'the same words ', '']) {
    assert.equal(await verifyPassword(one, wrong), false)
  }
})

test('[CR10] a password typed on another keyboard, in another Unicode form, is the same password', async () => {
  assert.ok(await verifyPassword(await hashPassword('caf\u00e9 \ufb01ne'), 'cafe\u0301 fine'))
})

test('[CR11] who does not exist is refused with the same work, even with the words of the stand-in', async () => {
  assert.equal(await verifyPassword(undefined, 'nobody has this password'), false)
})

test('[CR11] a flood of sign-ins is refused as busy, and all who were admitted are answered', async () => {
  const settled = await Promise.allSettled(
    Array.from({ length: 260 }, () => hashPassword('a flood of words')),
  )
  const refused = settled.filter((one) => one.status === 'rejected')
  assert.ok(refused.length >= 1)
  assert.ok(refused.every(({ reason }) => reason instanceof AtomError && reason.code === 'busy'))
})

test('[CR12] weak passwords are found: short, common, patterned, or made of the person', async () => {
  const person = { email: 'marie.curie@example.org', name: 'Marie Curie' }
  const weak = [
    '',
    'Tr0ub4dor&3',
    'xK9!pQ2@vL5',
    'password1234',
    'passwordpassword',
    'P@ssw0rd1234',
    'qwertyuiop123',
    '123456789012',
    'aaaaaaaaaaaaaaaa',
    'abcabcabcabcabc',
    'iloveyou1234',
    'letmeinletmein',
    'marie.curie-radium',
    'xx MARIE.CURIE yy zz',
    'mariecurie1867',
    '😀😀😀😀😀😀',
  ]
  for (const password of weak) assert.equal(await isWeak(password, person), true, password)
})

test('[CR12] strong passwords pass, whatever signs they are made of', async () => {
  const person = { email: 'jo@example.org', name: 'Jo' }
  const strong = [
    'correct horse battery staple',
    'kettle-orbit-velvet-92',
    'mein Fahrrad steht im Regen',
    'V7#qmZ!t2Lw&x',
    '雨の日は家で本を読みたいです',
    `${'long phrase '.repeat(3)}${'x7Qp'.repeat(200)}`,
  ]
  for (const password of strong) assert.equal(await isWeak(password, person), false, password)
  assert.equal(await isWeak(new Secret('kettle-orbit-velvet-92')), false)
})
