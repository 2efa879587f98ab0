import type { SignedIn } from '@atom/contract/accounts.ts'
import type { Room } from '@atom/contract/rooms.ts'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { AtomProcess } from './atom-process.ts'
import { ada, openBrowser } from './browser.ts'

/** Somebody with an account: what they do by the API, and the browser they sit at. */
export interface ChatPerson {
  readonly id: string
  readonly name: string
  call<T>(method: string, path: string, body?: object): Promise<T>
  say(roomId: string, text: string, more?: object): Promise<number>
  room(body: object): Promise<Room>
  /** A browser of their own, signed in, at this path. */
  page(
    path: string,
    viewport?: { width: number; height: number },
    device?: Pick<BrowserContextOptions, 'hasTouch' | 'colorScheme'>,
  ): Promise<Page>
}

export interface ChatScene extends AsyncDisposable {
  readonly atom: AtomProcess
  readonly ada: ChatPerson
  /** The browser of somebody who has no account yet. */
  visitor(): Promise<Page>
  /** Somebody who has come in by a browser. */
  signIn(email: string, password: string): Promise<ChatPerson>
  /** Comes by an invitation of Ada's, into these rooms of hers. */
  guest(name: string, roomIds?: readonly string[]): Promise<ChatPerson>
}

let told = 0

/** One Atom with its first owner, Ada, and browsers for whoever is in it. */
export async function chatScene(environment: Readonly<Record<string, string>> = {}): Promise<ChatScene> {
  await using born = new AsyncDisposableStack()
  const atom = born.use(await AtomProcess.started(environment))
  const browser = born.use(await openBrowser())

  async function ask<T>(token: string | undefined, method: string, path: string, body?: object): Promise<T> {
    const answer = await fetch(`${atom.url}${path}`, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  function person(login: { email: string; password: string }, signed: SignedIn): ChatPerson {
    const call = <T>(method: string, path: string, body?: object) =>
      ask<T>(signed.accessToken, method, path, body)
    return {
      id: signed.account.id,
      name: signed.account.name,
      call,
      room: (body) => call<Room>('POST', '/v1/rooms', body),
      say: async (roomId, text, more = {}) => {
        told += 1
        const body = { clientId: `scene-${process.pid}-${told}`, text, ...more }
        return (await call<{ seq: number }>('POST', `/v1/rooms/${roomId}/messages`, body)).seq
      },
      page: async (path, viewport, device) => {
        const context = await browser.person(device)
        await context.grantPermissions(['clipboard-read', 'clipboard-write'])
        const page = await context.newPage()
        if (viewport !== undefined) await page.setViewportSize(viewport)
        await page.goto(`${atom.url}/sign-in?next=${encodeURIComponent(path)}`)
        await page.getByLabel('E-mail').fill(login.email)
        await page.getByLabel('Password', { exact: true }).fill(login.password)
        await page.getByRole('button', { name: 'Sign in' }).click()
        await page.waitForURL((url) => url.pathname !== '/sign-in')
        return page
      },
    }
  }

  const token = atom.setupUrl.split('#token=')[1]
  const owner = person(ada, await ask<SignedIn>(undefined, 'POST', '/v1/setup', { ...ada, token }))
  const alive = born.move()
  return {
    atom,
    ada: owner,
    visitor: async () => (await browser.person()).newPage(),
    signIn: async (email, password) => {
      const login = { email, password }
      return person(login, await ask<SignedIn>(undefined, 'POST', '/v1/auth/login', login))
    },
    guest: async (name, roomIds = []) => {
      const email = `${name.toLowerCase().replaceAll(' ', '.')}@example.com`
      const { url } = await owner.call<{ url: string }>('POST', '/v1/invitations', {
        email,
        role: 'member',
        ...(roomIds.length > 0 && { roomIds }),
      })
      const { password } = ada
      const signed = await ask<SignedIn>(undefined, 'POST', '/v1/invitations/accept', {
        token: url.split('#token=')[1],
        name,
        password,
      })
      return person({ email, password }, signed)
    },
    [Symbol.asyncDispose]: () => alive.disposeAsync(),
  }
}
