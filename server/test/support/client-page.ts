import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'vite'

const entry = 'atom:client-page'
/** Only the client: what it tells is written into the page. */
const source = `
  import { AtomClient } from '@atom/client'
  const atom = new AtomClient()
  const show = (id, value) => { document.getElementById(id).textContent = JSON.stringify(value) }
  const outcome = ({ problem, ...told }) => ({ ...told, ...(problem && { code: problem.code, detail: problem.detail }) })
  const returned = atom.connections.completeAuthorization()
  window.atom = atom
  show('returned', returned === undefined ? null : outcome(returned))
  document.getElementById('begin').addEventListener('click', () => {
    show('ended', null)
    const { calls } = window
    // All in the one click, as a page would do it.
    for (const [method, ...args] of calls)
      atom.connections[method](...args).then((ended) => show('ended', outcome(ended)))
  })
  await atom.session.resume()
  show('session', atom.session.state)
`

/** What a server may serve in place of the dashboard: one page with nothing on it but the client. */
export async function buildClientPage(folder: string): Promise<void> {
  const built = await build({
    configFile: false,
    logLevel: 'error',
    root: join(import.meta.dirname, '..', '..'),
    plugins: [
      {
        name: 'client-page',
        resolveId: (id) => (id === entry ? `\0${entry}` : undefined),
        load: (id) => (id === `\0${entry}` ? source : undefined),
      },
    ],
    build: { write: false, minify: false, target: 'esnext', rolldownOptions: { input: entry } },
  })
  const [bundle] = [built].flat()
  if (bundle === undefined || !('output' in bundle)) throw new Error('the client was not bundled')
  await mkdir(join(folder, 'assets'), { recursive: true })
  await writeFile(join(folder, 'assets', 'client-page.js'), bundle.output[0].code)
  await writeFile(
    join(folder, 'index.html'),
    '<!doctype html><title>Client</title><button id="begin">Begin</button><p id="session"></p><p id="returned"></p><p id="ended"></p><script type="module" src="/assets/client-page.js"></script>',
  )
}
