import { accountRoutes } from '@atom/contract/accounts.ts'
import { atom } from '../shell/atom.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Notice } from '../ui/notice.tsx'

const askMembers = () => atom.call(accountRoutes.members, { query: { limit: 200 } })

/** For whoever may not see a page of the operators: who can grant it. */
export function ForOperators({ title }: { title: string }) {
  const members = useAnswer(askMembers)
  const owners =
    members.state === 'ready'
      ? members.value.items.filter(({ role }) => role === 'owner').map(({ account }) => account.name)
      : []
  return (
    <>
      <h1 className="text-xl font-semibold">{title}</h1>
      <Notice tone="plain" title="This page is for owners and admins of the workspace">
        {owners.length > 0 && <p>{owners.join(', ')} can make you one.</p>}
      </Notice>
    </>
  )
}
