import type { RoomSnapshot } from '@atom/client'
import { ArrowDown } from 'lucide-react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { Virtuoso, type VirtuosoHandle } from 'react-virtuoso'
import { ProblemNotice } from '../shell/problem.tsx'
import { useComeback } from '../shell/use-comeback.ts'
import { Bar } from '../ui/skeleton.tsx'
import { useRoomView } from './room-context.ts'
import { RowView } from './row.tsx'
import { firstAfter, rowsPutBefore } from './row-places.ts'
import { type Row, rowOfSeq } from './timeline.ts'

/** Rows may be put before the first one as long as its index stays positive. */
const startIndex = 10_000_000
/** This near to the end is at the end. */
const endPx = 24
/**
 * So many rows stay below what is in view when older ones are loaded. For each page that is put before, the list does work
 * that grows with the square of what it has measured.
 */
const keptBelow = 400

interface ListContext {
  readonly hasOlder: boolean
  readonly hasNewer: boolean
  /** Why the page before, and the one after, did not come. */
  readonly older: unknown
  readonly newer: unknown
  readonly loadOlder: () => void
  readonly loadNewer: () => void
}

const parts = { Header: ListHead, Footer: ListFoot }

/**
 * The timeline, of any length. It stays at the end only when it was there: growing text and new rows then pull it along;
 * a person who has scrolled up reads on undisturbed, and a pill says what came.
 */
