import type { AppTest, ProviderView } from '@atom/contract/connections.ts'
import { Link, useParams } from '@tanstack/react-router'
import { CircleAlert, CircleCheck } from 'lucide-react'
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from 'react'
import { atom, isOperator, useMe } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { fieldProblem, isFieldProblem } from '../sign-in/form-problem.ts'
import { useFirstProblem } from '../sign-in/use-first-problem.ts'
import { Button } from '../ui/button.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { OutsideLink } from '../ui/outside-link.tsx'
import { PasswordField } from '../ui/password-field.tsx'
import { TextField } from '../ui/text-field.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { appBody } from './app-body.ts'
import { checkWords } from './check-words.ts'
import { DocsLink } from './docs-link.tsx'
import { EntryField } from './entry-field.tsx'
import { NotThere } from './provider-panel.tsx'
import { useProvider, useProviders } from './providers-context.ts'
import { SidePanel } from './side-panel.tsx'

/** The operator's own app at a provider, from its console to the first green test. */
export function SetupPanel() {
  const { provider: id } = useParams({ from: '/inside/connections/catalogue/$provider/setup' })
  const provider = useProvider(id)
  const operator = isOperator(useMe())
  return (
    <SidePanel
      key={id}
      label="Setup"
      title={provider === undefined ? 'Your app' : `Your app for ${provider.name}`}
      list="/connections/catalogue"
      row={id}
    >
      {provider === undefined ? (
        <NotThere />
      ) : operator ? (
        <Setup provider={provider} />
      ) : (
        <p className="text-quiet">
          Only an owner or admin of the workspace can enter the app of {provider.name}. Ask one of them.
        </p>
      )}
    </SidePanel>
  )
}

function Setup({ provider }: { provider: ProviderView }) {
  return (
    <>
      <Steps provider={provider} />
      <AppForm provider={provider} />
      <Link
        to="/connections/catalogue/$provider"
        params={{ provider: provider.id }}
        search={(kept) => kept}
        className="justify-self-start text-accent-text underline underline-offset-2"
      >
        Connect an account of {provider.name}
      </Link>
    </>
  )
}

function Steps({ provider }: { provider: ProviderView }) {
  const scopes = provider.scopes.map(({ scope }) => scope)
  const notes = <DocsLink provider={provider}>the notes on {provider.name}</DocsLink>
  return (
    <section className="grid gap-4" aria-label="Steps">
      {isAnyServer(provider) ? (
        <p>More is in {notes}.</p>
      ) : (
        <p>
          Make the app at{' '}
          <OutsideLink
            href={provider.appConsoleUrl}
            className="text-accent-text underline underline-offset-2"
          >
            {provider.name}
          </OutsideLink>
          . More is in {notes}.
        </p>
      )}
      <ol className="grid list-decimal gap-2 pl-5 marker:text-quiet">
        {provider.setup.steps.map((step) => (
          <li key={step}>{step}</li>
        ))}
      </ol>
      <ToCopy label="Redirect address" text={provider.redirectUri} what="redirect address" />
      {scopes.length > 0 && (
        <ToCopy
          label="Access it will ask for"
          text={scopes.join(' ')}
          what="scopes"
          after={
            <ul className="grid gap-1 text-sm text-quiet">
              {provider.scopes.map(({ scope, meaning }) => (
                <li key={scope}>
                  <code className="font-mono text-xs break-all text-text">{scope}</code> {meaning}
                </li>
              ))}
            </ul>
          }
        />
      )}
    </section>
  )
}

/** Whichever server speaks the standard: it has no console of its own, and what may be asked for only its operator knows. */
function isAnyServer({ category }: ProviderView): boolean {
  return category === 'standard'
}

function ToCopy({
  label,
  text,
  what,
  after,
}: {
  label: string
  text: string
  what: string
  after?: ReactNode
}) {
  return (
    <div className="grid gap-1.5">
      <p className="font-medium">{label}</p>
      <p className="flex items-center justify-between gap-2 rounded-control border border-line bg-panel py-1 pr-1 pl-2.5">
        <code className="min-w-0 font-mono text-xs break-all select-all">{text}</code>
        <CopyButton text={text} what={what} />
      </p>
      {after}
    </div>
  )
}

