import type { FlowName, ProviderView } from '@atom/contract/connections.ts'
import { type Particulars, type Provider, standardParticulars, standardScopes } from '#providers/provider.ts'
import { credentialFields, flowNames, needsOf } from '#providers/provider-flows.ts'
import { providerPagePath, setupSteps } from '#providers/provider-guide.ts'
import type { AppRow } from './app-store.ts'
import { isOperators } from './flows/flow-needs.ts'

/** What depends on this server. */
interface Here {
  readonly redirectUri: string
  readonly sandbox: {
    readonly offered: boolean
    readonly running: boolean
    /** Where it stands in, what an operator would have entered is its own. */
    readonly settings: Particulars | undefined
  }
}

/** A provider as the catalogue shows it, with the workspace's app where there is one. No secret is in it. */
export function providerView(
  provider: Provider,
  configured: AppRow | undefined,
  { redirectUri, sandbox }: Here,
): ProviderView {
  // Where Atom registers itself, nobody has to enter anything first.
  const hasApp = configured !== undefined || provider.discovery === 'resource'
  const scopes = configured?.scopes ?? standardScopes(provider)
  const { guide } = provider
  const flows = flowNames(provider.flows).filter((flow) =>
    hasSettings(provider, flow, configured?.settings ?? sandbox.settings ?? {}),
  )
  return {
    id: provider.id,
    name: provider.name,
    category: guide.category,
    app: hasApp ? 'configured' : sandbox.offered && sandbox.running ? 'sandbox' : 'none',
    sandboxAvailable: sandbox.offered,
    scopes: explained(provider, scopes),
    furtherScopes: explained(
      provider,
      knownScopes(provider).filter((scope) => !scopes.includes(scope)),
    ),
    particulars: Object.entries(provider.particulars ?? {}).map(
      ([name, { label, meaning, standard, askable, configurable, optional }]) => ({
        name,
        label: label ?? name,
        meaning,
        ...(standard !== undefined && { standard }),
        saidBy: askable === true ? 'person' : configurable === true ? 'operator' : 'provider',
        required: (askable ?? configurable) === true && optional !== true && standard === undefined,
      }),
    ),
    redirectUri,
    appConsoleUrl: provider.appConsoleUrl,
    flows,
    operatorFlows: flows.filter((flow) => isOperators(provider, flow)),
    credentialFields: credentialFields(provider.flows).map(({ flow, fields }) => ({
      flow,
      fields: fields.map((field) => ({
        name: field.name,
        label: field.label,
        meaning: field.meaning,
        secret: field.secret === true,
        required: field.optional !== true,
        multiline: field.multiline === true,
      })),
    })),
    appFields: appFields(provider, configured?.settings ?? {}),
    setup: { steps: setupSteps(guide, { redirectUri, scopes }) },
    docsPath: providerPagePath(provider.id),
    appLife: {
      ...(guide.secretExpiry !== undefined && { secretExpiry: guide.secretExpiry }),
      ...(guide.testing !== undefined && { testing: guide.testing.meaning }),
    },
    ...(configured !== undefined && {
      appFacts: {
        clientId: configured.clientId,
        configuredAt: configured.configuredAt.toISOString(),
        clientSecretExpiresAt: configured.secretExpiresAt?.toISOString() ?? null,
        testing: configured.testing,
        scopes: configured.scopes === null ? null : [...configured.scopes],
      },
    }),
  }
}

function knownScopes({ scopes }: Provider): string[] {
  return [...scopes.standard, ...(scopes.further ?? [])].map(({ scope }) => scope)
}

/** What people read beside each scope; one that there are no words for speaks for itself. */
function explained(provider: Provider, wanted: readonly string[]): ProviderView['scopes'] {
  const { standard, further = [], always } = provider.scopes
  const meanings = new Map([...standard, ...further].map(({ scope, meaning }) => [scope, meaning]))
  return wanted.map((scope) => ({
    scope,
    meaning: meanings.get(scope) ?? scope,
    required: always.includes(scope),
  }))
}

/** Whether the operator has said what this way to connect cannot do without. */
function hasSettings(provider: Provider, flow: FlowName, settings: Particulars): boolean {
  const said = { ...standardParticulars(provider), ...settings }
  return Object.entries(needsOf(provider.flows, flow)).every(
    ([name, pattern]) =>
      provider.particulars?.[name]?.configurable !== true || pattern.test(said[name] ?? ''),
  )
}

/** What an operator enters beside client id and secret. */
function appFields(provider: Provider, entered: Particulars): ProviderView['appFields'] {
  const fields = Object.entries(provider.particulars ?? {}).flatMap(([name, particular]) => {
    if (particular.configurable !== true) return []
    const value = entered[name]
    return [
      {
        name,
        label: particular.label ?? name,
        meaning: particular.meaning,
        secret: false,
        required: particular.optional !== true && particular.standard === undefined,
        ...(value !== undefined && { value }),
        ...(particular.standard !== undefined && { standard: particular.standard }),
      },
    ]
  })
  const { appKey } = provider
  if (appKey === undefined) return fields
  const key = {
    name: 'privateKey',
    label: 'Private key',
    meaning: appKey.meaning,
    secret: true,
    required: appKey.required === true,
    multiline: true,
  }
  return [...fields, key]
}
