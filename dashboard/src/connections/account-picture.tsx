import type { Connection } from '@atom/contract/connections.ts'
import { Avatar } from '../ui/avatar.tsx'
import { ProviderMark } from './provider-mark.tsx'

/** The person, with the mark of where their account is. Decoration: both names stand beside it. */
export function AccountPicture({ connection }: { connection: Connection }) {
  const { identity, provider } = connection
  return (
    <span className="relative">
      <Avatar name={identity.name} src={identity.avatarUrl} />
      <span className="absolute -right-2 -bottom-1.5 grid size-[18px] place-items-center rounded-full border border-line bg-page">
        <ProviderMark provider={provider} size={11} />
      </span>
    </span>
  )
}
