import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface TrackedIssue {
  readonly id: number
  readonly number: number
  title: string
  body: string
  state: 'open' | 'closed'
  readonly repository: string
}

/** What goes wrong with the next writing request: before its effect, after it, or how it is answered. */
export interface WriteFault {
  /** Called when the request has arrived and nothing has happened yet. */
  readonly arrived?: () => void | Promise<void>
  /** Called when it has happened and was not answered yet. */
  readonly happened?: () => void | Promise<void>
  /** `lost`: the effect stays, the connection breaks · `refused`: no effect, and status 500 · `stumbled`: effect, status 500 */
  readonly answer?: 'lost' | 'refused' | 'stumbled'
}

/**
 * As much of GitHub's API as the tools use, on loopback, with hands on what the provider's sandbox does not let a test
 * touch: the moment between the arrival of a request, its effect and its answer.
 */
export class IssueTracker implements AsyncDisposable {
  readonly url: string
  readonly issues: TrackedIssue[] = []
  readonly comments: { number: number; body: string }[] = []
  /** Every write that took effect, in order. */
  readonly effects: string[] = []
  readonly requests: string[] = []
  repositories = ['atom-labs/app', 'atom-labs/website']
  writeFaults: WriteFault[] = []
  #readStatus: number | undefined
  readonly #close: () => Promise<void>

  private constructor(url: string, close: () => Promise<void>) {
    this.url = url
    this.#close = close
  }

  static async start(): Promise<IssueTracker> {
    const server = createServer((request, response) => {
      tracker.#answer(request, response).catch(() => response.destroy())
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const tracker = new IssueTracker(`http://127.0.0.1:${port}`, async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    return tracker
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close()
  }

  /** From now on every read fails with this status. */
  answerReadsWith(status: number): void {
    this.#readStatus = status
  }

  add(repository: string, title: string): TrackedIssue {
    return this.#insert(repository, title, '')
  }

  #insert(repository: string, title: string, body: string): TrackedIssue {
    const number = this.issues.filter((issue) => issue.repository === repository).length + 1
    const issue: TrackedIssue = { id: this.issues.length + 1, number, title, body, state: 'open', repository }
    this.issues.push(issue)
    return issue
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url)
    const method = request.method ?? 'GET'
    this.requests.push(`${method} ${url.pathname}`)
    const send = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    if (method === 'GET') {
      if (this.#readStatus !== undefined) return send(this.#readStatus, { message: 'as the test wants it' })
      const found = this.#read(url)
      return found === undefined ? send(404, { message: 'Not Found' }) : send(200, found)
    }
    let text = ''
    for await (const chunk of request) text += chunk
    const fault = this.writeFaults.shift()
    await fault?.arrived?.()
    if (fault?.answer === 'refused') return send(500, { message: 'broken' })
    const [status, answer] = this.#write(method, url, JSON.parse(text))
    await fault?.happened?.()
    if (fault?.answer === 'lost') response.destroy()
    else if (fault?.answer === 'stumbled') send(500, { message: 'broken' })
    else send(status, answer)
  }

  #read(url: URL): unknown {
    const parts = url.pathname.split('/').slice(1)
    if (url.pathname === '/issues')
      return this.issues.filter((issue) => issue.state === 'open').map((i) => this.#view(i))
    if (url.pathname === '/user/repos')
      return this.repositories.map((name) => ({ full_name: name, html_url: `https://github.com/${name}` }))
    const repository = `${parts[1]}/${parts[2]}`
    if (parts[0] !== 'repos' || !this.repositories.includes(repository)) return undefined
    const own = this.issues.filter((issue) => issue.repository === repository)
    if (parts[5] === 'comments')
      return this.comments.map((each, id) => ({ id, body: each.body, html_url: `${this.url}/c` }))
    if (parts[4] !== undefined) {
      const issue = own.find((each) => each.number === Number(parts[4]))
      return issue && this.#view(issue)
    }
    const wanted = url.searchParams.get('state') ?? 'open'
    return own.filter((issue) => wanted === 'all' || issue.state === wanted).map((issue) => this.#view(issue))
  }

  #write(method: string, url: URL, body: Record<string, string>): [number, unknown] {
    const at = url.pathname.split('/').slice(1)
    const repository = `${at[1]}/${at[2]}`
    if (!this.repositories.includes(repository)) return [404, { message: 'Not Found' }]
    if (method === 'POST' && at[5] === 'comments') {
      this.comments.push({ number: Number(at[4]), body: body['body'] ?? '' })
      this.effects.push(`comment ${body['body']?.split('\n')[0]}`)
      return [201, { id: this.comments.length, html_url: `${this.url}/c`, body: body['body'] }]
    }
    if (method === 'POST') {
      this.effects.push(`create ${body['title']}`)
      return [201, this.#view(this.#insert(repository, body['title'] ?? '', body['body'] ?? ''))]
    }
    const issue = this.issues.find((each) => each.repository === repository && each.number === Number(at[4]))
    if (issue === undefined) return [404, { message: 'Not Found' }]
    issue.state = 'closed'
    this.effects.push(`close ${issue.number}`)
    return [200, this.#view(issue)]
  }

  #view(issue: TrackedIssue) {
    return {
      id: issue.id,
      number: issue.number,
      title: issue.title,
      body: issue.body,
      state: issue.state,
      html_url: `https://github.com/${issue.repository}/issues/${issue.number}`,
      repository_url: `https://api.github.com/repos/${issue.repository}`,
      updated_at: new Date(1_700_000_000_000 + issue.id * 1000).toISOString(),
    }
  }
}
