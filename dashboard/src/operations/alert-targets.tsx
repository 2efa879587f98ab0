import { type AlertTargets, monitoringRoutes } from '@atom/contract/monitoring.ts'
import { Link } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { CopyButton } from '../ui/copy-button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Notice } from '../ui/notice.tsx'
import { Status } from '../ui/status.tsx'
import { TextField } from '../ui/text-field.tsx'
import { Choice } from './choice.tsx'
import { PolledProblem } from './polled-problem.tsx'
import { usePolled } from './use-polled.ts'

type Place = 'room' | 'webhook'

const askTargets = async () => ({
  askedAt: Date.now(),
  ...(await atom.call(monitoringRoutes.alertTargets)),
})

/** Where alerts go besides this page: a room, a webhook, both or neither; and whether they arrive there. */
export function AlertTargetsSection() {
  const targets = usePolled(askTargets)
  const [changing, setChanging] = useState<Place>()
  const [removing, setRemoving] = useState<Place>()
  const [testedAt, setTestedAt] = useState<number>()
  const test = useAction(async () => {
    await atom.call(monitoringRoutes.testAlertTargets)
    setTestedAt(Date.now())
    targets.again()
  })
  const { value } = targets
  const isSomewhere = value !== undefined && (value.roomId !== null || value.webhookUrl !== null)
  return (
    <section aria-label="Where alerts go" className="grid gap-3">
      <div className="flex flex-wrap items-start justify-between gap-3">
        <div className="grid gap-0.5">
          <h2 className="text-lg font-semibold">Where alerts go</h2>
          <p className="text-sm text-quiet">
            Here in any case. A room or a webhook tells those who do not look.
          </p>
        </div>
        {isSomewhere && (
          <Button busy={test.busy} onClick={() => test.run()}>
            Send a test
          </Button>
        )}
      </div>
      {test.error !== undefined && <ProblemNotice error={test.error} onDismiss={test.clear} />}
      <PolledProblem polled={targets} />
      {value !== undefined && (
        <>
          <ul className="grid">
            <Row
              name="Room"
              isThere={value.roomId !== null}
              onChange={() => setChanging('room')}
              onRemove={() => setRemoving('room')}
            >
              {value.roomId === null ? 'no room' : <RoomName roomId={value.roomId} />}
            </Row>
            <Row
              name="Webhook"
              isThere={value.webhookUrl !== null}
              onChange={() => setChanging('webhook')}
              onRemove={() => setRemoving('webhook')}
            >
              {value.webhookUrl === null ? (
                'no webhook'
              ) : (
                <code className="font-mono text-xs break-all text-text">{value.webhookUrl}</code>
              )}
            </Row>
          </ul>
          <Arrival targets={value} tested={testedAt !== undefined && value.askedAt >= testedAt} />
        </>
      )}
      {value !== undefined && changing === 'room' && (
        <RoomDialog targets={value} onClose={() => setChanging(undefined)} onDone={targets.again} />
      )}
      {value !== undefined && changing === 'webhook' && (
        <WebhookDialog targets={value} onClose={() => setChanging(undefined)} onDone={targets.again} />
      )}
      {value !== undefined && removing !== undefined && (
        <RemoveDialog
          targets={value}
          place={removing}
          onClose={() => setRemoving(undefined)}
          onDone={targets.again}
        />
      )}
    </section>
  )
}

/** Whether what was to be told has been heard. */
function Arrival({ targets, tested }: { targets: AlertTargets; tested: boolean }) {
  const { waiting, lastFailure } = targets
  return (
    <div aria-live="polite" className="grid gap-3">
      {tested && waiting === 0 && (
        <Status tone="good" words="The test has arrived: that it fires, and that it is over." />
      )}
      {waiting > 0 && lastFailure === null && <Status tone="off" words="On its way." />}
      {waiting > 0 && lastFailure !== null && (
        <Notice
          tone="warn"
          title={`${plural(waiting, 'piece')} of news ${waiting === 1 ? 'has' : 'have'} not arrived`}
        >
          <p className="[overflow-wrap:anywhere]">{lastFailure}</p>
          <p className="mt-1 text-sm text-quiet">It is tried again for about a day, less and less often.</p>
        </Notice>
      )}
    </div>
  )
}

function Row({
  name,
  isThere,
  onChange,
  onRemove,
  children,
}: {
  name: 'Room' | 'Webhook'
  isThere: boolean
  onChange: () => void
  onRemove: () => void
  children: ReactNode
}) {
  const word = name.toLowerCase()
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line py-2">
      <span className="w-20 shrink-0 font-medium">{name}</span>
      <span className="min-w-0 flex-1 text-quiet max-sm:basis-full">{children}</span>
      <span className="flex flex-wrap gap-1">
        <Button look="quiet" aria-label={`${isThere ? 'Change' : 'Choose'} the ${word}`} onClick={onChange}>
          {isThere ? 'Change…' : 'Choose…'}
        </Button>
        {isThere && (
          <Button look="quiet" aria-label={`Remove the ${word}`} onClick={onRemove}>
            Remove…
          </Button>
        )}
      </span>
    </li>
  )
}

