import { AtomClientError, type Edit, isMessage, type RoomSnapshot, type Saying } from '@atom/client'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { ArrowUp, MessageCircleQuestionMark, MessagesSquare } from 'lucide-react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { atom, useMe, useObserved } from '../shell/atom.ts'
import { isWriting } from '../shell/keys.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button, buttonClass } from '../ui/button.tsx'
import { Empty } from '../ui/empty.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Announcer } from './announcer.tsx'
import { Composer, type ComposerHandle } from './composer.tsx'
import { ConfirmDialog } from './confirm-dialog.tsx'
import { MembersDialog } from './members-dialog.tsx'
import { MessageList } from './message-list.tsx'
import { newestOfEach } from './newest-of-each.ts'
import { PinsPanel } from './pins-panel.tsx'
import { placeholderWords } from './placeholder-words.ts'
import { presenceWords } from './presence-words.ts'
import { LastPersonContext, RoomContext, type RoomView, useRoomView } from './room-context.ts'
import { type Panel, RoomHeader } from './room-header.tsx'
import { SearchPanel } from './search-panel.tsx'
import { withPresent, withUnreadLine } from './timeline.ts'
import { TimelineReader } from './timeline-reader.ts'
import { useUnreadLine } from './use-unread-line.ts'

const firstQuestion = 'What can you do?'
/** How long a message that was gone to stays marked. */
const markedMs = 3_000
/** How far back "my newest message" is looked for. */
const lookBack = 200

type Message = NonNullable<ReturnType<RoomView['messageAt']>>

export function RoomPage() {
  const { roomId } = useParams({ from: '/inside/rooms/$roomId' })
  // A room of its own: scroll position, draft and focus never carry over.
  return <Chat key={roomId} roomId={roomId} />
}

