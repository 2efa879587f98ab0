import type { ProviderView } from '@atom/contract/connections.ts'
import type { FormEvent } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { OutsideLink } from '../ui/outside-link.tsx'
import { PasswordField } from '../ui/password-field.tsx'
import { TextField } from '../ui/text-field.tsx'

/** The operator's own OAuth app at a provider. What was entered before is never shown again. */
export function AppDialog({
  provider,
  onClose,
  onChanged,
}: {
  provider: ProviderView
  onClose: () => void
  onChanged: () => void
}) {
  const save = useAction(async (clientId: string, clientSecret: string) => {
    await atom.connections.configureApp(provider.id, { clientId, clientSecret })
    onChanged()
    onClose()
  })
  const remove = useAction(async () => {
    await atom.connections.removeApp(provider.id)
    onChanged()
    onClose()
  })
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    save.run(String(form.get('clientId')).trim(), String(form.get('clientSecret')).trim())
  }
  const error = save.error ?? remove.error
  return (
    <Dialog title={`Your own app for ${provider.name}`} wide onClose={onClose}>
      <ol className="grid list-decimal gap-3 pl-5 marker:text-quiet">
        <li>
          Create an OAuth app at{' '}
          <OutsideLink
            href={provider.appConsoleUrl}
            className="text-accent-text underline underline-offset-2"
          >
            {provider.name}
          </OutsideLink>
          .
        </li>
        <li>
          Give it this redirect address:
          <span className="mt-1 flex items-center justify-between gap-2 rounded-control border border-line bg-panel py-1 pr-1 pl-2.5">
            <code className="font-mono text-sm break-all select-all">{provider.redirectUri}</code>
            <CopyButton text={provider.redirectUri} what="redirect address" />
          </span>
        </li>
        <li>Enter what {provider.name} shows you:</li>
      </ol>
      <form onSubmit={submit} className="grid gap-4">
        {error !== undefined && <ProblemNotice error={error} />}
        <TextField
          label="Client id"
          name="clientId"
          maxLength={500}
          required
          autoComplete="off"
          spellCheck={false}
        />
        <PasswordField
          label="Client secret"
          name="clientSecret"
          maxLength={2000}
          required
          autoComplete="off"
          hint="Sealed before it is stored, and never shown again."
        />
        <div className="flex flex-wrap justify-end gap-2">
          {provider.app === 'configured' && (
            <Button look="danger" className="mr-auto" busy={remove.busy} onClick={() => remove.run()}>
              Forget the app
            </Button>
          )}
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={save.busy}>
            {provider.app === 'configured' ? 'Replace' : 'Save'}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
