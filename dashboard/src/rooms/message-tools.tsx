import { useNavigate } from '@tanstack/react-router'
import {
  Copy,
  Ellipsis,
  Link as LinkIcon,
  MailWarning,
  MessageCircle,
  Pencil,
  Pin,
  PinOff,
  Reply,
  SmilePlus,
  Trash2,
} from 'lucide-react'
import { DropdownMenu } from 'radix-ui'
import { type ReactNode, useLayoutEffect, useRef, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { classNames } from '../ui/class-names.ts'
import { menuItem, menuPanel } from '../ui/menu.ts'
import { EmojiButton } from './emoji-button.tsx'
import { rememberEmoji, usual } from './recent-emoji.ts'
import { useRoomView } from './room-context.ts'

const tool =
  'grid size-7 place-items-center rounded-control text-quiet hover:bg-hover hover:text-text data-[state=open]:bg-hover pointer-coarse:size-11'

interface MessageToolsProps {
  seq: number
  text: string
  authorId: string
  authorName: string
  /** What an agent said. */
  ofAgent?: boolean
}

/**
 * What can be done with a message: two buttons for what is done most, and a menu with everything. A pointer sees them when it
 * is over the message, the keyboard gets to the menu with one Tab, and a finger finds the menu always there.
 */
export function MessageTools(props: MessageToolsProps) {
  const { room, reply, attempt } = useRoomView()
  return (
    <div
      className={classNames(
        'absolute -top-3 right-0 z-10 flex rounded-control border border-line bg-page opacity-0 shadow-float group-focus-within:opacity-100 group-hover:opacity-100 has-data-[state=open]:opacity-100',
        'pointer-coarse:static pointer-coarse:self-start pointer-coarse:border-0 pointer-coarse:bg-transparent pointer-coarse:opacity-100 pointer-coarse:shadow-none',
      )}
    >
      <EmojiButton
        label={`React to ${props.authorName}`}
        tabIndex={-1}
        onPick={(emoji) => attempt(room.react(props.seq, emoji))}
        className={classNames(tool, 'pointer-coarse:hidden')}
      >
        <SmilePlus size={16} aria-hidden />
      </EmojiButton>
      <button
        type="button"
        tabIndex={-1}
        aria-label={`Reply to ${props.authorName}`}
        title="Reply"
        onClick={() => reply(props.seq)}
        className={classNames(tool, 'pointer-coarse:hidden')}
      >
        <Reply size={16} aria-hidden />
      </button>
      <More {...props} />
    </div>
  )
}

/**
 * A plain button until somebody reaches for it: a menu's machinery in each row that comes into view was measured to be most of
 * the work of scrolling.
 */
function More(props: MessageToolsProps) {
  const [open, setOpen] = useState(false)
  const [reached, setReached] = useState<'by pointer' | 'by key'>()
  const trigger = useRef<HTMLButtonElement>(null)
  const button = {
    'aria-label': `More about the message of ${props.authorName}`,
    title: 'More',
    className: tool,
  }
  // The button that had the focus has given way to this one.
  useLayoutEffect(() => {
    if (reached === 'by key') trigger.current?.focus({ preventScroll: true })
  }, [reached])
  if (reached === undefined) {
    return (
      <button
        {...button}
        type="button"
        aria-haspopup="menu"
        aria-expanded={false}
        onFocus={({ currentTarget }) => {
          if (currentTarget.matches(':focus-visible')) setReached('by key')
        }}
        // As the menu itself opens: on the press, so that nothing is lost when this button gives way.
        onPointerDown={(event) => {
          if (event.button !== 0 || event.ctrlKey) return
          event.preventDefault()
          setReached('by pointer')
          setOpen(true)
        }}
        onClick={() => {
          setReached('by pointer')
          setOpen(true)
        }}
      >
        <Ellipsis size={16} aria-hidden />
      </button>
    )
  }
  return (
    <DropdownMenu.Root modal={false} open={open} onOpenChange={setOpen}>
      <DropdownMenu.Trigger ref={trigger} {...button}>
        <Ellipsis size={16} aria-hidden />
      </DropdownMenu.Trigger>
      {open && <Menu {...props} />}
    </DropdownMenu.Root>
  )
}

function Menu({ seq, text, authorId, ofAgent = false }: MessageToolsProps) {
  const view = useRoomView()
  const { room, me, myRole, pinned, attempt } = view
  const navigate = useNavigate()
  const mine = authorId === me
  const isPinned = pinned.has(seq)
  return (
    <DropdownMenu.Portal>
      <DropdownMenu.Content
        side="bottom"
        align="end"
        sideOffset={4}
        collisionPadding={8}
        className={classNames(menuPanel, 'min-w-52')}
        // What was chosen may have put the focus elsewhere: into the composer, into a dialog.
        onCloseAutoFocus={(event) => {
          if (document.activeElement !== document.body) event.preventDefault()
        }}
      >
        <DropdownMenu.Group aria-label="React" className="flex">
          {usual.map((emoji) => (
            <DropdownMenu.Item
              key={emoji}
              aria-label={`React with ${emoji}`}
              onSelect={() => {
                rememberEmoji(emoji)
                attempt(room.react(seq, emoji))
              }}
              className="grid size-8 place-items-center rounded-control text-lg outline-none data-highlighted:bg-hover pointer-coarse:size-11"
            >
              {emoji}
            </DropdownMenu.Item>
          ))}
        </DropdownMenu.Group>
        <DropdownMenu.Separator className="my-1 h-px bg-line" />
        <Item icon={<Reply size={16} aria-hidden />} onSelect={() => view.reply(seq)}>
          Reply
        </Item>
        {mine && !ofAgent && (
          <Item icon={<Pencil size={16} aria-hidden />} onSelect={() => view.edit(seq)}>
            Edit
          </Item>
        )}
        <Item
          icon={isPinned ? <PinOff size={16} aria-hidden /> : <Pin size={16} aria-hidden />}
          onSelect={() => attempt(isPinned ? room.unpinMessage(seq) : room.pinMessage(seq))}
        >
          {isPinned ? 'Take the pin off' : 'Pin for everybody'}
        </Item>
        <Item icon={<MailWarning size={16} aria-hidden />} onSelect={() => view.markUnread(seq)}>
          Mark unread from here
        </Item>
        <DropdownMenu.Separator className="my-1 h-px bg-line" />
        <Item
          icon={<Copy size={16} aria-hidden />}
          onSelect={() => attempt(navigator.clipboard.writeText(text))}
        >
          Copy text
        </Item>
        <Item
          icon={<LinkIcon size={16} aria-hidden />}
          onSelect={() =>
            attempt(navigator.clipboard.writeText(`${location.origin}/rooms/${room.id}?at=${seq}`))
          }
        >
          Copy link
        </Item>
        {!mine && !ofAgent && (
          <Item
            icon={<MessageCircle size={16} aria-hidden />}
            onSelect={() =>
              attempt(
                atom.rooms
                  .direct({ kind: 'account', id: authorId })
                  .then(({ id }) => navigate({ to: '/rooms/$roomId', params: { roomId: id } })),
              )
            }
          >
            Message directly
          </Item>
        )}
        {(mine || myRole !== 'member') && (
          <>
            <DropdownMenu.Separator className="my-1 h-px bg-line" />
            <Item danger icon={<Trash2 size={16} aria-hidden />} onSelect={() => view.askDelete(seq)}>
              Delete…
            </Item>
          </>
        )}
      </DropdownMenu.Content>
    </DropdownMenu.Portal>
  )
}

function Item({
  icon,
  danger = false,
  onSelect,
  children,
}: {
  icon: ReactNode
  danger?: boolean
  onSelect: () => void
  children: ReactNode
}) {
  return (
    <DropdownMenu.Item onSelect={onSelect} className={classNames(menuItem, danger && 'text-bad')}>
      {icon} {children}
    </DropdownMenu.Item>
  )
}
