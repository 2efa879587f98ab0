import type { Role } from '@atom/contract/accounts.ts'

/** A person, signed in. */
export interface AccountPrincipal {
  readonly kind: 'account'
  readonly id: string
  readonly workspaceId: string
  readonly role: Role
  readonly sessionId: string
  readonly name: string
}

/** An agent, acting for the person who asked. It may use that person's connections and nobody else's. */
export interface AgentPrincipal {
  readonly kind: 'agent'
  readonly id: string
  readonly workspaceId: string
  readonly onBehalfOf: string
  readonly name: string
}

/** Whoever calls. */
export type Principal = AccountPrincipal | AgentPrincipal

/** The person whose rights count: the account itself, or the one an agent acts for. */
export function personOf(principal: Principal): string {
  return principal.kind === 'account' ? principal.id : principal.onBehalfOf
}
