import { Link, Navigate, Outlet, useParams } from '@tanstack/react-router'
import { MessagesSquare, Plus } from 'lucide-react'
import { useEffect, useState } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { useFrameDialogs } from '../shell/frame-dialogs.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { Empty } from '../ui/empty.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'

const wide = matchMedia('(min-width: 48rem)')

/** The list of rooms and the one that is open; on narrow screens one of both. */
export function RoomsPage() {
  const { roomId } = useParams({ strict: false })
  return (
    <div className="flex min-h-0 flex-1">
      <div
        className={classNames(
          'min-h-0 w-full flex-col border-line md:flex md:w-60 md:shrink-0 md:border-r',
          roomId === undefined ? 'flex' : 'hidden',
        )}
      >
        <RoomList heading={roomId === undefined ? 'h1' : 'h2'} />
      </div>
      <div
        className={classNames(
          'min-h-0 min-w-0 flex-1 flex-col md:flex',
          roomId === undefined ? 'hidden' : 'flex',
        )}
      >
        <Outlet />
      </div>
    </div>
  )
}

/** Where there is space for both, the most recent room is open already. */
export function NoRoomChosen() {
  const { items } = useObserved(atom.rooms)
  const [isWide, setIsWide] = useState(wide.matches)
  useEffect(() => {
    const listen = () => setIsWide(wide.matches)
    wide.addEventListener('change', listen)
    document.title = 'Rooms · Atom'
    return () => wide.removeEventListener('change', listen)
  }, [])
  const first = items[0]
  if (!isWide || first === undefined) return null
  return <Navigate to="/rooms/$roomId" params={{ roomId: first.id }} replace />
}

function RoomList({ heading: Heading }: { heading: 'h1' | 'h2' }) {
  const { state, items, error } = useObserved(atom.rooms)
  const open = useFrameDialogs()
  const reload = () => void atom.rooms.list().catch(() => undefined)

  // Other rooms speak only through this list: it is asked for again when the person comes back to it.
  useEffect(() => {
    const onVisible = () => {
      if (document.visibilityState === 'visible') void atom.rooms.list().catch(() => undefined)
    }
    document.addEventListener('visibilitychange', onVisible)
    return () => document.removeEventListener('visibilitychange', onVisible)
  }, [])

  return (
    <>
      <div className="flex h-12 shrink-0 items-center justify-between pr-2 pl-4">
        <Heading className="text-lg font-semibold">Rooms</Heading>
        <Button look="quiet" square aria-label="New room" title="New room" onClick={() => open('new-room')}>
          <Plus size={16} aria-hidden />
        </Button>
      </div>
      <nav aria-label="Rooms" className="min-h-0 flex-1 overflow-y-auto px-2 pb-4">
        {state === 'failed' && items.length === 0 && (
          <div className="p-2">
            <ProblemNotice error={error} onRetry={reload} />
          </div>
        )}
        {state === 'loading' && items.length === 0 && (
          <div className="p-2">
            <Loading of="the rooms">
              <div className="grid gap-3.5 pt-1">
                <Bar className="h-5 w-4/5" />
                <Bar className="h-5 w-3/5" />
                <Bar className="h-5 w-2/3" />
              </div>
            </Loading>
          </div>
        )}
        {state === 'ready' && items.length === 0 && (
          <Empty
            icon={<MessagesSquare size={24} aria-hidden />}
            action={
              <Button look="primary" onClick={() => open('new-room')}>
                New room
              </Button>
            }
          >
            Rooms are where you talk with people and agents.
          </Empty>
        )}
        <ul>
          {items.map((room) => {
            const unread = room.head > room.readSeq
            return (
              <li key={room.id}>
                <Link
                  to="/rooms/$roomId"
                  params={{ roomId: room.id }}
                  className="flex h-8 items-center gap-2 rounded-control px-2 text-quiet hover:bg-hover hover:text-text max-md:h-11 pointer-coarse:h-11"
                  activeProps={{ className: 'bg-chosen !text-text', 'aria-current': 'page' }}
                >
                  <span
                    className={classNames('min-w-0 flex-1 truncate', unread && 'font-semibold text-text')}
                  >
                    {room.name}
                  </span>
                  {unread && (
                    <span className="size-2 shrink-0 rounded-full bg-accent">
                      <span className="sr-only">(unread)</span>
                    </span>
                  )}
                </Link>
              </li>
            )
          })}
        </ul>
      </nav>
    </>
  )
}
