import { type CallerRule, limitRoutes } from '@atom/contract/limits.ts'
import { useState } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Status } from '../ui/status.tsx'
import { TextField } from '../ui/text-field.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { Choice } from './choice.tsx'
import { PolledProblem } from './polled-problem.tsx'
import { usePolled } from './use-polled.ts'

const askRules = () => atom.call(limitRoutes.callerRules, { query: { limit: 200 } })

const verdicts = {
  allow: { tone: 'good', words: 'Let through' },
  block: { tone: 'bad', words: 'Kept out' },
} as const

const times = [
  ['3600', 'an hour'],
  ['86400', 'a day'],
  ['604800', '7 days'],
  ['2592000', '30 days'],
  ['31536000', 'a year'],
] as const

const accountId = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Who is let through without limits, and who is kept out whatever they ask. */
export function CallerRules() {
  const rules = usePolled(askRules, 5_000)
  const [adding, setAdding] = useState(false)
  const [ending, setEnding] = useState<CallerRule>()
  const { value } = rules
  return (
    <section aria-label="Exceptions" className="grid gap-3">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h2 className="text-lg font-semibold">Exceptions</h2>
        <Button onClick={() => setAdding(true)}>Add one…</Button>
      </div>
      <PolledProblem polled={rules} />
      {value?.items.length === 0 && (
        <p className="text-quiet">Who is let through without limits, or kept out, will stand here.</p>
      )}
      {value !== undefined && value.items.length > 0 && (
        <ul className="grid">
          {value.items.map((rule) => (
            <li
              key={rule.id}
              className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line py-2"
            >
              <div className="grid min-w-0 flex-1 gap-0.5 max-sm:basis-full">
                <code className="font-mono text-xs break-all">{whoOf(rule)}</code>
                <p className="text-sm text-quiet">{rule.reason}</p>
              </div>
              <Status {...verdicts[rule.verdict]} />
              <span className="text-sm text-quiet">
                ends <RelativeTime at={rule.expiresAt} />
              </span>
              <Button look="quiet" aria-label={`End for ${whoOf(rule)}`} onClick={() => setEnding(rule)}>
                End…
              </Button>
            </li>
          ))}
        </ul>
      )}
      {adding && <AddRule onClose={() => setAdding(false)} onDone={rules.again} />}
      {ending !== undefined && (
        <EndRule rule={ending} onClose={() => setEnding(undefined)} onDone={rules.again} />
      )}
    </section>
  )
}

function AddRule({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [verdict, setVerdict] = useState<CallerRule['verdict']>('block')
  const [who, setWho] = useState('')
  const [reason, setReason] = useState('')
  const [seconds, setSeconds] = useState<(typeof times)[number][0]>('86400')
  const add = useAction(async () => {
    const named = who.trim()
    await atom.call(limitRoutes.addCallerRule, {
      body: {
        verdict,
        ...(accountId.test(named) ? { accountId: named } : { network: named }),
        reason: reason.trim(),
        forSeconds: Number(seconds),
      },
    })
    onDone()
    onClose()
  })
  return (
    <Dialog title="An exception" onClose={onClose}>
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          add.run()
        }}
      >
        <TextField
          label="Address, network or account id"
          required
          value={who}
          placeholder="192.0.2.0/24"
          autoComplete="off"
          spellCheck={false}
          minLength={2}
          maxLength={60}
          onChange={({ target }) => setWho(target.value)}
        />
        <TextField
          label="Why"
          required
          value={reason}
          maxLength={200}
          autoComplete="off"
          hint="For whoever finds it here later."
          onChange={({ target }) => setReason(target.value)}
        />
        <div className="grid gap-3 [&>label]:justify-between">
          <Choice
            label="Is to be"
            value={verdict}
            options={[
              ['block', 'kept out'],
              ['allow', 'let through'],
            ]}
            onChoose={setVerdict}
          />
          <Choice label="For" value={seconds} options={times} onChoose={setSeconds} />
        </div>
        <p className="text-sm text-quiet">
          {verdict === 'block'
            ? 'Everything that it asks is refused. Take care not to keep yourself out.'
            : 'No limit holds for it, but those of signing in.'}
        </p>
        {add.error !== undefined && <ProblemNotice error={add.error} onDismiss={add.clear} />}
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          <Button type="submit" look={verdict === 'block' ? 'danger' : 'primary'} busy={add.busy}>
            {verdict === 'block' ? 'Keep it out' : 'Let it through'}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

function EndRule({ rule, onClose, onDone }: { rule: CallerRule; onClose: () => void; onDone: () => void }) {
  const end = useAction(async () => {
    await atom.call(limitRoutes.removeCallerRule, { params: { id: rule.id } })
    onDone()
    onClose()
  })
  return (
    <Dialog title="End this exception?" onClose={onClose}>
      <p>
        <code className="font-mono text-xs break-all">{whoOf(rule)}</code> is{' '}
        {verdicts[rule.verdict].words.toLowerCase()} no longer; the limits hold for it as for everybody.
      </p>
      {end.error !== undefined && <ProblemNotice error={end.error} onDismiss={end.clear} />}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" busy={end.busy} onClick={() => end.run()}>
          End it
        </Button>
      </div>
    </Dialog>
  )
}

function whoOf({ network, accountId: account }: CallerRule): string {
  return network ?? account ?? ''
}
