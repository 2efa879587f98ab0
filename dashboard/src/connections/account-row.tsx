import type { Connection } from '@atom/contract/connections.ts'
import { Link } from '@tanstack/react-router'
import { Button } from '../ui/button.tsx'
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
        <div className="min-w-0 basis-[42%] @max-xl:flex-1">
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
          <p className="flex text-sm text-quiet">
            <span className="truncate">
              {[name, identity.handle ?? identity.email].filter(Boolean).join(' · ')}
            </span>
            {connection.sandbox && <span className="shrink-0 whitespace-pre"> · sandbox</span>}
          </p>
        </div>
        <div className="grid min-w-0 flex-1 gap-0.5 @max-xl:w-full @max-xl:flex-none @max-xl:pl-11">
          <Status tone={tone} words={words} />
          <span className="pl-4 text-xs text-quiet">
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
