/** A person at the sandbox's pages, without a browser: chooses who to be, and what to allow. */
export interface Visit {
  /** Key of one of the sandbox's people. */
  readonly person: string
  readonly decision: 'agree' | 'cancel'
  /** Which of the scopes open to choice to leave out. */
  readonly withhold?: readonly string[]
  /** What else is said on the page of the decision, by the names of its fields. */
  readonly says?: Readonly<Record<string, string>>
}

const mostSteps = 20

/** Goes where the authorize address leads and returns the address that leads away from the sandbox. */
export async function visitSandbox(authorizeUrl: URL, visit: Visit): Promise<URL> {
  const cookies = new Map<string, string>()
  let at = authorizeUrl
  let form: URLSearchParams | undefined
  for (let step = 0; step < mostSteps; step++) {
    const answer = await fetch(at, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form !== undefined && { method: 'POST', body: form }),
    })
    for (const line of answer.headers.getSetCookie()) {
      const [name = '', value = ''] = (line.split(';', 1)[0] ?? '').split(/=(.*)/s)
      cookies.set(name, value)
    }
    const page = await answer.text()
    form = undefined
    const location = answer.headers.get('location')
    if (location !== null) {
      at = new URL(location, at)
      if (at.origin !== authorizeUrl.origin) return at
      continue
    }
    if (answer.status !== 200)
      throw new Error(`the sandbox answered ${answer.status} at ${at.pathname}: ${page.slice(0, 500)}`)
    form = page.includes('name="person"')
      ? new URLSearchParams({ person: visit.person })
      : decided(page, visit)
  }
  throw new Error('the sandbox leads in circles')
}

function decided(page: string, visit: Visit): URLSearchParams {
  const form = new URLSearchParams({ ...visit.says, decision: visit.decision })
  for (const [, scope = ''] of page.matchAll(/name="scope" value="([^"]+)"/g)) {
    if (visit.withhold?.includes(scope) !== true) form.append('scope', scope)
  }
  return form
}
