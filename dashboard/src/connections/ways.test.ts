import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waysOf } from './ways.ts'

const offer: Parameters<typeof waysOf>[0] = {
  app: 'configured',
  flows: ['authorization_code', 'client_credentials', 'jwt_bearer', 'api_key'],
  operatorFlows: ['client_credentials'],
  particulars: [],
  credentialFields: [],
}

test('acting as the app is offered to operators only', () => {
  assert.deepEqual(waysOf(offer, true), offer.flows)
  assert.deepEqual(waysOf(offer, false), ['authorization_code', 'jwt_bearer', 'api_key'])
})

test('without an app, what the person brings along is enough', () => {
  assert.deepEqual(waysOf({ ...offer, app: 'none' }, true), ['api_key'])
  const file = { name: 'key', label: 'Key file', meaning: '', secret: true, required: true, multiline: true }
  const withFile: typeof offer = {
    ...offer,
    app: 'none',
    credentialFields: [{ flow: 'jwt_bearer', fields: [file] }],
  }
  assert.deepEqual(waysOf(withFile, false), ['jwt_bearer', 'api_key'])
})
