import assert from 'node:assert/strict'
import { test } from 'node:test'
import { github } from './catalog/github.ts'
import { jira } from './catalog/jira.ts'
import type { Provider } from './provider.ts'
import { lintProvider } from './provider-lint.ts'

function findings(provider: Provider): string[] {
  return lintProvider(provider).map(({ at, problem }) => `${at}: ${problem}`)
}

test('[CN159] lint finds in the flows of a provider file what would be unsafe, unexplained or left out', () => {
  const key = jira.flows?.api_key
  assert.ok(key !== undefined)
  const [email, token] = key.fields
  assert.ok(email !== undefined && token !== undefined)
  const keyed = (changes: object): Provider => ({ ...jira, flows: { api_key: { ...key, ...changes } } })
  const cases: readonly (readonly [Provider, RegExp])[] = [
    [
      { ...github, flows: { device_code: { endpoint: 'http://github.com/x' } } },
      /endpoint: must be an https/,
    ],
    [
      { ...github, flows: { device_code: { endpoint: 'https://{evil}/x' } } },
      /names \{evil\}, which is none of its particulars/,
    ],
    [keyed({ attach: { as: 'bearer', key: '{other}' } }), /attach: names \{other\}/],
    [keyed({ attach: { as: 'header', header: 'X-Key', key: '{key}' } }), /lower case/],
    [keyed({ fields: [email, email, token] }), /fields: names a field twice/],
    [keyed({ fields: [email, { ...token, secret: undefined }] }), /fields: holds nothing secret/],
    [keyed({ fields: [email, { ...token, pattern: /x/ }] }), /must hold for the whole value/],
    [keyed({ fields: [email, { ...token, meaning: '' }] }), /key is not explained/],
    [keyed({ needs: { planet: /./ } }), /needs: planet is none of its particulars/],
    [{ ...jira, byFlow: {} }, /byFlow\.api_key\.ending: must say where/],
  ]
  for (const [provider, wanted] of cases) {
    const found = findings(provider)
    assert.ok(
      found.some((finding) => wanted.test(finding)),
      `${wanted}: ${found.join('; ')}`,
    )
  }
  assert.deepEqual(findings(jira), [])
})
