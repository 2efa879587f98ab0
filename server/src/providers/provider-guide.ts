import type { ProviderCategory } from '@atom/contract/connections.ts'

/** Something that the provider switches off, as it has announced. */
interface Sunset {
  /** The day, as in an ISO date: what is switched off in its course. */
  readonly at: string
  readonly title: string
  /** Whom it concerns, and what they do about it. */
  readonly detail: string
}

/** What people have to know of a provider that no request does: where it belongs, how its app is made, what ends by itself. */
export interface ProviderGuide {
  readonly category: ProviderCategory
  /**
   * What an operator does at the provider to make the app, a sentence or two each. `{redirectUri}` stands for the address to
   * enter, `{scopes}` for what a connection asks for.
   */
  readonly steps: readonly string[]
  /** Redirect URIs have to be https there, also those of the machine at hand. */
  readonly redirectIsHttps?: true
  /** That the secret of an app ends, and when. */
  readonly secretExpiry?: string
  /** An app that is not published: what its connections lose, and so many days after consent. */
  readonly testing?: { readonly meaning: string; readonly days: number }
  readonly sunsets?: readonly Sunset[]
}

/** Where this server shows what there is to know of a provider. */
export function providerPagePath(id: string): string {
  return `/docs/providers/${id}`
}

/** The steps with what they speak of. */
export function setupSteps(
  guide: ProviderGuide,
  values: { redirectUri: string; scopes: readonly string[] },
): string[] {
  const scopes = values.scopes.join(', ')
  return guide.steps.map((step) =>
    step.replaceAll('{redirectUri}', values.redirectUri).replaceAll('{scopes}', scopes),
  )
}
