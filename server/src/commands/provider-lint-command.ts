import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Command } from 'commander'
import { lintProvider, looksLikeProvider } from '../providers/provider-lint.ts'

/** `atom provider lint [files…]`: what is missing or wrong in provider files; without files, in those that Atom ships. */
export function providerCommand(): Command {
  const provider = new Command('provider').description('work on provider files')
  const lint = new Command('lint')
    // A command within a command inherits nothing by itself; main gives a wrong call its exit status.
    .exitOverride()
    .description('check provider files, or the catalogue: addresses, hosts, scopes, PKCE, errors, revocation')
    .argument('[files...]', 'modules that export providers')
    .action(async (files: string[]) => {
      const subjects = files.length === 0 ? await shipped() : await providersIn(files, lint)
      let findings = 0
      for (const [name, subject] of subjects) {
        for (const { at, problem } of lintProvider(subject)) {
          findings += 1
          process.stdout.write(`${name}: ${at} ${problem}\n`)
        }
      }
      if (findings === 0) process.stdout.write(`${subjects.length} checked, nothing found.\n`)
      else process.exitCode = 1
    })
  return provider.addCommand(lint)
}

/** Asked for when it is needed: a file that the catalogue stumbles over has to be checked too. */
async function shipped(): Promise<[string, unknown][]> {
  const { catalog } = await import('../providers/catalog.ts')
  return [...catalog]
}

/** Whatever the files export under a name that is an object with an id or an issuer: a lame provider must be found too. */
async function providersIn(files: readonly string[], command: Command): Promise<[string, unknown][]> {
  const subjects: [string, unknown][] = []
  for (const file of files) {
    let exported: Record<string, unknown>
    try {
      exported = (await import(pathToFileURL(resolve(file)).href)) as Record<string, unknown>
    } catch (thrown) {
      return command.error(
        `${file} cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
        {
          exitCode: 2,
        },
      )
    }
    const found = Object.values(exported).filter(looksLikeProvider)
    if (found.length === 0) {
      return command.error(
        `${file} exports no provider: an object with an issuer and endpoints, as in docs/add-a-provider.md.`,
        { exitCode: 2 },
      )
    }
    for (const value of found) subjects.push([file, value])
  }
  return subjects
}
