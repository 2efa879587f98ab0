import { Navigate, Outlet, useParams } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { classNames } from '../ui/class-names.ts'
import { RoomList } from './room-list.tsx'

const wide = matchMedia('(min-width: 48rem)')

/** The list of rooms and the one that is open; on narrow screens one of both. */
export function RoomsPage() {
  const { roomId } = useParams({ strict: false })
  return (
    <div className="flex min-h-0 flex-1">
      <div
        className={classNames(
          'min-h-0 w-full flex-col border-line md:flex md:w-64 md:shrink-0 md:border-r',
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
  return <Navigate to="/rooms/$roomId" params={{ roomId: first.id }} search={{}} replace />
}
