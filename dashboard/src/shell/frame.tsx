import { monitoringRoutes } from '@atom/contract/monitoring.ts'
import { Link, useNavigate } from '@tanstack/react-router'
import { Activity, Cable, MessagesSquare, Search, Settings } from 'lucide-react'
import { type ReactNode, useEffect, useState } from 'react'
import { usePolled } from '../operations/use-polled.ts'
import { DirectDialog } from '../rooms/direct-dialog.tsx'
import { NewRoomDialog } from '../rooms/new-room-dialog.tsx'
import { classNames } from '../ui/class-names.ts'
import { Key } from '../ui/key.tsx'
import { atom, isOperator, useMe, useObserved } from './atom.ts'
import { AtomMark } from './atom-mark.tsx'
import { CommandPalette } from './command-palette.tsx'
import { type FrameDialog, FrameDialogs } from './frame-dialogs.ts'
import { KeyList } from './key-list.tsx'
import { isWriting } from './keys.ts'
import { LiveLine } from './live-line.tsx'
import { PersonMenu } from './person-menu.tsx'
import { SignOut } from './sign-out.tsx'
import { useJustWritten } from './use-just-written.ts'

const alertsEveryMs = 15_000
/** Of so many it is looked whether one cannot wait. */
const mostAlerts = 50

/** Rail (a bar below on narrow screens), the live line, the page. */
export function Frame({ children }: { children: ReactNode }) {
  const [dialog, setDialog] = useState<FrameDialog>()
  const navigate = useNavigate()
  const close = () => setDialog(undefined)

  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault()
        setDialog((open) => (open === 'palette' ? undefined : 'palette'))
      } else if (event.key === '?' && !isWriting(event)) {
        event.preventDefault()
        setDialog('keys')
      }
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])

  return (
    <FrameDialogs value={setDialog}>
      <div className="group/frame relative flex h-dvh flex-col-reverse overflow-clip md:flex-row">
        <a
          href="#content"
          className="sr-only z-10 rounded-control bg-accent px-3 py-2 font-medium text-on-accent focus:not-sr-only focus:absolute focus:top-2 focus:left-2"
        >
          Skip to the page
        </a>
        <Rail onSearch={() => setDialog('palette')} />
        <div className="flex min-h-0 min-w-0 flex-1 flex-col">
          <LiveLine />
          <main id="content" tabIndex={-1} className="flex min-h-0 flex-1 flex-col outline-none">
            {children}
          </main>
        </div>
      </div>
      {dialog === 'palette' && <CommandPalette onClose={close} />}
      {dialog === 'sign-out' && <SignOut onClose={close} />}
      {dialog === 'keys' && <KeyList onClose={close} />}
      {dialog === 'new-room' && (
        <NewRoomDialog
          onClose={close}
          onCreated={(room) => {
            close()
            void navigate({ to: '/rooms/$roomId', params: { roomId: room.id } })
          }}
        />
      )}
      {dialog === 'new-direct' && (
        <DirectDialog
          onClose={close}
          onOpened={(room) => {
            close()
            void navigate({ to: '/rooms/$roomId', params: { roomId: room.id } })
          }}
        />
      )}
    </FrameDialogs>
  )
}

function Rail({ onSearch }: { onSearch: () => void }) {
  const me = useMe()
  const justWritten = useJustWritten()
  const rooms = useObserved(atom.rooms)
  const connections = useObserved(atom.connections)
  const unread = rooms.items.some((room) => (room.muted ? room.unreadMentions : room.unread) > 0)
  const broken = connections.items.some((connection) => connection.status !== 'active')
  return (
    <header
      className={classNames(
        'flex shrink-0 border-line bg-panel max-md:border-t max-md:pb-[env(safe-area-inset-bottom)]',
        'md:w-24 md:flex-col md:border-r md:px-1.5 md:py-3 xl:w-52 xl:px-3',
        // Room for the words while the touch keyboard is open.
        'max-md:pointer-coarse:group-has-[textarea:focus]/frame:hidden',
        justWritten && 'max-md:pointer-coarse:hidden',
      )}
    >
      <div className="hidden items-center gap-2 px-2 pb-4 font-semibold text-accent-text max-xl:justify-center md:flex">
        <AtomMark size={22} />
        <span className="text-text max-xl:sr-only">Atom</span>
      </div>
      <button
        type="button"
        onClick={onSearch}
        className="mb-3 hidden h-8 items-center gap-2 rounded-control border border-line bg-page px-2 text-sm text-quiet hover:bg-hover max-xl:justify-center md:flex pointer-coarse:h-11"
      >
        <Search size={16} aria-hidden />
        <span className="flex-1 text-left max-xl:sr-only">Go to…</span>
        <span className="max-xl:hidden">
          <Key>Ctrl K</Key>
        </span>
      </button>
      <nav aria-label="Atom" className="flex flex-1 gap-1 max-md:justify-around md:flex-col">
        <RailLink
          to="/rooms"
          icon={<MessagesSquare size={16} aria-hidden />}
          word="Rooms"
          dot={unread ? 'unread' : undefined}
        />
        <RailLink
          to="/connections"
          icon={<Cable size={16} aria-hidden />}
          word="Connections"
          dot={broken ? 'needs you' : undefined}
        />
        {isOperator(me) && <OperationsLink />}
        <RailLink to="/settings" icon={<Settings size={16} aria-hidden />} word="Settings" />
      </nav>
      <div className="hidden md:block">
        <PersonMenu />
      </div>
    </header>
  )
}

const askFiring = () => atom.call(monitoringRoutes.alerts, { query: { state: 'firing', limit: mostAlerts } })

/** On every page an operator sees that something is wrong, and that it cannot wait. */
function OperationsLink() {
  const { value } = usePolled(askFiring, alertsEveryMs)
  const alerts = value?.items ?? []
  const isUrgent = alerts.some(({ severity }) => severity === 'page')
  return (
    <RailLink
      to="/operations"
      icon={<Activity size={16} aria-hidden />}
      word="Operations"
      dot={
        alerts.length === 0
          ? undefined
          : isUrgent
            ? 'something is wrong that cannot wait'
            : 'something is wrong'
      }
      tone={isUrgent ? 'bg-bad-dot' : 'bg-warn-dot'}
    />
  )
}

function RailLink({
  to,
  icon,
  word,
  dot,
  tone = 'bg-accent',
}: {
  to: '/rooms' | '/connections' | '/operations' | '/settings'
  icon: ReactNode
  word: string
  /** What it says, in words. */
  dot?: string | undefined
  tone?: 'bg-accent' | 'bg-warn-dot' | 'bg-bad-dot'
}) {
  return (
    <Link
      to={to}
      className={classNames(
        'relative flex items-center rounded-control text-quiet transition-colors hover:bg-hover hover:text-text',
        'flex-col justify-center gap-0.5 py-1.5 text-xs max-md:min-h-14 max-md:flex-1 md:min-h-12',
        'xl:min-h-8 xl:flex-row xl:justify-start xl:gap-2.5 xl:px-2 xl:text-base',
      )}
      activeProps={{ className: 'bg-chosen !text-text font-medium', 'aria-current': 'page' }}
    >
      {icon}
      {word}
      {dot !== undefined && (
        <span
          className={classNames(
            'size-2 rounded-full max-xl:absolute max-xl:top-1.5 max-xl:left-[calc(50%+8px)] xl:ml-auto',
            tone,
          )}
        >
          <span className="sr-only">({dot})</span>
        </span>
      )}
    </Link>
  )
}
