import type { AtomClientError, RoomSnapshot } from '@atom/client'
import { Link, useParams } from '@tanstack/react-router'
import { ArrowLeft, MessageCircleQuestionMark, MessagesSquare, Users } from 'lucide-react'
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
import { MembersDialog } from './members-dialog.tsx'
import { MessageList } from './message-list.tsx'
import { presenceWords } from './presence-words.ts'
import { RoomContext, type RoomView, useRoomView } from './room-context.ts'
import { activeTurn, readTimeline, withPresent } from './timeline.ts'

const firstQuestion = 'What can you do?'

export function RoomPage() {
  const { roomId } = useParams({ from: '/inside/rooms/$roomId' })
  // A room of its own: scroll position, draft and focus never carry over.
  return <Chat key={roomId} roomId={roomId} />
}

function Chat({ roomId }: { roomId: string }) {
  const room = useMemo(() => atom.rooms.room(roomId), [roomId])
  const snapshot = useObserved(room)
  const { items: rooms } = useObserved(atom.rooms)
  const me = useMe().account
  const composer = useRef<ComposerHandle>(null)
  const [endWanted, setEndWanted] = useState(0)
  const [sendTrouble, setSendTrouble] = useState<unknown>()
  const [membersOpen, setMembersOpen] = useState(false)

  const [round, setRound] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new round opens the same room again.
  useEffect(() => {
    const opened = room.open()
    return () => opened[Symbol.dispose]()
  }, [room, round])

  const { events, drafts, outgoing } = snapshot
  const timeline = useMemo(() => readTimeline(events), [events])
  const rows = useMemo(
    () => withPresent(timeline, { drafts: drafts.values(), outgoing, me: me.id }),
    [timeline, drafts, outgoing, me.id],
  )
  const description = snapshot.description ?? rooms.find((item) => item.id === roomId)
  const name = description?.name ?? 'Room'
  const turn = activeTurn(timeline)
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

  const say = useCallback(
    (text: string) => {
      setSendTrouble(undefined)
      setEndWanted((n) => n + 1)
      // What the server refuses stays in the timeline with its reason; here is only what could not even be kept.
      room.send(text).catch((error: unknown) => setSendTrouble(error))
    },
    [room],
  )

  const members = description?.members
  const view = useMemo(
    (): RoomView => ({
      room,
      me: me.id,
      live: snapshot.state === 'live',
      nameOf: (id) => (id === me.id ? me.name : members?.find((member) => member.id === id)?.name),
      keyedApproval: keyed,
      lastPersonAt: timeline.lastPersonAt,
      focusComposer: () => composer.current?.focus(),
      say,
    }),
    [room, me, snapshot.state, members, keyed, timeline.lastPersonAt, say],
  )

  const closed = snapshot.state === 'failed' && events.length === 0
  return (
    <RoomContext value={view}>
      <section aria-label={name} className="flex min-h-0 min-w-0 flex-1 flex-col">
        <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line px-4">
          <Link
            to="/rooms"
            className="-ml-2 grid size-8 place-items-center rounded-control text-quiet hover:bg-hover md:hidden pointer-coarse:size-11"
            aria-label="All rooms"
          >
            <ArrowLeft size={16} aria-hidden />
          </Link>
          <h1 className="min-w-0 flex-1 truncate text-lg font-semibold">{closed ? 'This room' : name}</h1>
          {description !== undefined && !closed && (
            <button
              type="button"
              onClick={() => setMembersOpen(true)}
              className="flex h-8 items-center gap-1.5 rounded-control px-2 text-sm text-quiet hover:bg-hover hover:text-text pointer-coarse:h-11"
            >
              <Users size={16} aria-hidden />
              <span className="tabular-nums">{description.members.length}</span>{' '}
              <span className="sr-only sm:not-sr-only">members</span>
            </button>
          )}
        </header>
        {closed ? (
          <Closed error={snapshot.error} onRetry={() => setRound((n) => n + 1)} />
        ) : (
          <>
            {events.length === 0 && rows.length === 0 ? (
              <Opening snapshot={snapshot} name={name} />
            ) : (
              <MessageList snapshot={snapshot} rows={rows} name={name} endWanted={endWanted} />
            )}
            {sendTrouble !== undefined && outgoing.every((message) => message.state !== 'failed') && (
              <div className="mx-auto w-full max-w-[45rem] px-4 pt-2">
                <ProblemNotice error={sendTrouble} onDismiss={() => setSendTrouble(undefined)} />
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
              hint={presenceWords({
                typing: snapshot.typing.filter((actor) => actor.id !== me.id).map((actor) => actor.name),
                working: turn?.agent.name,
                asking,
              })}
              onSend={say}
              onStop={turnId === undefined ? undefined : () => runStop(turnId)}
              stopping={stop.busy}
              escStops={!asking}
            />
          </>
        )}
        <Announcer events={events} me={me.id} />
      </section>
      {membersOpen && description !== undefined && (
        <MembersDialog room={room} members={description.members} onClose={() => setMembersOpen(false)} />
      )}
    </RoomContext>
  )
}

/** A room that cannot be opened: which one it is, or that there is none, and where to go from here. */
function Closed({ error, onRetry }: { error: AtomClientError | undefined; onRetry: () => void }) {
  if (error?.code !== 'not_found') {
    return (
      <div className="mx-auto w-full max-w-[45rem] p-4">
        <ProblemNotice error={error} {...(error?.retryable === true ? { onRetry } : {})} />
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

/** Before the first event is there: the shape of messages, or what to say in a room that has none. */
function Opening({ snapshot, name }: { snapshot: RoomSnapshot; name: string }) {
  const { say } = useRoomView()
  const connections = useObserved(atom.connections)
  if (snapshot.state === 'loading' || snapshot.state === 'stale') {
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
