/** Which methods an address has; what a 405 answers in its Allow field (RFC 9110 15.5.6). */
export class RouteTable {
  readonly #entries: {
    readonly segments: readonly string[]
    readonly open: boolean
    readonly methods: string[]
  }[] = []

  /** `path` as in the contract: `/v1/rooms/{id}`. `open`: its last parameter takes the rest of the address. */
  add(path: string, methods: readonly string[], open = false): void {
    this.#entries.push({ segments: path.split('/'), open, methods: [...methods] })
  }

  methodsAt(path: string): string[] {
    const parts = path.split('/')
    const methods = new Set<string>()
    for (const entry of this.#entries) {
      if (entry.open ? parts.length < entry.segments.length : parts.length !== entry.segments.length) continue
      if (entry.segments.every((segment, at) => segment.startsWith('{') || segment === parts[at]))
        for (const method of entry.methods) methods.add(method)
    }
    if (methods.has('GET')) methods.add('HEAD')
    return [...methods].sort()
  }
}
