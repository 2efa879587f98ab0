import { use } from 'react'
import { type ItemProps, type ListProps, Virtuoso } from 'react-virtuoso'
import { type Account, AccountRow } from './account-row.tsx'
import { ScrollParent } from './list-page.tsx'

/** Up to here all rows simply stand there: found by Ctrl F, printed, and there at once. */
const mostWhole = 50

/** Any number of rows; of many, only those that can be seen exist. */
export function AccountList({ accounts }: { accounts: readonly Account[] }) {
  const scroller = use(ScrollParent)
  const frame = 'overflow-hidden rounded-card border border-line'
  if (accounts.length <= mostWhole) {
    return (
      <ul aria-label="Accounts" className={frame}>
        {accounts.map((account) => (
          <li key={account.connection.id} aria-label={labelOf(account)} className={rowClass}>
            <AccountRow account={account} />
          </li>
        ))}
      </ul>
    )
  }
  if (scroller === null) return null
  return (
    <div className={frame}>
      <Virtuoso<Account, number>
        customScrollParent={scroller}
        data={accounts}
        context={accounts.length}
        components={parts}
        computeItemKey={(_, { connection }) => connection.id}
        itemContent={(_, account) => <AccountRow account={account} />}
        initialItemCount={20}
        increaseViewportBy={{ top: 600, bottom: 600 }}
      />
    </div>
  )
}

const parts = {
  List: ({ children, ref, style }: ListProps<HTMLUListElement>) => (
    <ul ref={ref} style={style} aria-label="Accounts">
      {children}
    </ul>
  ),
  Item: ({ item, children, context, ...place }: ItemProps<Account> & { context?: number }) => (
    <li
      {...place}
      aria-label={labelOf(item)}
      aria-posinset={place['data-index'] + 1}
      aria-setsize={context}
      className={rowClass}
    >
      {children}
    </li>
  ),
}

const rowClass =
  'relative px-4 py-2.5 not-first:border-t not-first:border-line has-[a[aria-current]]:bg-panel has-[a[aria-current]]:before:absolute has-[a[aria-current]]:before:inset-y-0 has-[a[aria-current]]:before:left-0 has-[a[aria-current]]:before:w-0.5 has-[a[aria-current]]:before:bg-accent hover:bg-panel'

function labelOf({ name, connection }: Account): string {
  return `${name}: ${connection.identity.name}`
}
