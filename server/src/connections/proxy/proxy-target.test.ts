import assert from 'node:assert/strict'
import { test } from 'node:test'
import { github } from '#providers/catalog/github.ts'
import { google } from '#providers/catalog/google.ts'
import { microsoft } from '#providers/catalog/microsoft.ts'
import { slack } from '#providers/catalog/slack.ts'
import { proxyTarget, redirectTarget } from './proxy-target.ts'

test('[CN20] a path of the API goes to the API, as it was written', () => {
  for (const path of [
    '/repos/o/r/issues?state=open&labels=a,b',
    '/user',
    '/',
    '/search/issues?q=repo%3Ao%2Fr%20is%3Aopen&x=../..',
    '/repos/o/r/contents/a%20b/%C3%BC.txt',
    '/repos/o/r/git/ref/heads%2Ffeature%2Fx',
    '/a/...b/c..d/.well-known?back=//x',
    '/q?u=https://evil.example/',
  ]) {
    assert.equal(proxyTarget(github.api, path).href, `https://api.github.com${path}`)
  }
})

test('[CN20] a path may begin with one of the provider’s hosts', () => {
  assert.equal(
    proxyTarget(google.api, '/gmail.googleapis.com/gmail/v1/users/me/messages?q=x').href,
    'https://gmail.googleapis.com/gmail/v1/users/me/messages?q=x',
  )
  assert.equal(proxyTarget(google.api, '/calendar/v3/calendars/a%40b/events').host, 'www.googleapis.com')
  assert.equal(proxyTarget(github.api, '/Uploads.GitHub.com/x').href, 'https://uploads.github.com/x')
})

test('[CN20] whatever could lead off the provider’s hosts or out of its API is refused', () => {
  for (const path of [
    '',
    'user',
    'https://evil.example/',
    '/https://evil.example/',
    '/https:/evil.example/',
    '/https%3A%2F%2Fevil.example/',
    '//evil.example/user',
    '/%2Fevil.example/user',
    '/%252Fevil.example/user',
    '///evil.example',
    '/\\evil.example',
    '/%5C%5Cevil.example',
    '/evil.example/user',
    '/gmail.googleapis.com/user',
    '/api.github.com//evil.example',
    '/api.github.com.evil.example/user',
    '/repos/../../user',
    '/repos/..',
    '/./user',
    '/%2e%2e/user',
    '/repos/%2E%2e/user',
    '/repos/.%2e/user',
    '/repos/..%2f..%2fuser',
    '/repos/%252e%252e/user',
    '/repos/%25252e%25252e/user',
    '/repos/%2525252525252e/user',
    '/repos/..;x=1/user',
    '/repos/%00/user',
    '/repos/%0d%0aHost:%20evil',
    '/repos/\r\nHost: evil',
    '/repos/a b',
    '/repos/\t',
    '/user#fragment',
    '/repos/%zz',
    '/repos/%c0%ae%c0%ae/user',
    '/user?x=a b',
    '/user?x=\\',
    '/\u0000',
  ]) {
    assert.throws(
      () => proxyTarget(github.api, path),
      { code: 'proxy_target_refused' },
      `${JSON.stringify(path)} was let through`,
    )
  }
})

test('[CN20] a redirect is followed to the provider’s own hosts over https and to no other', () => {
  const from = new URL('https://api.github.com/repos/old/name')
  const to = (location: string, status = 301) =>
    redirectTarget(github.api, { status, headers: { location } }, from, () => undefined)?.href
  assert.equal(to('https://api.github.com/repositories/1'), 'https://api.github.com/repositories/1')
  assert.equal(to('/repositories/1', 307), 'https://api.github.com/repositories/1')
  for (const location of [
    'https://codeload.github.com/x',
    'http://api.github.com/x',
    'https://api.github.com:8443/x',
    'https://user@api.github.com/x',
    'https://api.github.com.evil.example/',
    '//evil.example/',
    'http://169.254.169.254/',
    'file:///etc/passwd',
    'https://',
  ]) {
    assert.equal(to(location), undefined, location)
  }
  assert.equal(to('https://api.github.com/x', 200), undefined)
})

test('[CN217] a version with a dot is a path of the API', () => {
  assert.equal(proxyTarget(microsoft.api, '/v1.0/me').href, 'https://graph.microsoft.com/v1.0/me')
  assert.equal(proxyTarget(github.api, '/169.254.169.254/x').href, 'https://api.github.com/169.254.169.254/x')
})

test('[CN53] a method with dots in its name is a path where the provider has such, and still no way to another host', () => {
  assert.equal(proxyTarget(slack.api, '/auth.test').href, 'https://slack.com/api/auth.test')
  assert.equal(proxyTarget(slack.api, '/evil.example/x').href, 'https://slack.com/api/evil.example/x')
  assert.equal(proxyTarget(slack.api, '/files.slack.com/a').href, 'https://files.slack.com/a')
  assert.throws(() => proxyTarget(slack.api, '/../evil.example'), { code: 'proxy_target_refused' })
})
