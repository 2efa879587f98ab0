import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { StartError } from '#foundation/start-error.ts'
import type { Provider } from './provider.ts'
import { looksLikeProvider } from './provider-lint.ts'

/** Whom the sandbox stands in for: a first try begins here, so people see these first. */
const first = ['github', 'google', 'microsoft', 'slack', 'asana', 'notion', 'salesforce', 'hubspot']

/**
 * The providers Atom knows, in the order in which people see them: those of the sandbox, the others by name, then those that are
 * nobody's in particular. A further one is a file in `catalog/` and no other change (docs/add-a-provider.md).
 */
export const catalog: ReadonlyMap<string, Provider> = await catalogIn(join(import.meta.dirname, 'catalog'))

/** @throws StartError where a file of the folder is not what it has to be */
export async function catalogIn(folder: string): Promise<ReadonlyMap<string, Provider>> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  const providers = await Promise.all(files.map((name) => providerIn(join(folder, name))))
  const place = ({ id, guide }: Provider) =>
    first.includes(id) ? first.indexOf(id) : first.length + (guide.category === 'standard' ? 1 : 0)
  providers.sort((one, other) => place(one) - place(other) || (one.name < other.name ? -1 : 1))
  return new Map(providers.map((provider) => [provider.id, provider]))
}

/** Its name is that of the file, so that no two can have one. */
async function providerIn(file: string): Promise<Provider> {
  const exported = (await import(pathToFileURL(file).href)) as Record<string, unknown>
  const found = Object.values(exported).filter(looksLikeProvider)
  const [provider] = found
  if (provider === undefined || found.length > 1 || provider.id !== basename(file, '.ts')) {
    throw new StartError(
      `${file} has to export one provider whose id is the name of the file; \`atom provider lint ${file}\` says more.`,
    )
  }
  return provider
}