function RoomName({ roomId }: { roomId: string }) {
  const { items } = useObserved(atom.rooms)
  const room = items.find(({ id }) => id === roomId)
  if (room === undefined) return 'a room that you are not in'
  return (
    <Link
      to="/rooms/$roomId"
      params={{ roomId }}
      className="text-accent-text underline underline-offset-2 [overflow-wrap:anywhere] pointer-coarse:py-2"
    >
      {room.name}
    </Link>
  )
}

interface ChangeProps {
  readonly targets: AlertTargets
  readonly onClose: () => void
  readonly onDone: () => void
}

const put = (targets: AlertTargets, change: Partial<Pick<AlertTargets, 'roomId' | 'webhookUrl'>>) =>
  atom.call(monitoringRoutes.changeAlertTargets, {
    body: { roomId: targets.roomId, webhookUrl: targets.webhookUrl, ...change },
  })

function RoomDialog({ targets, onClose, onDone }: ChangeProps) {
  const { items } = useObserved(atom.rooms)
  const rooms = items.filter(({ kind }) => kind === 'group')
  const [chosen, setChosen] = useState(targets.roomId ?? '')
  // Rooms may come later than the dialog, and the one that is told now may be none of mine.
  const roomId = rooms.some(({ id }) => id === chosen) ? chosen : (rooms[0]?.id ?? '')
  const change = useAction(async () => {
    await put(targets, { roomId })
    onDone()
    onClose()
  })
  return (
    <Dialog title="Alerts in a room" onClose={onClose}>
      <p className="text-quiet">
        Everybody in it reads them, and when they are over. The server itself speaks there.
      </p>
      {rooms.length === 0 ? (
        <p>You are in no room of several people. Make one first.</p>
      ) : (
        <div className="grid gap-3 [&>label]:justify-between">
          <Choice
            label="Room"
            value={roomId}
            options={rooms.map(({ id, name }) => [id, name] as const)}
            onChoose={setChosen}
          />
        </div>
      )}
      {change.error !== undefined && <ProblemNotice error={change.error} onDismiss={change.clear} />}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Leave it</Button>
        <Button look="primary" disabled={roomId === ''} busy={change.busy} onClick={() => change.run()}>
          Tell this room
        </Button>
      </div>
    </Dialog>
  )
}

function WebhookDialog({ targets, onClose, onDone }: ChangeProps) {
  const [url, setUrl] = useState(targets.webhookUrl ?? '')
  const [secret, setSecret] = useState<string>()
  const change = useAction(async () => {
    const { webhookSecret } = await put(targets, { webhookUrl: url.trim() })
    onDone()
    if (webhookSecret === null) onClose()
    else setSecret(webhookSecret)
  })
  if (secret !== undefined) {
    return (
      <Dialog title="The secret of the webhook" onClose={onClose} wide>
        <p>
          Shown this once. Whoever receives the alerts checks their signature with it (Standard Webhooks).
        </p>
        <div className="flex flex-wrap items-center gap-2 rounded-card border border-line bg-panel p-3">
          <code className="min-w-0 flex-1 font-mono text-xs break-all">{secret}</code>
          <CopyButton text={secret} what="the secret" />
        </div>
        <p className="text-sm text-quiet">
          Lost? Remove the webhook and choose it again: it gets another one.
        </p>
        <div className="flex justify-end">
          <Button look="primary" onClick={onClose}>
            I have it
          </Button>
        </div>
      </Dialog>
    )
  }
  return (
    <Dialog title="Alerts to a webhook" onClose={onClose}>
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          change.run()
        }}
      >
        <TextField
          label="Address"
          type="url"
          required
          value={url}
          placeholder="https://alerts.example.com/atom"
          maxLength={2_000}
          autoComplete="off"
          spellCheck={false}
          hint="By https, at a public address. A new address gets a new secret."
          onChange={({ target }) => setUrl(target.value)}
        />
        {change.error !== undefined && <ProblemNotice error={change.error} onDismiss={change.clear} />}
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          <Button type="submit" look="primary" busy={change.busy}>
            Tell this address
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

function RemoveDialog({ targets, place, onClose, onDone }: ChangeProps & { readonly place: Place }) {
  const remove = useAction(async () => {
    await put(targets, place === 'room' ? { roomId: null } : { webhookUrl: null })
    onDone()
    onClose()
  })
  return (
    <Dialog title={`Remove the ${place}?`} onClose={onClose}>
      <p>
        {place === 'room'
          ? 'Nobody is told in that room any more.'
          : 'That address hears of no alert any more, and its secret is worth nothing.'}
      </p>
      {remove.error !== undefined && <ProblemNotice error={remove.error} onDismiss={remove.clear} />}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" busy={remove.busy} onClick={() => remove.run()}>
          Remove it
        </Button>
      </div>
    </Dialog>
  )
}
