import type { Connection } from '@atom/contract/connections.ts'
import { Link } from '@tanstack/react-router'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { AccountPicture } from './account-picture.tsx'
import { ConnectProblem } from './connect-problem.tsx'
import { Expiry } from './expiry.tsx'
import { statusWords } from './status-words.ts'
import { useMend } from './use-mend.ts'

export interface Account {
  readonly connection: Connection
  /** The provider's name. */
  readonly name: string
}

/** Mark, account and person, status, the one button that mends it, last use, expiry. */
export function AccountRow({ account: { connection, name } }: { account: Account }) {
  const { identity } = connection
  const { tone, words } = statusWords(connection)
  const mend = useMend(connection)
  return (
    <div className="grid gap-2">
      <div className="flex items-center gap-x-3 gap-y-2 @max-xl:flex-wrap">
        <AccountPicture connection={connection} />
        <div className="min-w-40 flex-[2]">
          <Link
            to="/connections/$connectionId"
            params={{ connectionId: connection.id }}
            search={(kept) => kept}
            data-row={connection.id}
            className="font-medium outline-offset-[-2px] after:absolute after:inset-0"
            activeProps={{ 'aria-current': 'true' }}
          >
            {identity.name}
          </Link>
          <p className="truncate text-sm text-quiet">
            {[name, identity.handle ?? identity.email, connection.sandbox ? 'sandbox' : undefined]
              .filter(Boolean)
              .join(' · ')}
          </p>
        </div>
        <div
          className={classNames(
            'grid min-w-0 flex-[3] gap-0.5 @max-xl:w-full @max-xl:flex-none @max-xl:pl-11',
            // A reason is a sentence, and what is read begins at the left.
            tone === 'good' && 'justify-items-end @max-xl:justify-items-start',
          )}
        >
          <Status tone={tone} words={words} />
          <span className={classNames('text-xs text-quiet', tone !== 'good' && 'pl-4')}>
            <Uses connection={connection} />
          </span>
        </div>
        {mend.offer?.prominent === true && (
          <Button
            className="relative @max-xl:ml-11"
            busy={mend.busy}
            onClick={mend.run}
            aria-label={`${mend.offer.label}: ${identity.name} at ${name}`}
          >
            {mend.offer.label}
          </Button>
        )}
      </div>
      {mend.error !== undefined && (
        <div className="relative">
          <ConnectProblem error={mend.error} onDismiss={mend.clear} />
        </div>
      )}
    </div>
  )
}

function Uses({ connection }: { connection: Connection }) {
  const { lastUsedAt, expiresAt, status } = connection
  return (
    <>
      {lastUsedAt === null ? (
        'never used'
      ) : (
        <>
          used <RelativeTime at={lastUsedAt} />
        </>
      )}
      {expiresAt !== null && status === 'active' && (
        <>
          {' · '}
          <Expiry at={expiresAt} />
        </>
      )}
    </>
  )
}