export function MessageList({
  snapshot,
  rows: all,
  name,
  endWanted,
  start,
  hasOlder,
  hasNewer,
  readHeld,
  onNewest,
}: {
  snapshot: RoomSnapshot
  rows: readonly Row[]
  name: string
  /** Rises when the list must go to the end: the person has sent something. */
  endWanted: number
  /** Where reading begins: at a message that was gone to, at what is unread, or (absent) at the end. */
  start: { readonly seq: number; readonly align: 'center' | 'start' } | undefined
  hasOlder: boolean
  /** What is shown ends before the newest message. */
  hasNewer: boolean
  /** Being at the end does not count as reading: the person wants this unread. */
  readHeld: boolean
  /** Leaves the middle of the history. */
  onNewest: () => void
}) {
  const { room, me } = useRoomView()
  const { events } = snapshot
  /** The last place that is in the list while reading far up; all of them are where there is none. */
  const [cut, setCut] = useState<number>()
  const rows = useMemo(() => (cut === undefined ? all : all.slice(0, firstAfter(all, cut))), [all, cut])
  const lastDrawn = useRef(Number.POSITIVE_INFINITY)
  const list = useRef<VirtuosoHandle>(null)
  const scroller = useRef<HTMLElement>(undefined)
  const held = useRef(start === undefined && !hasNewer)
  const [startIndexIn] = useState(() => {
    const at = start === undefined ? -1 : rowOfSeq(rows, start.seq)
    return at < 0 || start === undefined
      ? { index: 'LAST' as const, align: 'end' as const }
      : { index: start.align === 'start' ? Math.max(0, at - 1) : at, align: start.align }
  })
  const [leftAt, setLeftAt] = useState(() => (held.current ? undefined : (events.at(-1)?.seq ?? 0)))
  const [older, setOlder] = useState<unknown>()
  const [newer, setNewer] = useState<unknown>()
  const firstIndex = useFirstIndex(rows)
  const newest = events.at(-1)?.seq ?? 0
  const endsEarly = hasNewer || rows.length < all.length
  const apart = useRef(endsEarly)
  apart.current = endsEarly
  const silent = useRef(readHeld)
  silent.current = readHeld
  const onNewestNow = useRef(onNewest)
  onNewestNow.current = onNewest

  const goToEnd = useCallback(() => {
    if (apart.current) {
      onNewestNow.current()
      return
    }
    held.current = true
    setLeftAt(undefined)
    list.current?.scrollToIndex({ index: 'LAST', align: 'end' })
    holdEnd(scroller.current, held)
  }, [])

  // Reading is being at the end of a page that is looked at.
  useEffect(() => {
    function read() {
      if (silent.current || apart.current) return
      if (held.current && document.visibilityState === 'visible' && newest > 0) room.markRead(newest)
    }
    read()
    document.addEventListener('visibilitychange', read)
    return () => document.removeEventListener('visibilitychange', read)
  }, [newest, room])

  useEffect(() => {
    if (endWanted > 0) goToEnd()
  }, [endWanted, goToEnd])

  const lastTop = useRef(0)
  const seen = useRef(newest)
  seen.current = newest
  const attach = useCallback(
    (element: HTMLElement | Window | null) => {
      if (!(element instanceof HTMLElement)) {
        scroller.current = undefined
        return
      }
      scroller.current = element
      const isMoved = noteHands(element)
      element.addEventListener('keydown', (event) => {
        if (event.key !== 'End' || !apart.current) return
        // The end of what is in the list is not the newest.
        event.preventDefault()
        goToEnd()
      })
      element.addEventListener(
        'scroll',
        () => {
          const fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight
          if (fromEnd <= endPx) {
            // The end of a stretch is not the end of the room.
            if (apart.current) return
            if (!held.current && !silent.current) room.markRead(seen.current)
            held.current = true
            setLeftAt(undefined)
          } else if (held.current && element.scrollTop < lastTop.current - 1) {
            // The list moves its top too, when rows turn out lower than they were thought to be. That is no wish to leave.
            if (isMoved()) {
              held.current = false
              setLeftAt(seen.current)
            } else holdEnd(element, held)
          }
          lastTop.current = element.scrollTop
        },
        { passive: true },
      )
    },
    [room, goToEnd],
  )

  const listed = useRef({ rows, firstIndex })
  listed.current = { rows, firstIndex }
  const loadOlder = useCallback(() => {
    setOlder(undefined)
    const { rows, firstIndex } = listed.current
    const last = rows[lastDrawn.current - firstIndex + keptBelow]
    if (last !== undefined && last.seq !== Number.POSITIVE_INFINITY) setCut(last.seq)
    room.loadOlder().catch((error: unknown) => setOlder(error))
  }, [room])

  // A page may hold no row of its own, as reactions and edits do: then the list never comes to another start.
  const [firstHeld, firstRow] = [(snapshot.stretch?.events ?? events)[0]?.seq, rows[0]?.key]
  const reachedAt = useRef<string>(undefined)
  useEffect(() => {
    if (firstHeld !== undefined && hasOlder && firstRow === reachedAt.current) loadOlder()
  }, [firstHeld, hasOlder, firstRow, loadOlder])

  const onHeight = useCallback(() => {
    holdEnd(scroller.current, held)
    // Where everything fits, nothing scrolls, and the end is in sight wherever reading began.
    requestAnimationFrame(() => {
      const element = scroller.current
      if (element === undefined || held.current || apart.current) return
      if (element.scrollHeight - element.clientHeight > endPx) return
      held.current = true
      setLeftAt(undefined)
      if (!silent.current && document.visibilityState === 'visible') room.markRead(seen.current)
    })
  }, [room])

  const loadNewer = useCallback(() => {
    setNewer(undefined)
    room.loadNewer().catch((error: unknown) => setNewer(error))
  }, [room])

  useComeback(() => {
    if (older !== undefined) loadOlder()
    if (newer !== undefined) loadNewer()
  })

  // Nor does the end come twice, where a page has brought nothing to stand there.
  const lastHeld = snapshot.stretch?.events.at(-1)?.seq
  const lastRow = rows.at(-1)?.key
  const endedAt = useRef<string>(undefined)
  useEffect(() => {
    if (lastHeld !== undefined && hasNewer && lastRow === endedAt.current) loadNewer()
  }, [lastHeld, hasNewer, lastRow, loadNewer])

  const news = leftAt === undefined ? 0 : countNews(snapshot, leftAt, me)
  return (
    <div className="relative min-h-0 flex-1">
      <Virtuoso<Row, ListContext>
        ref={list}
        scrollerRef={attach}
        role="log"
        aria-live="off"
        aria-label={`Messages in ${name}`}
        className="h-full [overflow-anchor:none]"
        data={rows}
        context={{ hasOlder, hasNewer: endsEarly, older, newer, loadOlder, loadNewer }}
        components={parts}
        computeItemKey={(_, row) => row.key}
        itemContent={(_, row) => <RowView row={row} />}
        firstItemIndex={firstIndex}
        initialTopMostItemIndex={startIndexIn}
        alignToBottom
        increaseViewportBy={{ top: 800, bottom: 400 }}
        startReached={() => {
          reachedAt.current = firstRow
          if (hasOlder && older === undefined) loadOlder()
        }}
        endReached={() => {
          if (rows.length < all.length) setCut(all[rows.length + keptBelow]?.seq)
          else if (hasNewer && newer === undefined) {
            endedAt.current = lastRow
            loadNewer()
          }
        }}
        rangeChanged={({ endIndex }) => {
          lastDrawn.current = endIndex
        }}
        totalListHeightChanged={onHeight}
        followOutput={() => (held.current ? 'auto' : false)}
      />
      {(leftAt !== undefined || endsEarly) && (
        <button
          type="button"
          onClick={goToEnd}
          className="absolute bottom-3 left-1/2 flex h-8 -translate-x-1/2 items-center gap-1.5 rounded-full border border-edge bg-page px-3 text-sm font-medium shadow-float hover:bg-hover pointer-coarse:h-11"
        >
          <ArrowDown size={14} aria-hidden />
          {news > 0 ? `${news > 99 ? '99+' : news} new` : 'To the newest'}
        </button>
      )}
    </div>
  )
}

