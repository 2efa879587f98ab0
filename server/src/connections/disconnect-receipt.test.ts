import assert from 'node:assert/strict'
import { test } from 'node:test'
import { catalog } from '#providers/catalog.ts'
import { endsAndRemains } from './disconnect-receipt.ts'

const now = new Date('2026-11-23T12:00:00Z')
const expiresAt = new Date('2026-11-23T12:25:00Z')

/**
 * What revoking ends at each provider, by its own documentation, and what is left.
 * `consent`: the next connection asks for consent again. `tokens`: these only; the app stays where it is. `nothing`: there is no
 * way for an app to end anything.
 */
const documented: Readonly<Record<string, readonly ['consent' | 'tokens' | 'nothing', ...RegExp[]]>> = {
  // "REST API endpoints for OAuth authorizations", delete an app authorization: the grant and all of its tokens.
  github: ['consent'],
  // "Using OAuth 2.0 for Web Server Applications", revoking a token: either token ends the grant.
  google: ['consent'],
  // There is no revocation endpoint ("Refresh tokens in the Microsoft identity platform").
  microsoft: ['nothing'],
  // "auth.revoke": will not uninstall the app, takes the bot out of its channels.
  slack: ['tokens', /stays installed in the Slack workspace/],
  // "OAuth", token deauthorization: the refresh token and what was made from it.
  asana: ['consent'],
  // "Revoke a token": that token; what was shared with the app is not touched.
  notion: ['tokens', /stay shared/],
  // "Revoke OAuth Tokens": a refresh token goes with its access tokens.
  salesforce: ['consent'],
  // "Delete refresh token": will not affect access tokens, will not uninstall the app.
  hubspot: ['tokens', /access token .* until it expires/, /stays installed in the HubSpot account/],
  linear: ['tokens', /list of authorised applications/],
  // "OAuth 2.0 (3LO) apps" knows no revocation; a person ends it in their account.
  jira: ['nothing'],
  // Doorkeeper lists an application for as long as a token of it is not revoked.
  gitlab: ['consent'],
  // "OAuth2", token revocation: all tokens of the authorization, whichever was named.
  discord: ['consent'],
  zoom: ['tokens', /stays installed at Zoom/],
  // "/auth/token/revoke": the refresh token too, and its other access tokens.
  dropbox: ['consent'],
  airtable: ['nothing'],
  // "Revoke access tokens": either token, and the pair is gone.
  box: ['consent'],
  figma: ['nothing'],
  zendesk: ['consent'],
}

test('[CN252] the receipt of each provider says of its revocation what the provider’s documentation says, and nothing more', () => {
  const somebodys = [...catalog.values()].filter(({ guide }) => guide.category !== 'standard')
  assert.deepEqual(somebodys.map(({ id }) => id).toSorted(), Object.keys(documented).toSorted())
  for (const provider of somebodys) {
    const [ends, ...left] = documented[provider.id] ?? ['nothing']
    const canEnd = (provider.revocation ?? provider.endpoints.revocation) !== undefined
    assert.equal(canEnd, ends !== 'nothing', provider.id)
    const connection = { expiresAt, flow: 'authorization_code' } as const
    const { gone, remains } = endsAndRemains(provider, connection, canEnd ? 'revoked' : 'unsupported', now)
    assert.deepEqual(
      gone.filter((what) => what.includes(` at ${provider.name}`)),
      canEnd ? [`The ${ends} at ${provider.name}.`] : [],
      provider.id,
    )
    if (canEnd) {
      assert.equal(remains.length, left.length, provider.id)
      for (const [n, words] of left.entries()) assert.match(remains[n]?.what ?? '', words, provider.id)
    } else {
      // The consent until somebody ends it, which the text says where; the token until it has expired.
      assert.deepEqual(
        remains.map(({ until }) => until),
        [null, expiresAt.toISOString()],
        provider.id,
      )
      assert.match(provider.afterRevocation, /https:\/\/\S/, provider.id)
    }
  }
})

test('[CN252] what was given by an app’s own installation is not called a consent, and a key that somebody pasted is never ended', () => {
  for (const provider of catalog.values()) {
    const { api_key: key, app_installation: installation } = provider.byFlow ?? {}
    assert.equal(key?.ending?.revocation, undefined, provider.id)
    if (installation?.ending?.revocation === undefined) continue
    const { gone } = endsAndRemains(
      { name: provider.name, ...installation.ending },
      { expiresAt, flow: 'app_installation' },
      'revoked',
      now,
    )
    assert.ok(gone.includes(`The access at ${provider.name}.`), provider.id)
  }
})
