// `node scripts/provider-pages.ts` writes docs/providers/*.md from the providers' files. What stands below the marker of a page
// is written by hand and kept.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { catalog } from '../server/src/providers/catalog.ts'
import type { Provider } from '../server/src/providers/provider.ts'
import { type ProviderPage, providerPage } from '../server/src/providers/provider-page.ts'

export const pagesFolder = join(import.meta.dirname, '..', 'docs', 'providers')
const marker = '<!-- By hand from here on. -->'
/** Stands for the address of whoever reads. */
const anyAddress = 'https://atom.example.com'

/** Every page as it has to be, by file name. */
export async function expectedPages(): Promise<ReadonlyMap<string, string>> {
  const pages = await Promise.all(
    [...catalog.values()].map(
      async (provider) => [`${provider.id}.md`, generated(provider) + (await byHand(provider.id))] as const,
    ),
  )
  return new Map([['README.md', contents()], ...pages])
}

function contents(): string {
  const rows = [...catalog.values()].map(
    ({ id, name, guide }) => `| [${name}](${id}.md) | ${guide.category} |`,
  )
  return `# Providers

How the app is set up at each, what people are asked to allow, and what ends when. The pages are written by
\`node scripts/provider-pages.ts\` from the files in \`server/src/providers/catalog/\`; a test holds them in step. A running server
shows the same at \`/docs/providers/…\`, with its own address in the words.

| | |
|---|---|
${rows.join('\n')}
`
}

function generated(provider: Provider): string {
  const page = providerPage(provider, anyAddress)
  return `# ${page.title}

${page.summary} Here \`${anyAddress}\` stands for the address of your Atom.

Console: <${page.consoleUrl}>

${page.sections.map(sectionText).join('\n\n')}

${marker}
`
}

function sectionText({
  heading,
  paragraphs = [],
  steps = [],
  table,
}: ProviderPage['sections'][number]): string {
  const blocks = [
    ...paragraphs,
    ...(steps.length === 0 ? [] : [steps.map((step, at) => `${at + 1}. ${step}`).join('\n')]),
    ...(table === undefined
      ? []
      : [
          [table.head, table.head.map(() => '---'), ...table.rows]
            .map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
            .join('\n'),
        ]),
  ]
  return [`## ${heading}`, ...blocks].join('\n\n')
}

async function byHand(id: string): Promise<string> {
  const files = await readdir(pagesFolder)
  if (!files.includes(`${id}.md`)) return ''
  const text = await readFile(join(pagesFolder, `${id}.md`), 'utf8')
  const at = text.indexOf(`${marker}\n`)
  return at < 0 ? '' : text.slice(at + marker.length + 1)
}

if (import.meta.main) {
  await mkdir(pagesFolder, { recursive: true })
  const pages = await expectedPages()
  for (const [name, text] of pages) await writeFile(join(pagesFolder, name), text)
  console.log(`${pages.size} pages in docs/providers`)
}
