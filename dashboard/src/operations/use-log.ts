import { type LogLine, logRoutes } from '@atom/contract/log.ts'
import { useCallback, useEffect, useRef, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { type LogWanted, openLogStream } from './follow-log.ts'

/** More is not kept while the log is followed: the oldest go. */
const mostLines = 2_000
const pageLines = 200
const againMs = 3_000
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
 * The last lines of the process that answers, and, followed, each one as it is written. After the stream was lost, both again.
 * @param wanted must keep its identity while it is the same
 */
export function useLog(wanted: LogWanted, follow: boolean) {
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
      const stream = follow ? await openLogStream(wanted, signal) : undefined
      const { node, items, next } = await atom.call(logRoutes.log, {
        query: { limit: pageLines, ...wanted },
        signal,
      })
      const lines = items.toReversed()
      const anew = isFirst
      isFirst = false
      setLog((before) =>
        anew || before === undefined || before.node !== node
          ? { node, lines, older: next }
          : { ...before, lines: joinedLines(before.lines, lines) },
      )
      setError(undefined)
      if (stream === undefined) return
      setLive(true)
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
        setLive(false)
        if (!follow) return
        await new Promise((resolve) => setTimeout(resolve, failed ? againMs : togetherMs))
      }
    }
    void goOn()
    return () => {
      ended.abort()
      clearTimeout(timer)
      setLive(false)
    }
  }, [wanted, follow, round])

  const again = useCallback(() => setRound((n) => n + 1), [])
  /** @throws AtomClientError as any call */
  const more = useCallback(async () => {
    const from = newest.current
    if (from === undefined || from.older === null) return
    const { node, items, next } = await atom.call(logRoutes.log, {
      query: { limit: pageLines, cursor: from.older, ...wanted },
    })
    setLog((before) =>
      before === undefined || before.node !== node
        ? before
        : { ...before, older: next, lines: joinedLines(items.toReversed(), before.lines) },
    )
  }, [wanted])
  return { log, error, live, again, more }
}

/** Both, by their numbers, each line once. */
export function joinedLines(some: readonly LogLine[], others: readonly LogLine[]): readonly LogLine[] {
  const byNumber = new Map([...some, ...others].map((line) => [line.number, line]))
  return [...byNumber.values()].sort((a, b) => a.number - b.number)
}
