import type { Room } from '@atom/contract/rooms.ts'
import { Link } from '@tanstack/react-router'
import { BellOff, MessageCirclePlus, MessagesSquare, Plus } from 'lucide-react'
import { memo, useEffect } from 'react'
import { atom, useMe, useObserved } from '../shell/atom.ts'
import { useFrameDialogs } from '../shell/frame-dialogs.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { Avatar } from '../ui/avatar.tsx'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { shortTime } from '../ui/clock-text.ts'
import { Empty } from '../ui/empty.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { useNow } from '../ui/time.tsx'
import { MemberMark } from './member-mark.tsx'
import { MessageLine } from './message-line.tsx'
import { usePresence } from './use-presence.ts'

/** Of the rooms that one socket may watch. */
const mostDots = 40
/** The socket tells of a room that I was added to; that word may be lost. */
const lookEveryMs = 5 * 60_000

/** My rooms: those I pinned, then groups, then direct ones, each the most recently active first. */
export function RoomList({ heading: Heading }: { heading: 'h1' | 'h2' }) {
  const { state, items, error } = useObserved(atom.rooms)
  const open = useFrameDialogs()
  const reload = () => void atom.rooms.list().catch(() => undefined)

  useEffect(() => {
    const look = () => {
      // A failure is shown by the list, which keeps what it had.
      if (document.visibilityState === 'visible') void atom.rooms.list().catch(() => undefined)
    }
    document.addEventListener('visibilitychange', look)
    const timer = setInterval(look, lookEveryMs)
    return () => {
      document.removeEventListener('visibilitychange', look)
      clearInterval(timer)
    }
  }, [])

  const pinned = items.filter((room) => room.pinned)
  const groups = items.filter((room) => !room.pinned && room.kind === 'group')
  const direct = items.filter((room) => !room.pinned && room.kind === 'direct')
  usePresence(directShown(items))
  return (
    <>
      <div className="flex h-12 shrink-0 items-center gap-1 pr-2 pl-4">
        <Heading className="flex-1 text-lg font-semibold">Rooms</Heading>
        <Button
          look="quiet"
          square
          aria-label="New direct message"
          title="New direct message"
          onClick={() => open('new-direct')}
        >
          <MessageCirclePlus size={16} aria-hidden />
        </Button>
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
        <Section title="Pinned" rooms={pinned} />
        <Section title="Groups" rooms={groups} titled={pinned.length > 0 || direct.length > 0} />
        <Section title="Direct messages" rooms={direct} />
      </nav>
    </>
  )
}

function Section({
  title,
  rooms,
  titled = true,
}: {
  title: string
  rooms: readonly Room[]
  titled?: boolean
}) {
  if (rooms.length === 0) return null
  return (
    <section aria-label={title} className="pb-2">
      {titled && <h3 className="px-2 pt-2 pb-1 text-xs font-medium text-quiet">{title}</h3>}
      <ul>
        {rooms.map((room) => (
          <li key={room.id}>
            <RoomLine room={room} />
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Drawn again only when it is about another state of its room: what is said in one is no work for all the others. */
const RoomLine = memo(function RoomLine({ room }: { room: Room }) {
  const me = useMe().account.id
  const now = useNow()
  const { rooms } = useObserved(atom.presence)
  const { unread, unreadMentions, muted, lastMessage } = room
  const bold = unread > 0 && !muted
  const other = room.kind === 'direct' ? room.members.find(({ id }) => id !== me) : undefined
  const spoke = lastMessage?.actor
  const by = spoke?.id === me ? 'You' : other === undefined && spoke ? firstWord(spoke.name) : undefined
  return (
    <Link
      to="/rooms/$roomId"
      params={{ roomId: room.id }}
      className={classNames(
        'flex items-center gap-2.5 rounded-control px-2 py-1.5 text-quiet hover:bg-hover hover:text-text pointer-coarse:min-h-11',
        // Dimmer by weight, never by contrast: it must stay readable.
        muted && 'italic',
      )}
      activeProps={{ className: 'bg-chosen !text-text', 'aria-current': 'page' }}
    >
      {other !== undefined && (
        <MemberMark
          kind={other.kind}
          name={room.name}
          size="small"
          state={rooms.get(room.id)?.get(other.id)}
        />
      )}
      {room.kind === 'group' && room.pinned && <Avatar name={room.name} size="small" />}
      <span className="grid min-w-0 flex-1 grid-cols-[minmax(0,1fr)]">
        <span className="flex items-baseline gap-2">
          <span
            dir="auto"
            className={classNames('min-w-0 flex-1 truncate text-left', bold && 'font-semibold text-text')}
          >
            {room.name}
          </span>
          {lastMessage !== undefined && (
            <time dateTime={lastMessage.at} className="shrink-0 text-xs tabular-nums">
              {shortTime(new Date(lastMessage.at), now)}
            </time>
          )}
        </span>
        {lastMessage !== undefined && (
          <span className="flex gap-1 text-xs">
            {by !== undefined && <span className="max-w-1/2 shrink-0 truncate">{by}:</span>}{' '}
            <span dir="auto" className="min-w-0 truncate text-left">
              <MessageLine message={lastMessage} />
            </span>
          </span>
        )}
      </span>
      {muted && (
        <>
          <BellOff size={12} aria-hidden className="shrink-0" />
          <span className="sr-only">(muted)</span>
        </>
      )}
      {unreadMentions > 0 ? (
        <span className="grid h-5 min-w-5 shrink-0 place-items-center rounded-full bg-accent px-1.5 text-xs font-semibold text-on-accent tabular-nums not-italic">
          {unreadMentions > 99 ? '99+' : unreadMentions}
          <span className="sr-only"> unread for you</span>
        </span>
      ) : (
        unread > 0 && (
          <span
            className={classNames(
              'grid h-5 min-w-5 shrink-0 place-items-center rounded-full px-1.5 text-xs tabular-nums not-italic',
              muted ? 'text-quiet' : 'bg-chosen font-semibold text-text',
            )}
          >
            {unread > 99 ? '99+' : unread}
            <span className="sr-only"> unread</span>
          </span>
        )
      )}
    </Link>
  )
})

/** Those whose dots are kept true: the most recently active ones; a group that is open is watched beside them. */
function directShown(items: readonly Room[]): readonly string[] {
  return items
    .filter(({ kind, members }) => kind === 'direct' && members.every((member) => member.kind === 'account'))
    .slice(0, mostDots)
    .map(({ id }) => id)
}

function firstWord(name: string): string {
  return name.split(/\s/, 1)[0] ?? name
}
