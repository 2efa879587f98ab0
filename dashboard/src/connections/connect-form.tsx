import type { Connection, FlowName, ProviderView } from '@atom/contract/connections.ts'
import { connectionRoutes } from '@atom/contract/connections.ts'
import { type FormEvent, useId, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { useAction } from '../shell/use-action.ts'
import { fieldProblem, isFieldProblem } from '../sign-in/form-problem.ts'
import { Button } from '../ui/button.tsx'
import { connectAccount } from './connect-account.ts'
import { ConnectProblem } from './connect-problem.tsx'
import { DeviceCode } from './device-code.tsx'
import { forgetDeviceWait, keepDeviceWait, keptDeviceWait } from './device-wait.ts'
import { type Entry, EntryField, entered } from './entry-field.tsx'
import { flowWords, opensWindow } from './flow-words.ts'
import { askedOfPerson } from './ways.ts'

/** Every way to connect an account of a provider, with what has to be said first. */
export function ConnectForm({
  provider,
  ways,
  first = ways[0] ?? 'authorization_code',
  onConnected,
}: {
  provider: ProviderView
  /** Not empty. */
  ways: readonly FlowName[]
  /** Chosen until another is. */
  first?: FlowName | undefined
  onConnected: (connection: Connection) => void
}) {
  const [flow, setFlow] = useState(first)
  const [waiting, setWaiting] = useState(() => keptDeviceWait(provider.id))
  const particulars = askedOfPerson(provider).map(
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
    const begun = await atom.call(connectionRoutes.connect, {
      body: {
        provider: provider.id,
        ...parts,
        ...(Object.keys(credential).length === 0 ? {} : { credential }),
      },
    })
    if ('device' in begun) setWaiting(keepDeviceWait(provider.id, begun))
    else if ('connection' in begun) onConnected(await atom.connections.get(begun.connection.id))
    else location.assign(begun.authorizeUrl)
  })
  const over = () => {
    forgetDeviceWait(provider.id)
    setWaiting(undefined)
  }
  if (waiting !== undefined) {
    return (
      <DeviceCode
        wait={waiting}
        provider={provider.name}
        onConnected={(connection) => {
          over()
          onConnected(connection)
        }}
        onOver={over}
      />
    )
  }
  const entries = [...particulars, ...secrets]
  const problemAt = (name: string) =>
    fieldProblem(connect.error, `particulars/${name}`) ?? fieldProblem(connect.error, `credential/${name}`)
  const atField = isFieldProblem(
    connect.error,
    entries.flatMap(({ name }) => [`particulars/${name}`, `credential/${name}`]),
  )
  return (
    <form
      className="grid gap-4"
      onSubmit={(event: FormEvent<HTMLFormElement>) => {
        event.preventDefault()
        connect.run(new FormData(event.currentTarget))
      }}
    >
      {connect.error !== undefined && !atField && (
        <ConnectProblem error={connect.error} onDismiss={connect.clear} />
      )}
      {ways.length > 1 ? (
        <Ways provider={provider} ways={ways} chosen={flow} onChoose={setFlow} />
      ) : (
        flow !== 'authorization_code' && (
          <p className="text-quiet">{flowWords(flow, provider.name).explanation}</p>
        )
      )}
      {entries.map((entry) => (
        <EntryField key={entry.name} entry={entry} problem={problemAt(entry.name)} />
      ))}
      <Button type="submit" look="primary" busy={connect.busy} className="justify-self-start">
        {flowWords(flow, provider.name).button}
      </Button>
    </form>
  )
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
