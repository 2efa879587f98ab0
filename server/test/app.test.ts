import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { emptyTestDatabase, testLog, urlOf } from './support/postgres.ts'
import { ScriptedModel, say } from './support/scripted-model.ts'

interface Answered {
  readonly accessToken: string
  readonly items: readonly { readonly id: string }[]
  readonly events: readonly { readonly type: string; readonly text?: string; readonly model?: string }[]
}

test('[ST11] the composition root serves in this process with another model, and leaves nothing behind', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-app-'))
  await using database = await emptyTestDatabase()
  const port = await freePort()
  const config = readConfig({
    ATOM_DATA_DIR: dataDir,
    ATOM_PORT: String(port),
    ATOM_SETUP_TOKEN: 'the-token-of-this-test',
    ATOM_SANDBOX: '0',
    DATABASE_URL: urlOf(database.connection),
  })
  const call = async (method: string, path: string, token?: string, body?: object): Promise<Answered> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    return (await answer.json()) as Answered
  }
  {
    await using app = await createApp(config, {
      log: testLog,
      models: [new ScriptedModel(() => [say('The script says hello.')])],
    })
    assert.match((await app.setupUrl()) ?? '', /setup#token=the-token-of-this-test$/)
    await app.listen()
    assert.equal(app.url, `http://127.0.0.1:${port}`)
    const { accessToken } = await call('POST', '/v1/setup', undefined, {
      token: 'the-token-of-this-test',
      email: 'ada@example.com',
      password: 'seven calm otters sing',
      name: 'Ada',
      workspace: 'Engines',
    })
    assert.equal(await app.setupUrl(), undefined)
    const [room] = (await call('GET', '/v1/rooms', accessToken)).items
    await call('POST', `/v1/rooms/${room?.id}/messages`, accessToken, {
      clientId: randomUUID(),
      text: 'hello',
    })
    for (;;) {
      const { events } = await call('GET', `/v1/rooms/${room?.id}/events?after=0`, accessToken)
      const final = events.find(({ type }) => type === 'message.final')
      if (final !== undefined) {
        assert.equal(final.text, 'The script says hello.')
        break
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  await assert.rejects(fetch(`http://127.0.0.1:${port}/live`))
  await rm(dataDir, { recursive: true })
})
