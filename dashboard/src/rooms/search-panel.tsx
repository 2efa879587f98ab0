import type { FoundMessage } from '@atom/contract/rooms.ts'
import { useNavigate } from '@tanstack/react-router'
import { Search } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useComeback } from '../shell/use-comeback.ts'
import { Button } from '../ui/button.tsx'
import { Empty } from '../ui/empty.tsx'
import { inputClass } from '../ui/text-field.tsx'
import { FoundRow } from './found-row.tsx'
import { useRoomView } from './room-context.ts'
import { RoomPanel } from './room-panel.tsx'

/** Shorter than a pause between two words, longer than between two keys. */
const typingPauseMs = 200
const perPage = 20

interface Result {
  readonly asked: string
  readonly items: readonly FoundMessage[]
  readonly next: string | null
}

/** Finds what was said while one types; each finding leads to its place. */
export function SearchPanel({ onClose }: { onClose: () => void }) {
  const { room, goTo } = useRoomView()
  const { items: rooms } = useObserved(atom.rooms)
  const navigate = useNavigate()
  const [query, setQuery] = useState('')
  const [everywhere, setEverywhere] = useState(false)
  const [result, setResult] = useState<Result>()
  const [problem, setProblem] = useState<unknown>()
  const [round, setRound] = useState(0)
  const wanted = query.trim()
  const question = `${everywhere} ${wanted}`
  const newest = useRef(question)
  newest.current = question

  const roomId = everywhere ? undefined : room.id
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new round asks the same question again.
  useEffect(() => {
    if (wanted === '') {
      setResult(undefined)
      setProblem(undefined)
      return undefined
    }
    let current = true
    const timer = setTimeout(() => {
      find(wanted, roomId).then(
        (found) => {
          if (!current) return
          setProblem(undefined)
          setResult({ asked: question, ...found })
        },
        (thrown: unknown) => current && setProblem(thrown),
      )
    }, typingPauseMs)
    return () => {
      current = false
      clearTimeout(timer)
    }
  }, [wanted, roomId, round])

  useComeback(() => problem !== undefined && setRound((n) => n + 1))

  function more(from: Result): void {
    if (from.next === null) return
    find(wanted, roomId, from.next).then(
      (found) => {
        if (newest.current === from.asked)
          setResult({ ...found, asked: from.asked, items: [...from.items, ...found.items] })
      },
      (thrown: unknown) => setProblem(thrown),
    )
  }

  function open(found: FoundMessage): void {
    const { seq } = found.message
    if (found.roomId === room.id) goTo(seq)
    else {
      void navigate({
        to: '/rooms/$roomId',
        params: { roomId: found.roomId },
        search: { at: seq, panel: 'search' },
      })
    }
  }

  return (
    <RoomPanel title="Search" onClose={onClose}>
      <div className="grid gap-2 border-b border-line p-3">
        <input
          type="search"
          aria-label="Search messages"
          placeholder='Words, "a phrase", -without'
          maxLength={200}
          value={query}
          onChange={(event) => setQuery(event.target.value)}
          className={`${inputClass} h-9 pointer-coarse:h-11`}
        />
        <label className="flex items-center gap-2 text-sm pointer-coarse:min-h-11">
          <input
            type="checkbox"
            checked={everywhere}
            onChange={(event) => setEverywhere(event.target.checked)}
          />
          In all my rooms
        </label>
      </div>
      <div className="min-h-0 flex-1 overflow-y-auto p-2">
        {problem !== undefined && <ProblemNotice error={problem} onRetry={() => setRound((n) => n + 1)} />}
        {wanted === '' && (
          <Empty icon={<Search size={24} aria-hidden />}>
            Find what was said, from the first letters on.
          </Empty>
        )}
        {result !== undefined && wanted !== '' && (
          <>
            <p role="status" className="px-2 pb-1 text-xs text-quiet">
              {result.items.length === 0
                ? 'Nothing was found. Try fewer words, or all your rooms.'
                : `${result.items.length}${result.next === null ? '' : '+'} found, the newest first`}
            </p>
            <ul className="grid gap-1">
              {result.items.map((found) => (
                <li key={`${found.roomId} ${found.message.seq}`}>
                  <FoundRow
                    author={found.message.actor}
                    at={found.message.at}
                    where={
                      everywhere ? (rooms.find(({ id }) => id === found.roomId)?.name ?? 'a room') : undefined
                    }
                    onOpen={() => open(found)}
                  >
                    <Excerpt found={found} />
                  </FoundRow>
                </li>
              ))}
            </ul>
            {result.next !== null && (
              <div className="grid justify-center p-2">
                <Button look="quiet" onClick={() => more(result)}>
                  Show more
                </Button>
              </div>
            )}
          </>
        )}
      </div>
    </RoomPanel>
  )
}

function find(q: string, roomId: string | undefined, cursor?: string): Promise<Omit<Result, 'asked'>> {
  return atom.rooms.search(q, {
    order: 'newest',
    limit: perPage,
    ...(roomId === undefined ? {} : { roomId }),
    ...(cursor === undefined ? {} : { cursor }),
  })
}

/** The words around what was found, the found ones marked. */
function Excerpt({ found: { excerpt, matches } }: { found: FoundMessage }) {
  let from = 0
  return (
    <>
      {matches.map(({ start, end }) => {
        const before = excerpt.slice(from, start)
        from = end
        return (
          <span key={start}>
            {before}
            <mark className="rounded bg-accent-wash font-medium text-accent-text">
              {excerpt.slice(start, end)}
            </mark>
          </span>
        )
      })}
      {excerpt.slice(from)}
    </>
  )
}
