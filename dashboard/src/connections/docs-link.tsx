import type { ProviderView } from '@atom/contract/connections.ts'
import type { ReactNode } from 'react'

/** A page of this server, outside of the dashboard. */
export function DocsLink({ provider, children }: { provider: ProviderView; children: ReactNode }) {
  return (
    <a
      href={provider.docsPath}
      target="_blank"
      rel="noreferrer"
      className="text-accent-text underline underline-offset-2"
    >
      {children}
      <span className="sr-only"> (opens in a new tab)</span>
    </a>
  )
}
