import type { Room } from '@atom/client'
import { limits, type Room as RoomDescription } from '@atom/contract/rooms.ts'
import { Link, useNavigate } from '@tanstack/react-router'
import {
  ArrowLeft,
  Bell,
  BellOff,
  Ellipsis,
  LogOut,
  Pencil,
  Pin,
  Search,
  Star,
  StarOff,
  Trash2,
  Users,
} from 'lucide-react'
import { DropdownMenu } from 'radix-ui'
import { type FormEvent, useEffect, useRef, useState } from 'react'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { menuItem, menuPanel } from '../ui/menu.ts'
import { inputClass } from '../ui/text-field.tsx'
import { ConfirmDialog } from './confirm-dialog.tsx'
import { MemberMark } from './member-mark.tsx'
import { usePresence } from './use-presence.ts'

export type Panel = 'pins' | 'search'

interface RoomHeaderProps {
  room: Room
  name: string
  /** Absent while it is not known, or when the room is closed. */
  description: RoomDescription | undefined
  pins: number
  panel: Panel | undefined
  onPanel: (panel: Panel | undefined) => void
  onMembers: () => void
  me: string
  attempt: (work: Promise<unknown>) => void
}

/** The name of the room and what can be done with the room as a whole. */
export function RoomHeader(props: RoomHeaderProps) {
  const { name, description, panel, onPanel } = props
  const [naming, setNaming] = useState<'now' | 'over'>()
  return (
    <header className="flex h-12 shrink-0 items-center gap-1 border-b border-line px-4">
      <Link
        to="/rooms"
        className="-ml-2 grid size-8 shrink-0 place-items-center rounded-control text-quiet hover:bg-hover md:hidden pointer-coarse:size-11"
        aria-label="All rooms"
      >
        <ArrowLeft size={16} aria-hidden />
      </Link>
      {description?.kind === 'direct' && <OtherMark room={description} me={props.me} />}
      {naming === 'now' ? (
        <NameForm room={props.room} name={name} onDone={() => setNaming('over')} />
      ) : (
        <h1 dir="auto" className="min-w-0 flex-1 truncate text-left text-lg font-semibold">
          {name}
        </h1>
      )}
      {description !== undefined && naming !== 'now' && (
        <>
          <button
            type="button"
            onClick={props.onMembers}
            className="flex h-8 shrink-0 items-center gap-1.5 rounded-control px-2 text-sm text-quiet hover:bg-hover hover:text-text pointer-coarse:h-11"
          >
            <Users size={16} aria-hidden />
            <span className="tabular-nums">{description.members.length}</span>{' '}
            <span className="sr-only sm:not-sr-only">
              {description.members.length === 1 ? 'member' : 'members'}
            </span>
          </button>
          <button
            type="button"
            aria-label={`Pinned messages${props.pins > 0 ? `, ${props.pins}` : ''}`}
            title="Pinned messages"
            aria-pressed={panel === 'pins'}
            onClick={() => onPanel(panel === 'pins' ? undefined : 'pins')}
            className={classNames(headerButton, 'max-sm:hidden')}
          >
            <Pin size={16} aria-hidden />
            {props.pins > 0 && <span className="text-sm tabular-nums">{props.pins}</span>}
          </button>
          <button
            type="button"
            aria-label="Search messages here"
            title="Search"
            aria-pressed={panel === 'search'}
            onClick={() => onPanel(panel === 'search' ? undefined : 'search')}
            className={headerButton}
          >
            <Search size={16} aria-hidden />
          </button>
          <RoomMenu
            {...props}
            description={description}
            onRename={() => setNaming('now')}
            renamed={naming === 'over'}
          />
        </>
      )}
    </header>
  )
}

const headerButton =
  'flex h-8 min-w-8 shrink-0 items-center justify-center gap-1 rounded-control px-1.5 text-quiet hover:bg-hover hover:text-text aria-pressed:bg-chosen aria-pressed:text-text pointer-coarse:h-11 pointer-coarse:min-w-11'

/** The one that I talk with, and whether they are there. */
function OtherMark({ room: { id, name, members }, me }: { room: RoomDescription; me: string }) {
  const other = members.find((member) => member.id !== me)
  const kind = other?.kind ?? 'account'
  const present = usePresence(kind === 'account' ? [id] : []).get(id)
  const state = other === undefined ? undefined : present?.get(other.id)
  return (
    <span className="mr-1.5 flex">
      <MemberMark kind={kind} name={name} size="small" state={state} />
    </span>
  )
}