/** Longer than from a turn of the wheel to its first scroll event on a busy page. */
const handMs = 1_000

/** Whether a person's hand is on the list: wheel, finger, scroll bar, or a key. */
function noteHands(element: HTMLElement): () => boolean {
  let last = Number.NEGATIVE_INFINITY
  let isDown = false
  const moved = () => {
    last = performance.now()
  }
  for (const kind of ['wheel', 'touchmove', 'keydown'] as const) {
    element.addEventListener(kind, moved, { passive: true })
  }
  element.addEventListener('pointerdown', () => {
    isDown = true
    const up = () => {
      isDown = false
      moved()
      for (const kind of ['pointerup', 'pointercancel'] as const) window.removeEventListener(kind, up)
    }
    for (const kind of ['pointerup', 'pointercancel'] as const) window.addEventListener(kind, up)
  })
  return () => isDown || performance.now() - last < handMs
}

function holdEnd(element: HTMLElement | undefined, held: { readonly current: boolean }): void {
  if (element === undefined) return
  requestAnimationFrame(() => {
    if (held.current) element.scrollTop = element.scrollHeight
  })
}

function useFirstIndex(rows: readonly Row[]): number {
  // Kept during rendering, because the list needs index and rows of the same moment; the same rows give the same index.
  const kept = useRef({ rows, first: startIndex })
  if (kept.current.rows !== rows) {
    kept.current = { rows, first: kept.current.first - rowsPutBefore(kept.current.rows, rows) }
  }
  return kept.current.first
}

/** What came since, that a person would read: words of others, answers, and requests to decide. */
function countNews({ events }: RoomSnapshot, since: number, me: string): number {
  let count = 0
  for (let at = events.length - 1; at >= 0; at -= 1) {
    const event = events[at]
    if (event === undefined || event.seq <= since) break
    if (event.type === 'message.final' || event.type === 'approval.requested') count += 1
    if (event.type === 'message.created' && event.actor.id !== me) count += 1
  }
  return count
}

function ListHead({ context }: { context?: ListContext }) {
  if (context?.older !== undefined) {
    return (
      <div className="mx-auto max-w-[45rem] p-4">
        <ProblemNotice error={context.older} onRetry={context.loadOlder} />
      </div>
    )
  }
  if (context?.hasOlder !== true) return <div className="h-4" />
  return (
    <div aria-hidden className="mx-auto grid max-w-[45rem] gap-3 p-4 pl-[3.75rem]">
      <Bar className="h-4 w-1/4" />
      <Bar className="h-4 w-3/5" />
    </div>
  )
}

function ListFoot({ context }: { context?: ListContext }) {
  if (context?.hasNewer !== true) return <div className="h-6" />
  if (context.newer !== undefined) {
    return (
      // Above the button that stands over the end.
      <div className="mx-auto max-w-[45rem] p-4 pb-14">
        <ProblemNotice error={context.newer} onRetry={context.loadNewer} />
      </div>
    )
  }
  return (
    <div aria-hidden className="mx-auto grid max-w-[45rem] gap-3 p-4 pl-[3.75rem]">
      <Bar className="h-4 w-1/4" />
      <Bar className="h-4 w-3/5" />
    </div>
  )
}
