import { type LogLine, logRoutes } from '@atom/contract/log.ts'
import { useCallback, useEffect, useRef, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { type LogWanted, openLogStream } from './follow-log.ts'

/** More is not kept while the log is followed: the oldest go. */
const mostLines = 2_000
const pageLines = 200
const againMs = 3_000
/** Another process than the one that answers is asked again and again: its lines do not come by themselves. */
const askMs = 2_000
/** So far back it is looked for lines that were written between two questions. */
const mostPages = 10
/** Lines that come within this time are shown together. */
const togetherMs = 100

interface Log {
  /** Oldest first. */
  readonly lines: readonly LogLine[]
  readonly node: string
  /** From where older lines are asked for; null where there are none. */
  readonly older: string | null
}

/**
 * The last lines of a process, and, followed, each one as it is written. After the stream was lost, both again.
 * @param wanted must keep its identity while it is the same
 * @param asked the process, by its name; the one that answers where absent
 */
export function useLog(wanted: LogWanted, follow: boolean, asked: string | undefined) {
  const [log, setLog] = useState<Log>()
  const [error, setError] = useState<unknown>(undefined)
  const [live, setLive] = useState(false)
  const [round, setRound] = useState(0)
  const newest = useRef(log)
  newest.current = log

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new round asks the same again.
  useEffect(() => {
    const ended = new AbortController()
    const { signal } = ended
    let waiting: LogLine[] = []
    let timer: ReturnType<typeof setTimeout> | undefined
    let isFirst = true
    function show() {
      timer = undefined
      const came = waiting
      waiting = []
      setLog((before) => before && { ...before, lines: joinedLines(before.lines, came).slice(-mostLines) })
    }
    async function once() {
      // The stream first: what is written while the last lines are on their way must not be missed.
      const stream = follow && asked === undefined ? await openLogStream(wanted, signal) : undefined
      const page = (cursor?: string) =>
        atom.call(logRoutes.log, { query: queryOf(wanted, asked, cursor), signal })
      const { node, items, next } = await page()
      const anew = isFirst
      const known = anew || newest.current?.node !== node ? undefined : newest.current.lines.at(-1)?.number
      const found = [...items]
      let cursor = next
      for (let pages = 1; known !== undefined && cursor !== null && pages < mostPages; pages++) {
        if ((found.at(-1)?.number ?? 0) <= known) break
        const older = await page(cursor)
        found.push(...older.items)
        cursor = older.next
      }
      const lines = found.toReversed()
      isFirst = false
      setLog((before) =>
        anew || before === undefined || before.node !== node
          ? { node, lines, older: next }
          : { ...before, lines: joinedLines(before.lines, lines).slice(follow ? -mostLines : 0) },
      )
      setError(undefined)
      setLive(follow)
      if (stream === undefined) return
      await stream.read((line) => {
        waiting.push(line)
        timer ??= setTimeout(show, togetherMs)
      })
    }
    async function goOn() {
      while (!signal.aborted) {
        let failed = false
        try {
          await once()
        } catch (thrown) {
          if (signal.aborted) return
          failed = true
          setError(thrown)
        }
        if (failed || asked === undefined) setLive(false)
        if (!follow) return
        const pauseMs = failed ? againMs : asked === undefined ? togetherMs : askMs
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
      }
    }
    void goOn()
    return () => {
      ended.abort()
      clearTimeout(timer)
      setLive(false)
    }
  }, [wanted, follow, asked, round])

  const again = useCallback(() => setRound((n) => n + 1), [])
  /** @throws AtomClientError as any call */
  const more = useCallback(async () => {
    const from = newest.current
    if (from === undefined || from.older === null) return
    const { node, items, next } = await atom.call(logRoutes.log, {
      query: queryOf(wanted, asked, from.older),
    })
    setLog((before) =>
      before === undefined || before.node !== node
        ? before
        : { ...before, older: next, lines: joinedLines(items.toReversed(), before.lines) },
    )
  }, [wanted, asked])
  return { log, error, live, again, more }
}

function queryOf(wanted: LogWanted, node: string | undefined, cursor: string | undefined) {
  return {
    limit: pageLines,
    ...wanted,
    ...(node !== undefined && { node }),
    ...(cursor !== undefined && { cursor }),
  }
}

/** Both, by their numbers, each line once. */
export function joinedLines(some: readonly LogLine[], others: readonly LogLine[]): readonly LogLine[] {
  const byNumber = new Map([...some, ...others].map((line) => [line.number, line]))
  return [...byNumber.values()].sort((a, b) => a.number - b.number)
}
