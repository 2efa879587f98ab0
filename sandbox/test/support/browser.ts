/** A browser as far as consent needs one: cookies with paths, redirects, forms. */
export class Browser {
  readonly #cookies = new Map<string, { value: string; path: string }>()

  /** Follows redirects as long as they stay on `url`'s origin. */
  async open(url: string | URL, init: RequestInit = {}): Promise<Stop> {
    const target = new URL(url)
    const cookie = [...this.#cookies]
      .filter(([, { path }]) => target.pathname.startsWith(path))
      .map(([key, { value }]) => `${key.split('\n')[0]}=${value}`)
      .join('; ')
    const response = await fetch(target, {
      ...init,
      redirect: 'manual',
      headers: { ...init.headers, ...(cookie === '' ? undefined : { cookie }) },
    })
    for (const line of response.headers.getSetCookie()) this.#keep(line)
    const text = await response.text()
    const location = response.headers.get('location')
    if (location === null)
      return { url: target, status: response.status, text, headers: response.headers, left: false }
    const next = new URL(location, target)
    return next.origin === target.origin
      ? this.open(next)
      : { url: next, status: response.status, text, headers: response.headers, left: true }
  }

  async submit(page: Stop, fields: readonly (readonly [string, string])[]): Promise<Stop> {
    return this.open(page.url, {
      method: 'POST',
      body: new URLSearchParams(fields.map(([key, value]): [string, string] => [key, value])),
    })
  }

  #keep(line: string): void {
    const [pair = '', ...attributes] = line.split('; ')
    const name = pair.slice(0, pair.indexOf('='))
    const attribute = (wanted: string) =>
      attributes.find((each) => each.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1)
    const path = attribute('path') ?? '/'
    const expires = attribute('expires')
    if (expires !== undefined && Date.parse(expires) < Date.now()) this.#cookies.delete(`${name}\n${path}`)
    else this.#cookies.set(`${name}\n${path}`, { value: pair.slice(pair.indexOf('=') + 1), path })
  }
}

/** Where the browser came to rest: a page, or an address outside (`left`), which is not fetched. */
export interface Stop {
  readonly url: URL
  readonly status: number
  readonly text: string
  readonly headers: Headers
  readonly left: boolean
}