function Chat({ roomId }: { roomId: string }) {
  const room = useMemo(() => atom.rooms.room(roomId), [roomId])
  const snapshot = useObserved(room)
  const { items: rooms } = useObserved(atom.rooms)
  const line = useObserved(atom.realtime)
  const me = useMe().account
  const { at, panel } = useSearch({ from: '/inside/rooms/$roomId' })
  const navigate = useNavigate()
  const composer = useRef<ComposerHandle>(null)
  const [endWanted, setEndWanted] = useState(0)
  const [trouble, setTrouble] = useState<{ readonly error: unknown; readonly again?: () => void }>()
  const [membersOpen, setMembersOpen] = useState(false)
  /** Each place that is gone to is a list of its own: it begins there. */
  const [place, setPlace] = useState<{ readonly n: number; readonly target?: number }>({ n: 0 })
  const [marked, setMarked] = useState<number>()
  const [purpose, setPurpose] = useState<{ readonly kind: 'answer' | 'edit'; readonly message: Message }>()
  const [deleting, setDeleting] = useState<Message>()

  const [round, setRound] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new round opens the same room again.
  useEffect(() => {
    const opened = room.open()
    return () => opened[Symbol.dispose]()
  }, [room, round])

  const { events, drafts, outgoing, stretch } = snapshot
  const unread = useUnreadLine(snapshot, line.state === 'connected' || line.state === 'connecting')
  const [reader] = useState(() => ({ newest: new TimelineReader(), apart: new TimelineReader() }))
  const timeline = useMemo(() => reader.newest.read(events), [reader, events])
  const apart = stretch?.events
  const { rows, line: unreadRow } = useMemo(() => {
    const shown =
      apart === undefined
        ? withPresent(timeline, { drafts: drafts.values(), outgoing, me: me.id })
        : reader.apart.read(apart).rows
    const from = (apart ?? events)[0]?.seq ?? 0
    // While its place is not loaded, the line would stand before whatever happens to be the first.
    return unread.after === undefined || from > unread.after + 1
      ? { rows: shown }
      : withUnreadLine(shown, unread.after, me.id)
  }, [timeline, reader, apart, events, drafts, outgoing, me.id, unread.after])
  const unreadAbove =
    unread.after !== undefined && apart === undefined && snapshot.loadedFrom > unread.after + 1

  const description = snapshot.description ?? rooms.find((item) => item.id === roomId)
  const name = description?.name ?? 'Room'
  const turn = timeline.active
  const keyed = timeline.openCalls.find((call) => call.approval?.decider === me.id)?.approval?.id

  useEffect(() => {
    document.title = `${name} · Atom`
  }, [name])

  const stop = useAction((turnId: string) => atom.agents.cancelTurn(turnId))
  const { run: runStop } = stop
  const turnId = turn?.turnId
  const asking = timeline.openCalls.some((call) => call.turnId === turnId)
  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      if (event.defaultPrevented || document.querySelector('dialog[open], [role="menu"]') !== null) return
      if (event.key === 'Escape' && !event.isComposing) {
        // A request that waits for a person is denied or stopped on purpose, never by a stray Esc.
        if (turnId !== undefined && !asking) runStop(turnId)
      } else if (event.key.toLowerCase() === 'c' && !event.repeat && !isWriting(event)) {
        event.preventDefault()
        composer.current?.focus()
      }
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [turnId, asking, runStop])

  const attempt = useCallback((work: Promise<unknown>) => {
    setTrouble(undefined)
    work.catch((error: unknown) => setTrouble({ error }))
  }, [])
  const change = useCallback(
    (seq: number, edit: Edit) => {
      setTrouble(undefined)
      // What was written is not in the field any more, and must not be lost over a server that is away.
      room.edit(seq, edit).catch((error: unknown) => {
        const passes = error instanceof AtomClientError && error.retryable
        setTrouble({ error, ...(passes && { again: () => change(seq, edit) }) })
      })
    },
    [room],
  )

  // The button that was asked for a deletion goes with the message.
  const wasDeleting = useRef(false)
  useEffect(() => {
    const isOver = wasDeleting.current && deleting === undefined
    wasDeleting.current = deleting !== undefined
    if (isOver && document.activeElement === document.body && matchMedia('(pointer: fine)').matches)
      composer.current?.focus()
  }, [deleting])

  const { forget, holdFrom } = unread
  const goToNewest = useCallback(() => {
    room.goToNewest()
    setPlace(({ n }) => ({ n: n + 1 }))
    void navigate({ to: '.', search: ({ at: _, ...kept }) => kept, replace: true })
  }, [room, navigate])

  const isApart = apart !== undefined
  const send = useCallback(
    (text: string, to: Saying = {}) => {
      setTrouble(undefined)
      forget()
      if (isApart) goToNewest()
      setEndWanted((n) => n + 1)
      // What the server refuses stays in the timeline with its reason; here is only what could not even be kept.
      room.send(text, to).catch((error: unknown) => setTrouble({ error }))
    },
    [room, forget, isApart, goToNewest],
  )
  const say = useCallback((text: string) => send(text), [send])

  const goTo = useCallback(
    (seq: number) => {
      attempt(
        room.goTo(seq).then(() => {
          setPlace(({ n }) => ({ n: n + 1, target: seq }))
          setMarked(seq)
        }),
      )
    },
    [room, attempt],
  )
  useEffect(() => {
    if (marked === undefined) return undefined
    const timer = setTimeout(() => setMarked(undefined), markedMs)
    return () => clearTimeout(timer)
  }, [marked])
  // A link to a message, as soon as there is a room to show it in.
  const gone = useRef<number>(undefined)
  useEffect(() => {
    if (!unread.known || at === gone.current) return
    gone.current = at
    if (at !== undefined) goTo(at)
  }, [at, unread.known, goTo])

  const messageAt = useCallback(
    (seq: number) => {
      const now = room.getSnapshot()
      for (const held of [now.stretch?.events, now.events]) {
        const event = held?.[seq - (held[0]?.seq ?? 0)]
        if (event !== undefined && isMessage(event)) return event
      }
      return undefined
    },
    [room],
  )
  const begin = useCallback(
    (kind: 'answer' | 'edit', seq: number) => {
      const message = messageAt(seq)
      if (message !== undefined && message.deletedAt === undefined) setPurpose({ kind, message })
    },
    [messageAt],
  )
  const myLast = useMemo(() => {
    const mine = events
      .slice(-lookBack)
      .findLast(
        (event) =>
          event.type === 'message.created' && event.actor.id === me.id && event.deletedAt === undefined,
      )
    return mine?.seq
  }, [events, me.id])

  const { progress } = snapshot
  const told = useMemo(
    () => newestOfEach(events.slice(-lookBack), progress, me.id).join(' '),
    [events, progress, me.id],
  )
  // By what it says: the same places are the same view, so no row is drawn again for them.
  const toldUnder = useMemo(() => (told === '' ? [] : told.split(' ').map(Number)), [told])

  const members = description?.members
  const view = useMemo(
    (): RoomView => ({
      room,
      me: me.id,
      myRole: description?.role ?? 'member',
      members: members ?? [],
      live: snapshot.state === 'live',
      nameOf: (id) => (id === me.id ? me.name : members?.find((member) => member.id === id)?.name),
      keyedApproval: keyed,
      pinned: snapshot.pinned,
      toldUnder,
      marked,
      messageAt,
      goTo,
      reply: (seq) => begin('answer', seq),
      edit: (seq) => begin('edit', seq),
      askDelete: (seq) => setDeleting(messageAt(seq)),
      markUnread: (seq) => {
        holdFrom(seq)
        attempt(room.markUnreadFrom(seq))
      },
      attempt,
      focusComposer: () => composer.current?.focus(),
      say,
    }),
    [
      room,
      me,
      description?.role,
      snapshot.state,
      snapshot.pinned,
      members,
      keyed,
      toldUnder,
      marked,
      messageAt,
      goTo,
      begin,
      holdFrom,
      attempt,
      say,
    ],
  )

  const showPanel = useCallback(
    (next: Panel | undefined) => {
      void navigate({
        to: '.',
        search: ({ panel: _, ...kept }) => (next === undefined ? kept : { ...kept, panel: next }),
        replace: true,
      })
    },
    [navigate],
  )
  const closePanel = useCallback(() => {
    showPanel(undefined)
    composer.current?.focus()
  }, [showPanel])
  const others = useMemo(() => (members ?? []).filter(({ id }) => id !== me.id), [members, me.id])

  const closed = snapshot.left !== undefined || (snapshot.state === 'failed' && events.length === 0)
  const isEmpty = events.length === 0 && rows.length === 0
  return (
    <RoomContext value={view}>
      <LastPersonContext value={timeline.lastPersonAt}>
        <div className="relative flex min-h-0 min-w-0 flex-1">
          <section aria-label={name} className="flex min-h-0 min-w-0 flex-1 flex-col">
            <RoomHeader
              room={room}
              name={closed ? 'This room' : name}
              description={closed ? undefined : description}
              pins={snapshot.pinned.size}
              panel={panel}
              onPanel={showPanel}
              onMembers={() => setMembersOpen(true)}
              me={me.id}
              attempt={attempt}
            />
            {closed ? (
              <Closed left={snapshot.left} error={snapshot.error} onRetry={() => setRound((n) => n + 1)} />
            ) : (
              <>
                {isEmpty || !unread.known ? (
                  <Opening
                    snapshot={snapshot}
                    name={name}
                    empty={isEmpty}
                    onAdd={() => setMembersOpen(true)}
                  />
                ) : (
                  <>
                    {unreadAbove && (
                      <button
                        type="button"
                        onClick={() => goTo((unread.after ?? 0) + 1)}
                        className="flex h-8 shrink-0 items-center justify-center gap-1.5 border-b border-line bg-accent-wash text-sm font-medium text-accent-text hover:underline pointer-coarse:h-11"
                      >
                        <ArrowUp size={14} aria-hidden /> Read on from the first unread message
                      </button>
                    )}
                    <MessageList
                      key={place.n}
                      snapshot={snapshot}
                      rows={rows}
                      name={name}
                      endWanted={endWanted}
                      start={
                        place.target !== undefined
                          ? { seq: place.target, align: 'center' }
                          : place.n === 0 && unreadRow !== undefined
                            ? { seq: unreadRow.seq, align: 'start' }
                            : undefined
                      }
                      hasOlder={stretch?.hasOlder ?? snapshot.hasOlder}
                      hasNewer={stretch !== undefined}
                      readHeld={unread.held}
                      onNewest={goToNewest}
                    />
                  </>
                )}
                {trouble !== undefined && outgoing.every((message) => message.state !== 'failed') && (
                  <div className="mx-auto w-full max-w-[45rem] px-4 pt-2">
                    <ProblemNotice
                      error={trouble.error}
                      {...(trouble.again === undefined ? {} : { onRetry: trouble.again })}
                      onDismiss={() => setTrouble(undefined)}
                    />
                  </div>
                )}
                {stop.error !== undefined && (
                  <div className="mx-auto w-full max-w-[45rem] px-4 pt-2">
                    <ProblemNotice error={stop.error} onDismiss={stop.clear} />
                  </div>
                )}
                <Composer
                  ref={composer}
                  room={room}
                  name={name}
                  placeholder={placeholderWords(name, others)}
                  others={others}
                  hint={presenceWords({
                    typing: snapshot.typing.filter((actor) => actor.id !== me.id).map((actor) => actor.name),
                    working: turn?.agent.name,
                    asking,
                  })}
                  answering={purpose?.kind === 'answer' ? purpose.message : undefined}
                  editing={purpose?.kind === 'edit' ? purpose.message : undefined}
                  onSend={send}
                  onEdit={change}
                  onSettle={() => setPurpose(undefined)}
                  onEditLast={() => myLast !== undefined && begin('edit', myLast)}
                  onStop={turnId === undefined ? undefined : () => runStop(turnId)}
                  stopping={stop.busy}
                  escStops={!asking}
                />
              </>
            )}
            <Announcer events={events} me={me.id} />
          </section>
          {!closed && panel === 'pins' && <PinsPanel onClose={closePanel} />}
          {!closed && panel === 'search' && <SearchPanel onClose={closePanel} />}
        </div>
        {membersOpen && description !== undefined && !closed && (
          <MembersDialog room={room} description={description} onClose={() => setMembersOpen(false)} />
        )}
        {deleting !== undefined && (
          <ConfirmDialog
            title="Delete this message?"
            action="Delete"
            onConfirm={() => room.delete(deleting.seq)}
            onClose={() => setDeleting(undefined)}
          >
            <p className="line-clamp-4 rounded-control border border-line bg-panel p-2 [overflow-wrap:anywhere]">
              {deleting.text}
            </p>
            <p className="text-quiet">It is erased for everybody and cannot be brought back.</p>
          </ConfirmDialog>
        )}
      </LastPersonContext>
    </RoomContext>
  )
}

