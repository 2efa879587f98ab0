import { AtomClientError } from '@atom/client'
import type { Connection, FlowName, ProviderView } from '@atom/contract/connections.ts'
import { type FormEvent, useId, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { useAction } from '../shell/use-action.ts'
import { fieldProblem, isFieldProblem } from '../sign-in/form-problem.ts'
import { useFirstProblem } from '../sign-in/use-first-problem.ts'
import { Button } from '../ui/button.tsx'
import { connectAccount } from './connect-account.ts'
import { ConnectProblem } from './connect-problem.tsx'
import { DeviceCode } from './device-code.tsx'
import { forgetDeviceWait, keepDeviceWait, keptDeviceWait } from './device-wait.ts'
import { type Entry, EntryField, entered } from './entry-field.tsx'
import { flowWords, opensWindow } from './flow-words.ts'
import { askedOfPerson } from './ways.ts'

/** Every way to connect an account of a provider, or to mend one, with what has to be said first. */
export function ConnectForm({
  provider,
  ways,
  first = ways[0] ?? 'authorization_code',
  mending,
  label,
  onConnected,
}: {
  provider: ProviderView
  /** Not empty. */
  ways: readonly FlowName[]
  /** Chosen until another is. */
  first?: FlowName | undefined
  /** The account that it has to be again; another one is refused. */
  mending?: Connection
  /** On the button, where the usual words do not say it. */
  label?: string | undefined
  onConnected: (connection: Connection) => void
}) {
  const [flow, setFlow] = useState(first)
  const purpose = mending?.id ?? provider.id
  const [waiting, setWaiting] = useState(() => keptDeviceWait(purpose))
  // Of an account that is to be mended they are known.
  const particulars = (mending === undefined ? askedOfPerson(provider) : []).map(
    ({ name, label, meaning, standard, required }): Entry => ({
      name,
      label,
      meaning,
      secret: false,
      required: required && standard === undefined,
      ...(standard === undefined ? {} : { standard }),
    }),
  )
  const secrets: readonly Entry[] =
    provider.credentialFields.find((entry) => entry.flow === flow)?.fields ?? []
  const connect = useAction(async (form: FormData) => {
    const said = entered(
      form,
      particulars.map(({ name }) => name),
    )
    const parts = {
      ...(Object.keys(said).length === 0 ? {} : { particulars: said }),
      // The first way is what the server takes by itself.
      ...(flow === provider.flows[0] ? {} : { flow }),
    }
    if (opensWindow(flow)) {
      const connection = await connectAccount(provider.id, parts)
      if (connection !== undefined) onConnected(connection)
      return
    }
    const credential = entered(
      form,
      secrets.map(({ name }) => name),
    )
    const given = Object.keys(credential).length === 0 ? {} : { credential }
    const begun = await (mending === undefined
      ? atom.connections.begin(provider.id, { ...parts, ...given })
      : atom.connections.beginAgain(mending, given))
    if ('device' in begun) setWaiting(keepDeviceWait(purpose, begun, said))
    else if ('connection' in begun) onConnected(begun.connection)
    else location.assign(begun.authorizeUrl)
  })
  const over = () => {
    forgetDeviceWait(purpose)
    setWaiting(undefined)
  }
  const another = useAction(async (said: Readonly<Record<string, string>>) => {
    try {
      const begun = await (mending === undefined
        ? atom.connections.begin(provider.id, { flow: 'device_code', particulars: said })
        : atom.connections.beginAgain(mending))
      if ('device' in begun) setWaiting(keepDeviceWait(purpose, begun, said))
    } catch (thrown) {
      // Where no code can be had, there is the form again, with the reason.
      over()
      throw thrown
    }
  })
  const error = connect.error ?? another.error
  const form = useFirstProblem(error)
  if (waiting !== undefined) {
    return (
      <DeviceCode
        key={waiting.flowId}
        wait={waiting}
        provider={provider.name}
        onConnected={(connection) => {
          over()
          onConnected(connection)
        }}
        onOver={over}
        anotherBusy={another.busy}
        onAnother={() => another.run(waiting.particulars)}
      />
    )
  }
  const clear = () => {
    connect.clear()
    another.clear()
  }
  const entries = [...particulars, ...secrets]
  // What the provider says of a key it says of the field that it stands in.
  const refused = flow === 'api_key' && isRefusal(error) ? error.detail : undefined
  const keyField = secrets.find(({ secret }) => secret)?.name
  const problemAt = (name: string) =>
    fieldProblem(error, `particulars/${name}`) ??
    fieldProblem(error, `credential/${name}`) ??
    (name === keyField ? refused : undefined)
  const atField =
    (refused !== undefined && keyField !== undefined) ||
    isFieldProblem(
      error,
      entries.flatMap(({ name }) => [`particulars/${name}`, `credential/${name}`]),
    )
  return (
    <form
      ref={form}
      className="grid gap-4"
      onSubmit={(event: FormEvent<HTMLFormElement>) => {
        event.preventDefault()
        connect.run(new FormData(event.currentTarget))
      }}
    >
      {error !== undefined && !atField && <ConnectProblem error={error} onDismiss={clear} />}
      {ways.length > 1 ? (
        <Ways provider={provider} ways={ways} chosen={flow} onChoose={setFlow} />
      ) : (
        flow !== 'authorization_code' && (
          <p className="text-quiet">
            {flowWords(flow, provider.name).explanation}
            {mending !== undefined && ` It has to be the account of ${mending.identity.name}.`}
          </p>
        )
      )}
      {entries.map((entry) => (
        <EntryField key={entry.name} entry={entry} problem={problemAt(entry.name)} />
      ))}
      <Button type="submit" look="primary" busy={connect.busy} className="justify-self-start">
        {label ?? flowWords(flow, provider.name).button}
      </Button>
    </form>
  )
}

function isRefusal(error: unknown): error is AtomClientError {
  return error instanceof AtomClientError && error.code === 'provider_refused'
}

function Ways({
  provider,
  ways,
  chosen,
  onChoose,
}: {
  provider: ProviderView
  ways: readonly FlowName[]
  chosen: FlowName
  onChoose: (flow: FlowName) => void
}) {
  const id = useId()
  return (
    <fieldset className="grid gap-2">
      <legend className="mb-1.5 font-medium">How</legend>
      {ways.map((flow) => {
        const { title, explanation } = flowWords(flow, provider.name)
        return (
          <div key={flow} className="flex items-start gap-2.5">
            <input
              type="radio"
              id={`${id}-${flow}`}
              name={`${id}-flow`}
              checked={flow === chosen}
              onChange={() => onChoose(flow)}
              className="mt-[3px] size-4 shrink-0 accent-accent"
            />
            <label htmlFor={`${id}-${flow}`} className="grid">
              {title}
              {flow === chosen && <span className="text-sm text-quiet">{explanation}</span>}
            </label>
          </div>
        )
      })}
    </fieldset>
  )
}
