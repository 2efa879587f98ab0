import assert from 'node:assert/strict'
import { type IncomingHttpHeaders, request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Problem } from '@atom/contract/errors.ts'
import { Problem as ProblemSchema } from '@atom/contract/errors.ts'
import { Compile } from 'typebox/compile'

export interface Called<T> {
  readonly status: number
  readonly headers: Headers
  readonly body: T
}

export interface CallOptions {
  readonly token?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

/** One request with JSON, as any client would send it. */
export async function call<T = Record<string, never>>(
  url: string,
  method: string,
  path: string,
  options: CallOptions = {},
): Promise<Called<T>> {
  const response = await fetch(`${url}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
      ...(options.body !== undefined && { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(options.body !== undefined && {
      body: typeof options.body === 'string' ? options.body : JSON.stringify(options.body),
    }),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: (text === '' ? null : JSON.parse(text)) as T,
  }
}

const problemCheck = Compile(ProblemSchema)

/** Asserts that an answer is the one form every error has, with this code; returns it. */
export function assertProblem(answer: Called<unknown>, code: Problem['code']): Problem {
  const problem = answer.body
  assert.ok(problemCheck.Check(problem), `not a problem: ${JSON.stringify(problem)}`)
  assert.equal(problem.code, code)
  assert.equal(answer.headers.get('content-type'), 'application/problem+json')
  assert.equal(problem.status, answer.status)
  assert.equal(problem.requestId, answer.headers.get('x-request-id'))
  return problem
}

/** One address, as a browser goes to it that shows what comes as a page. */
export async function browse(
  url: string,
  path: string,
): Promise<{ status: number; headers: IncomingHttpHeaders; page: string }> {
  return await new Promise((resolve, reject) => {
    const headers = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'sec-fetch-mode': 'navigate' }
    const { hostname, port } = new URL(url)
    // The path apart, or it would be normalised before it is sent.
    request({ hostname, port, path, headers }, (response) => {
      text(response).then(
        (page) => resolve({ status: response.statusCode ?? 0, headers: response.headers, page }),
        reject,
      )
    })
      .once('error', reject)
      .end()
  })
}