/** A room that cannot be opened: which one it is, or that there is none, and where to go from here. */
function Closed({
  left,
  error,
  onRetry,
}: {
  left: RoomSnapshot['left']
  error: AtomClientError | undefined
  onRetry: () => void
}) {
  if (left !== undefined) {
    return (
      <Empty
        icon={<MessageCircleQuestionMark size={24} aria-hidden />}
        action={
          <Link to="/rooms" className={buttonClass('plain')}>
            Go to your rooms
          </Link>
        }
      >
        <span role="status">{leftWords[left]}</span>
      </Empty>
    )
  }
  if (error !== undefined && !nowhere.has(error.code)) {
    return (
      <div className="mx-auto w-full max-w-[45rem] p-4">
        <ProblemNotice error={error} {...(error.retryable ? { onRetry } : {})} />
      </div>
    )
  }
  return (
    <Empty
      icon={<MessageCircleQuestionMark size={24} aria-hidden />}
      action={
        <Link to="/rooms" className={buttonClass('plain')}>
          Go to your rooms
        </Link>
      }
    >
      There is no such room, or you are not in it. Check the address, or ask somebody who is in it to add you.
    </Empty>
  )
}

/** What is said of a room that is not there: also of an address that is none of a room. */
const nowhere: ReadonlySet<string> = new Set(['not_found', 'frame_malformed', 'validation_failed'])

