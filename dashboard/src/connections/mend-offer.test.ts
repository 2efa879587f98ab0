import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mendOffer } from './mend-offer.ts'

type Mendable = Parameters<typeof mendOffer>[0]

const broken: Mendable = { status: 'needs_reconnect', missingScopes: [] }

test('the button does what the server names as the remedy, in the server’s words', () => {
  const offer = mendOffer(
    { ...broken, remedy: { whose: 'admin', action: 'ask_admin', label: 'Copy a message' } },
    false,
  )
  assert.deepEqual(offer, { does: 'show_request', label: 'Copy a message', prominent: true })
})

test('what only the operator can do is offered to nobody else', () => {
  const app: Mendable = {
    ...broken,
    remedy: { whose: 'operator', action: 'configure_app', label: 'Enter the secret' },
  }
  assert.equal(mendOffer(app, false), undefined)
  assert.equal(mendOffer(app, true)?.does, 'open_setup')
})

test('what mends itself can be looked at, but does not ask for attention in the list', () => {
  const offer = mendOffer(
    {
      status: 'degraded',
      missingScopes: [],
      remedy: { whose: 'person', action: 'wait', label: 'Nothing to do' },
    },
    false,
  )
  assert.deepEqual(offer, { does: 'check', label: 'Check now', prominent: false })
})

test('an active connection with less access than asked for can be allowed the rest', () => {
  assert.equal(mendOffer({ status: 'active', missingScopes: ['repo'] }, false)?.does, 'allow_more')
  assert.equal(mendOffer({ status: 'active', missingScopes: [] }, false), undefined)
})
