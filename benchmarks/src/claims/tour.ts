import { gzipSync } from 'node:zlib'
import type { Page } from 'playwright-core'
import { installDebianPackages } from '../../../scripts/debian-packages.ts'
import { AtomProcess } from '../../../server/test/support/atom-process.ts'
import { ada, consent, openBrowser, say } from '../../../server/test/support/browser.ts'
import { type Benchmark, type Figure, figure, median } from '../benchmark.ts'

const legs = [
  'page usable',
  'setup → room',
  'connect an account',
  'message → answer about the account',
  'message → approval card',
  'approve → issue made',
] as const

interface Tour {
  readonly seconds: readonly number[]
  readonly firstPage: FirstPage
  /** The longest time the page did not react, in ms; 0 where no task took 50 ms. */
  readonly longestTask: number
}

interface FirstPage {
  /** Of JavaScript, as it went over the wire, and as gzip would make it. */
  readonly transferred: number
  readonly gzipped: number
}

export const benchmark: Benchmark = {
  name: 'tour',
  question:
    'A person arrives by the setup link, connects an account, asks, approves: how long does each leg take in a real browser with an empty cache?',
  async run({ quick, say: tell }) {
    installDebianPackages('chromium')
    const tours: Tour[] = []
    for (let round = 0; round < (quick ? 1 : 5); round++) {
      const tour = await walk()
      tell(legs.map((leg, index) => `${leg} ${tour.seconds[index]?.toFixed(2)} s`).join(', '))
      tours.push(tour)
    }
    const middle = (of: (tour: Tour) => number) => median(tours.map(of))
    const figures: Figure[] = legs.map((name, index) =>
      figure({ name, value: middle((tour) => tour.seconds[index] ?? Number.NaN), unit: 's' }),
    )
    return [
      ...figures,
      figure({
        name: 'the whole tour',
        value: middle((tour) => tour.seconds.reduce((sum, seconds) => sum + seconds, 0)),
        unit: 's',
      }),
      figure({
        name: 'JavaScript of the first page, transferred',
        value: middle((tour) => tour.firstPage.transferred / 1024),
        unit: 'KiB',
        against: {
          peer: 'the same files, gzip',
          value: middle((tour) => tour.firstPage.gzipped / 1024),
        },
        target: '<=1.05',
      }),
      figure({ name: 'longest task of the page', value: middle((tour) => tour.longestTask), unit: 'ms' }),
    ]
  },
}

/** A new installation and a new browser; the clock runs for what the person waits for. */
async function walk(): Promise<Tour> {
  await using atom = await AtomProcess.started({ ATOM_LOG_LEVEL: 'info' })
  await using browser = await openBrowser()
  const context = await browser.person()
  const page = await context.newPage()
  await observeLongTasks(page)
  const scripts = scriptsOf(page)
  const seconds: number[] = []
  const leg = async (work: () => Promise<void>) => {
    const began = performance.now()
    await work()
    seconds.push((performance.now() - began) / 1000)
  }

  await leg(async () => {
    await page.goto(atom.setupUrl, { waitUntil: 'commit' })
    await page.getByLabel('Your name').fill(ada.name)
  })
  await page.waitForLoadState('networkidle')
  const firstPage = await scripts.taken()
  await leg(async () => {
    await page.getByLabel('Your name').fill(ada.name)
    await page.getByLabel('Workspace').fill(ada.workspace)
    await page.getByLabel('E-mail').fill(ada.email)
    await page.getByLabel('Password', { exact: true }).fill(ada.password)
    await page.getByRole('button', { name: 'Create account' }).click()
    await page.getByRole('textbox', { name: /^Message / }).waitFor()
  })
  await leg(async () => {
    await page.getByRole('link', { name: 'Connections' }).click()
    const github = page.getByRole('listitem', { name: 'GitHub' })
    await consent(page, () => github.getByRole('button', { name: /sandbox/i }).click())
    await github.getByText('Active').waitFor()
  })
  await page.getByRole('link', { name: 'Rooms' }).first().click()
  await page.getByRole('textbox', { name: /^Message / }).waitFor()
  await leg(async () => {
    await say(page, 'show my open issues')
    await page
      .getByText(/17 open issues/)
      .first()
      .waitFor()
  })
  const card = page.getByRole('region', { name: /Approval needed: Create an issue/ })
  await leg(async () => {
    await say(page, 'create an issue called Fix the login page')
    await card.waitFor()
  })
  await leg(async () => {
    await card.getByRole('button', { name: /Approve/ }).click()
    await page
      .getByRole('link', { name: /#43 Fix the login page/ })
      .first()
      .waitFor()
  })
  return { seconds, firstPage, longestTask: await longestTask(page) }
}

/** What the page loads of JavaScript until `taken`. */
function scriptsOf(page: Page): { taken(): Promise<FirstPage> } {
  const sizes: Promise<FirstPage>[] = []
  page.on('response', (response) => {
    if (response.request().resourceType() !== 'script') return
    sizes.push(
      (async () => {
        await response.finished()
        const [{ responseBodySize }, body] = await Promise.all([response.request().sizes(), response.body()])
        return { transferred: responseBodySize, gzipped: gzipSync(body).length }
      })(),
    )
  })
  return {
    async taken() {
      const all = await Promise.all(sizes.splice(0))
      const sum = (of: (size: FirstPage) => number) => all.reduce((total, size) => total + of(size), 0)
      return { transferred: sum((size) => size.transferred), gzipped: sum((size) => size.gzipped) }
    },
  }
}

// In the page, as text: the types here are those of Node. Survives a new document in sessionStorage.
const observer = `new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) {
    const known = Number(sessionStorage.getItem('longest-task') ?? 0)
    if (duration > known) sessionStorage.setItem('longest-task', String(duration))
  }
}).observe({ type: 'longtask', buffered: true })`

async function observeLongTasks(page: Page): Promise<void> {
  await page.addInitScript({ content: observer })
}

async function longestTask(page: Page): Promise<number> {
  return Number(await page.evaluate(`sessionStorage.getItem('longest-task') ?? 0`))
}