/** Client id, secret and whatever else this provider's apps have. What was entered before is never shown again. */
function AppForm({ provider }: { provider: ProviderView }) {
  const { appFacts, appFields, appLife, name } = provider
  const { reload } = useProviders()
  const [saved, setSaved] = useState(false)
  const [asking, setAsking] = useState(false)
  const [test, setTest] = useState<AppTest>()
  const tryIt = useAction(async () => {
    setTest(undefined)
    setTest(await atom.connections.testApp(provider.id))
  })
  const save = useAction(async (entered: FormData) => {
    setSaved(false)
    setTest(undefined)
    await atom.connections.configureApp(provider.id, appBody(provider, entered))
    // Secrets leave the page with the request; the rest comes back with the catalogue.
    form.current?.reset()
    setSaved(true)
    reload()
  })
  const form = useFirstProblem(save.error)
  const remove = useAction(async () => {
    setSaved(false)
    setTest(undefined)
    await atom.connections.removeApp(provider.id)
    setAsking(false)
    reload()
  })
  const fields = [
    'clientId',
    'clientSecret',
    'privateKey',
    ...appFields.map((field) => `settings/${field.name}`),
  ]
  const error = tryIt.error ?? (isFieldProblem(save.error, fields) ? undefined : save.error)
  const clear = () => {
    tryIt.clear()
    save.clear()
  }
  const configured = appFacts !== undefined
  // An app that can prove itself by a key may have no secret at all.
  const secretRequired = !appFields.some((field) => field.name === 'privateKey')
  const field = (entry: ProviderView['appFields'][number]) => (
    <EntryField
      key={entry.name}
      entry={entry}
      problem={fieldProblem(
        save.error,
        entry.name === 'privateKey' ? 'privateKey' : `settings/${entry.name}`,
      )}
    />
  )
  return (
    <form
      ref={form}
      onSubmit={(event: FormEvent<HTMLFormElement>) => {
        event.preventDefault()
        save.run(new FormData(event.currentTarget))
      }}
      className="grid gap-4 border-t border-line pt-4"
    >
      <h2 className="font-semibold">What {isAnyServer(provider) ? 'the server' : name} shows you</h2>
      {appFacts !== undefined && (
        <p className="text-sm text-quiet">
          Entered <RelativeTime at={appFacts.configuredAt} />
          {appFacts.clientSecretExpiresAt !== null && (
            <>
              ; the secret ends <RelativeTime at={appFacts.clientSecretExpiresAt} />
            </>
          )}
          .
        </p>
      )}
      {appFields.filter(({ secret }) => !secret).map(field)}
      <TextField
        label="Client id"
        name="clientId"
        maxLength={500}
        required
        autoComplete="off"
        spellCheck={false}
        defaultValue={appFacts?.clientId}
        problem={fieldProblem(save.error, 'clientId')}
      />
      <PasswordField
        label={secretRequired ? 'Client secret' : 'Client secret, or the key below'}
        name="clientSecret"
        maxLength={2000}
        required={secretRequired}
        autoComplete="off"
        problem={fieldProblem(save.error, 'clientSecret')}
        hint={
          configured
            ? 'Sealed, and never shown again: enter it anew to change anything here.'
            : 'Sealed before it is stored, and never shown again.'
        }
      />
      {appFields.filter(({ secret }) => secret).map(field)}
      {isAnyServer(provider) && (
        <TextField
          label="Scopes (optional)"
          name="scopes"
          maxLength={10_000}
          autoComplete="off"
          spellCheck={false}
          autoCapitalize="none"
          defaultValue={appFacts?.scopes?.join(' ')}
          placeholder={provider.scopes.map(({ scope }) => scope).join(' ')}
          hint="What a connection asks for, with spaces between."
        />
      )}
      {appLife.secretExpiry !== undefined && (
        <TextField
          type="date"
          label="The secret ends on (optional)"
          name="clientSecretExpiresAt"
          defaultValue={appFacts?.clientSecretExpiresAt?.slice(0, 10)}
          hint={`${appLife.secretExpiry} Atom tells you in time.`}
        />
      )}
      {appLife.testing !== undefined && (
        <label className="flex items-start gap-2.5">
          <input
            type="checkbox"
            name="testing"
            defaultChecked={appFacts?.testing === true}
            className="mt-[3px] size-4 shrink-0 accent-accent"
          />
          <span className="grid">
            The app is not published yet
            <span className="text-sm text-quiet">{appLife.testing}</span>
          </span>
        </label>
      )}
      {error !== undefined && <ProblemNotice error={error} onDismiss={clear} />}
      <div className="flex flex-wrap gap-2">
        <Button type="submit" look={configured ? 'plain' : 'primary'} busy={save.busy}>
          {configured ? 'Replace' : 'Save'}
        </Button>
        {configured && (
          <Button look="primary" busy={tryIt.busy} onClick={() => tryIt.run()}>
            Test
          </Button>
        )}
        {configured && (
          <Button look="danger" className="ml-auto" onClick={() => setAsking(true)}>
            Forget the app
          </Button>
        )}
      </div>
      <div role="status">
        {test !== undefined ? (
          <TestResult test={test} provider={name} />
        ) : (
          saved && <p className="text-quiet">Saved and sealed. Test it before anybody connects.</p>
        )}
      </div>
      {asking && (
        <Dialog title={`Forget the app for ${name}?`} onClose={() => setAsking(false)}>
          <p>
            Its secret is destroyed here. Accounts that were connected with it go on until they are
            disconnected; nobody can connect another before an app is entered again.
          </p>
          {remove.error !== undefined && <ProblemNotice error={remove.error} />}
          <div className="flex justify-end gap-2">
            <Button onClick={() => setAsking(false)}>Keep it</Button>
            <Button look="danger" busy={remove.busy} onClick={() => remove.run()}>
              Forget it
            </Button>
          </div>
        </Dialog>
      )}
    </form>
  )
}

function TestResult({ test, provider }: { test: AppTest; provider: string }) {
  const result = useRef<HTMLDivElement>(null)
  // It stands below the form, and whoever asked for it is at the buttons.
  useEffect(() => {
    result.current?.scrollIntoView({ block: 'nearest' })
  }, [])
  return (
    <div ref={result} className="grid scroll-mb-4 gap-2 rounded-card border border-line bg-panel p-3">
      <p className="font-medium">
        {test.ok
          ? `${provider} accepts the app, as far as that shows without a person`
          : 'Not everything is in order'}
      </p>
      <ul className="grid gap-2">
        {test.checks.map(({ name, ok, detail }) => (
          <li key={name} className="flex items-start gap-2">
            {ok ? (
              <CircleCheck size={16} aria-hidden className="mt-[3px] shrink-0 text-good" />
            ) : (
              <CircleAlert size={16} aria-hidden className="mt-[3px] shrink-0 text-bad" />
            )}
            <span className="min-w-0">
              {checkWords[name]}:{' '}
              <span className={ok ? 'text-quiet' : 'text-bad'}>{ok ? 'fine' : 'not yet'}</span>
              <span className="block text-sm text-quiet">{detail}</span>
            </span>
          </li>
        ))}
      </ul>
    </div>
  )
}
