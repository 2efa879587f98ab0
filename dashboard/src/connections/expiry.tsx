import { RelativeTime, useNow } from '../ui/time.tsx'

/** Until when an access token holds. An old one is no trouble: it is renewed when somebody needs it. */
export function Expiry({ at }: { at: string }) {
  const now = useNow()
  if (new Date(at) <= now) return <>renewed with the next use</>
  return (
    <>
      expires <RelativeTime at={at} />
    </>
  )
}