const leftWords = {
  removed: 'You were taken out of this room. Somebody who is in it can add you again.',
  left: 'You have left this room. Somebody who is in it can add you again.',
  ended: 'This room was deleted, with everything that was in it.',
} as const

/** Before the first event is there: the shape of messages, or what to say in a room that has none. */
function Opening({
  snapshot,
  name,
  empty,
  onAdd,
}: {
  snapshot: RoomSnapshot
  name: string
  empty: boolean
  onAdd: () => void
}) {
  const { say, members, focusComposer } = useRoomView()
  const connections = useObserved(atom.connections)
  if (!empty || snapshot.state === 'loading' || snapshot.state === 'stale') {
    return (
      <div className="mx-auto w-full max-w-[45rem] flex-1 overflow-hidden p-4 pt-8">
        <Loading of={`the messages of ${name}`} waitingFor="the messages of this room">
          <div className="grid gap-7">
            {['w-3/5', 'w-4/5', 'w-2/5'].map((width) => (
              <div key={width} className="flex gap-3">
                <Bar className="size-8 rounded-full" />
                <div className="grid flex-1 gap-2">
                  <Bar className="h-4 w-28" />
                  <Bar className={`h-4 ${width}`} />
                </div>
              </div>
            ))}
          </div>
        </Loading>
      </div>
    )
  }
  if (!members.some(({ kind }) => kind === 'agent')) {
    const isAlone = members.length < 2
    return (
      <div className="grid flex-1 content-center">
        <Empty
          icon={<MessagesSquare size={24} aria-hidden />}
          action={
            <Button onClick={isAlone ? onAdd : focusComposer}>
              {isAlone ? 'Add somebody' : 'Write the first message'}
            </Button>
          }
        >
          {isAlone
            ? 'Nobody else is here yet: what you write, only you read.'
            : 'Nothing was said here yet. What is said here, everybody in the room reads.'}
        </Empty>
      </div>
    )
  }
  return (
    <div className="grid flex-1 content-center">
      <Empty
        icon={<MessagesSquare size={24} aria-hidden />}
        action={
          <div className="flex flex-wrap justify-center gap-2">
            <Button onClick={() => say(firstQuestion)}>{firstQuestion}</Button>
            {connections.state === 'ready' && connections.items.length === 0 && (
              <Link to="/connections" search={{}} className={buttonClass('plain')}>
                Connect an account
              </Link>
            )}
          </div>
        }
      >
        Nothing was said here yet. Ask for what you want done, in your own words.
      </Empty>
    </div>
  )
}
