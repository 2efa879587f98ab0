import { isWholeAddress } from './https-address.ts'
import { filled, type Provider, standardParticulars } from './provider.ts'
import { credentialFields, flowNames, type KeyAttachment, needsOf } from './provider-flows.ts'
import type { Finding } from './provider-shape.ts'

/** What is missing or wrong in what a provider file says of its flows. */
export function lintFlows(provider: Provider): Finding[] {
  const missing = kinds(provider)
  if (missing.length > 0) return missing
  return [...addresses(provider), ...fields(provider), ...needs(provider), ...keys(provider)]
}

/** What each kind of installation, and of attachment, cannot do without. */
const partsOfKind: Readonly<Record<string, readonly string[]>> = {
  'app_installation by key': ['address', 'parameters', 'particular', 'answer', 'token'],
  'app_installation by admin': ['address', 'parameters', 'particular', 'answer', 'scopes'],
  'app_installation by consent': ['granted'],
  'api_key.attach as bearer': ['key'],
  'api_key.attach as header': ['header', 'key'],
  'api_key.attach as basic': ['user', 'password'],
}

function kinds({ flows }: Provider): Finding[] {
  const { app_installation: installation, api_key: key } = flows ?? {}
  return [
    ['app_installation', `by ${installation?.by}`, installation] as const,
    ['api_key.attach', `as ${key?.attach.as}`, key?.attach] as const,
  ].flatMap(([at, kind, value]) =>
    (partsOfKind[`${at} ${kind}`] ?? []).flatMap((name) =>
      when(
        value !== undefined && Reflect.get(value, name) === undefined,
        `flows.${at}.${name}`,
        `is missing: an ${at === 'api_key.attach' ? 'attachment' : 'installation'} ${kind} needs it`,
      ),
    ),
  )
}

function addresses(provider: Provider): Finding[] {
  const { device_code: device, app_installation: installation } = provider.flows ?? {}
  const named: Record<string, string> = {
    ...(device?.endpoint !== undefined && { 'flows.device_code.endpoint': device.endpoint }),
    ...(installation !== undefined &&
      installation.by !== 'consent' && { 'flows.app_installation.address': installation.address }),
    ...(installation?.by === 'key' && { 'flows.app_installation.token': installation.token }),
  }
  const open = standardParticulars(provider)
  return Object.entries(named).flatMap(([at, address]) => {
    if (isWholeAddress(provider, address)) return []
    const host = /^https:\/\/([^/{}]+)\//.exec(filled(address, open))?.[1]
    return when(
      host === undefined || /[:@]/.test(host),
      at,
      'must be an https address at a whole host',
    ).concat(
      placeholders(address).flatMap((name) =>
        when(
          provider.particulars?.[name] === undefined,
          at,
          `names {${name}}, which is none of its particulars`,
        ),
      ),
    )
  })
}

function fields({ flows }: Provider): Finding[] {
  return credentialFields(flows).flatMap(({ flow, fields: given }) => {
    const at = `flows.${flow}.fields`
    const names = given.map(({ name }) => name)
    return when(new Set(names).size !== names.length, at, 'names a field twice')
      .concat(when(!given.some(({ secret }) => secret), at, 'holds nothing secret'))
      .concat(
        given.flatMap(({ name, label, meaning, pattern }) =>
          when(!/^[a-z][A-Za-z]{0,40}$/.test(name), at, `${name} is no name that a request can carry`)
            .concat(when(label.length < 3 || meaning.length < 10, at, `${name} is not explained`))
            .concat(
              when(
                pattern !== undefined && !/^\^.*\$$/s.test(pattern.source),
                at,
                `the pattern of ${name} must hold for the whole value (^…$)`,
              ),
            ),
        ),
      )
  })
}

function needs({ flows, particulars = {} }: Provider): Finding[] {
  return flowNames(flows).flatMap((flow) =>
    Object.keys(needsOf(flows, flow)).flatMap((name) =>
      when(
        particulars[name] === undefined,
        `flows.${flow}.needs`,
        `${name} is none of its particulars`,
      ).concat(
        when(
          particulars[name] !== undefined &&
            particulars[name].askable !== true &&
            particulars[name].configurable !== true,
          `flows.${flow}.needs`,
          `nobody is asked for ${name}`,
        ),
      ),
    ),
  )
}

function keys({ flows, byFlow }: Provider): Finding[] {
  const key = flows?.api_key
  if (key === undefined) return []
  const known = new Set(key.fields.map(({ name }) => name))
  const at = 'flows.api_key'
  return partsOf(key.attach)
    .flatMap(placeholders)
    .flatMap((name) => when(!known.has(name), `${at}.attach`, `names {${name}}, which is none of its fields`))
    .concat(
      when(
        key.attach.as === 'header' && key.attach.header !== key.attach.header.toLowerCase(),
        `${at}.attach`,
        'must name its header in lower case',
      ),
    )
    .concat(
      // Whoever pasted a key may use it elsewhere: Atom must not end it, and has to say who can.
      when(
        byFlow?.api_key?.ending === undefined || byFlow.api_key.ending.revocation !== undefined,
        'byFlow.api_key.ending',
        'must say where a person ends the key, and not end it',
      ),
    )
}

function partsOf(attach: KeyAttachment): string[] {
  return attach.as === 'basic' ? [attach.user, attach.password] : [attach.key]
}

function placeholders(text: string): string[] {
  return [...text.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
}

function when(wrong: boolean, at: string, problem: string): Finding[] {
  return wrong ? [{ at, problem }] : []
}