function RoomMenu({
  room,
  description,
  onPanel,
  onRename,
  renamed,
  attempt,
}: RoomHeaderProps & {
  description: RoomDescription
  onRename: () => void
  /** It stands where a name was written a moment ago, and takes the focus back. */
  renamed: boolean
}) {
  const navigate = useNavigate()
  const trigger = useRef<HTMLButtonElement>(null)
  useEffect(() => {
    if (renamed) trigger.current?.focus()
  }, [renamed])
  const [asking, setAsking] = useState<'leave' | 'end'>()
  const { muted, pinned, role, kind, name } = description
  const isGroup = kind === 'group'
  return (
    <>
      <DropdownMenu.Root modal={false}>
        <DropdownMenu.Trigger
          ref={trigger}
          aria-label="More about this room"
          title="More"
          className={classNames(headerButton, 'data-[state=open]:bg-chosen')}
        >
          <Ellipsis size={16} aria-hidden />
        </DropdownMenu.Trigger>
        <DropdownMenu.Portal>
          <DropdownMenu.Content
            align="end"
            sideOffset={4}
            collisionPadding={8}
            className={classNames(menuPanel, 'min-w-56')}
            onCloseAutoFocus={(event) => {
              if (document.activeElement !== document.body) event.preventDefault()
            }}
          >
            <DropdownMenu.Item className={menuItem} onSelect={() => attempt(room.mute(!muted))}>
              {muted ? <Bell size={16} aria-hidden /> : <BellOff size={16} aria-hidden />}
              {muted ? 'Unmute' : 'Mute'}
            </DropdownMenu.Item>
            <DropdownMenu.Item className={menuItem} onSelect={() => attempt(room.pin(!pinned))}>
              {pinned ? <StarOff size={16} aria-hidden /> : <Star size={16} aria-hidden />}
              {pinned ? 'Do not keep at the top' : 'Keep at the top'}
            </DropdownMenu.Item>
            <DropdownMenu.Item className={classNames(menuItem, 'sm:hidden')} onSelect={() => onPanel('pins')}>
              <Pin size={16} aria-hidden /> Pinned messages
            </DropdownMenu.Item>
            {isGroup && role !== 'member' && (
              <DropdownMenu.Item className={menuItem} onSelect={onRename}>
                <Pencil size={16} aria-hidden /> Rename
              </DropdownMenu.Item>
            )}
            {(isGroup || role === 'owner') && <DropdownMenu.Separator className="my-1 h-px bg-line" />}
            {isGroup && (
              <DropdownMenu.Item className={menuItem} onSelect={() => setAsking('leave')}>
                <LogOut size={16} aria-hidden /> Leave…
              </DropdownMenu.Item>
            )}
            {role === 'owner' && (
              <DropdownMenu.Item
                className={classNames(menuItem, 'text-bad')}
                onSelect={() => setAsking('end')}
              >
                <Trash2 size={16} aria-hidden /> Delete room…
              </DropdownMenu.Item>
            )}
          </DropdownMenu.Content>
        </DropdownMenu.Portal>
      </DropdownMenu.Root>
      {asking !== undefined && (
        <ConfirmDialog
          title={asking === 'leave' ? `Leave ${name}?` : `Delete ${name}?`}
          action={asking === 'leave' ? 'Leave' : 'Delete for everybody'}
          onClose={() => setAsking(undefined)}
          onConfirm={async () => {
            await (asking === 'leave' ? room.leave() : room.end())
            await navigate({ to: '/rooms' })
          }}
        >
          <p>
            {asking === 'leave'
              ? 'You will not see what is said here. Somebody who is in it can add you again.'
              : 'Everything that was said here is erased, for everybody, and cannot be brought back.'}
          </p>
        </ConfirmDialog>
      )}
    </>
  )
}

function NameForm({ room, name, onDone }: { room: Room; name: string; onDone: () => void }) {
  const rename = useAction(async (next: string) => {
    if (next !== name) await room.rename(next)
    onDone()
  })
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const next = String(new FormData(event.currentTarget).get('name')).trim()
    if (next !== '') rename.run(next)
  }
  return (
    <form
      onSubmit={submit}
      onKeyDown={(event) => {
        if (event.key !== 'Escape') return
        event.preventDefault()
        onDone()
      }}
      className="flex min-w-0 flex-1 items-center gap-2"
    >
      <input
        name="name"
        aria-label="Name of the room"
        aria-invalid={rename.error !== undefined || undefined}
        defaultValue={name}
        maxLength={limits.roomNameLength}
        // biome-ignore lint/a11y/noAutofocus: the person asked to change it.
        autoFocus
        className={`${inputClass} h-8 min-w-0 flex-1 pointer-coarse:h-11`}
      />
      {rename.error !== undefined && (
        <span role="alert" className="text-sm text-bad">
          Not renamed
        </span>
      )}
      <Button onClick={onDone}>Cancel</Button>
      <Button type="submit" look="primary" busy={rename.busy}>
        Rename
      </Button>
    </form>
  )
}
