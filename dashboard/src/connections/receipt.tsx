import type { DisconnectReceipt } from '@atom/contract/connections.ts'
import { Link } from '@tanstack/react-router'
import { Check, Minus } from 'lucide-react'
import { buttonClass } from '../ui/button.tsx'
import { RelativeTime } from '../ui/time.tsx'

/** What is gone, and what is not. */
export function Receipt({ receipt, provider }: { receipt: DisconnectReceipt; provider: string }) {
  const { gone, remains, detail, at } = receipt
  return (
    <div role="status" className="grid gap-4">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4">
        <h2 className="font-semibold">Disconnected from {provider}</h2>
        <span className="text-sm text-quiet">
          <RelativeTime at={at} />
        </span>
      </div>
      <section className="grid gap-2">
        <h3 className="text-sm text-quiet">Gone</h3>
        <ul className="grid gap-2">
          {gone.map((what) => (
            <li key={what} className="flex items-start gap-2">
              <Check size={16} aria-hidden className="mt-[3px] shrink-0 text-good" />
              <span className="min-w-0">{what}</span>
            </li>
          ))}
        </ul>
      </section>
      {remains.length > 0 && (
        <section className="grid gap-2">
          <h3 className="text-sm text-quiet">Remains</h3>
          <ul className="grid gap-2">
            {remains.map(({ what, until }) => (
              <li key={what} className="flex items-start gap-2">
                <Minus size={16} aria-hidden className="mt-[3px] shrink-0 text-warn" />
                <span className="min-w-0">
                  {what}
                  <span className="block text-sm text-quiet">
                    {until === null ? (
                      'until somebody ends it'
                    ) : (
                      <>
                        until <RelativeTime at={until} />
                      </>
                    )}
                  </span>
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <p className="text-sm text-quiet">{detail}</p>
      <Link
        to="/connections"
        search={(kept) => kept}
        className={`${buttonClass('plain')} justify-self-start`}
      >
        Back to all accounts
      </Link>
    </div>
  )
}
