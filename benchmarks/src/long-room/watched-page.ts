import type { CDPSession, Page } from 'playwright-core'

// What runs in the page is text: the types here are those of Node.

/** Notes, from the document's first moment on, frames, long tasks, and when what was asked for was painted. */
const watch = `(() => {
  const seen = { frames: [], tasks: [], keys: [] }
  let last = 0
  requestAnimationFrame(function frame(now) {
    if (last > 0) seen.frames.push(now - last)
    last = now
    requestAnimationFrame(frame)
  })
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) seen.tasks.push(duration)
  }).observe({ type: 'longtask', buffered: true })
  // A message from a channel comes after the frame that it was posted in has been handed on.
  const painted = (then) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => then(performance.now())
    port2.postMessage(0)
  })
  addEventListener('keydown', ({ timeStamp }) => painted((now) => seen.keys.push(now - timeStamp)), true)
  const shows = (words) => {
    const log = document.querySelector('[role=log]')
    if (log === null) return false
    const { top, bottom } = log.getBoundingClientRect()
    return [...log.querySelectorAll('article')].some((article) => {
      const box = article.getBoundingClientRect()
      return box.bottom > top && box.top < bottom && article.textContent.includes(words)
    })
  }
  globalThis.watched = {
    take() {
      const taken = { frames: seen.frames.splice(0), tasks: seen.tasks.splice(0), keys: seen.keys.splice(0) }
      last = 0
      return taken
    },
    shown: (words) => new Promise((resolve) => {
      requestAnimationFrame(function look() {
        if (shows(words)) painted(resolve)
        else requestAnimationFrame(look)
      })
    }),
    pressed: new Promise((resolve) => {
      globalThis.watchPress = () => addEventListener('pointerdown', ({ timeStamp }) => resolve(timeStamp), { capture: true, once: true })
    }),
  }
})()`

/** All in milliseconds. */
export interface Taken {
  readonly frames: readonly number[]
  /** Those of 50 and more. */
  readonly tasks: readonly number[]
  /** From a key's press to the frame that shows it. */
  readonly keys: readonly number[]
}

/** A page whose smoothness is watched from inside, and whose work and memory are read from outside. */
export class WatchedPage {
  readonly page: Page
  readonly #inspector: CDPSession

  private constructor(page: Page, inspector: CDPSession) {
    this.page = page
    this.#inspector = inspector
  }

  static async of(page: Page): Promise<WatchedPage> {
    await page.addInitScript({ content: watch })
    const inspector = await page.context().newCDPSession(page)
    await inspector.send('Performance.enable')
    return new WatchedPage(page, inspector)
  }

  /** From navigation until a message with these words stands painted in the view, in ms. */
  async open(path: string, words: string): Promise<number> {
    await this.page.goto(path, { waitUntil: 'commit' })
    return await this.#shown(words)
  }

  /** What was noted since it was last taken. */
  async take(): Promise<Taken> {
    return (await this.page.evaluate('watched.take()')) as Taken
  }

  /** From the press of what `press` presses until these words stand painted in the view, in ms. */
  async pressUntil(press: () => Promise<void>, words: string): Promise<number> {
    await this.page.evaluate('watchPress()')
    await press()
    const shown = await this.#shown(words)
    return shown - Number(await this.page.evaluate('watched.pressed'))
  }

  /** What the main thread did while `work` went on, in ms. */
  async busy(work: () => Promise<void>): Promise<number> {
    const before = await this.#taskMs()
    await work()
    return (await this.#taskMs()) - before
  }

  /** What is held after everything that nobody holds was let go. */
  async held(): Promise<{ readonly heapBytes: number; readonly nodes: number }> {
    for (let round = 0; round < 3; round++) await this.#inspector.send('HeapProfiler.collectGarbage')
    const { usedSize } = await this.#inspector.send('Runtime.getHeapUsage')
    const { nodes } = await this.#inspector.send('Memory.getDOMCounters')
    return { heapBytes: usedSize, nodes }
  }

  async #shown(words: string): Promise<number> {
    return Number(await this.page.evaluate(`watched.shown(${JSON.stringify(words)})`))
  }

  async #taskMs(): Promise<number> {
    const { metrics } = await this.#inspector.send('Performance.getMetrics')
    return (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN) * 1_000
  }
}
