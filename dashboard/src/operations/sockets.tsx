import { type LiveSummary, type OpenSocket, operationRoutes } from '@atom/contract/operations.ts'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { Search } from 'lucide-react'
import { useCallback, useState } from 'react'
import { Chip } from '../connections/search-field.tsx'
import { atom, useMe } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { Button } from '../ui/button.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { inputClass } from '../ui/text-field.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { amountText, bytesText } from './amount-text.ts'
import { DisconnectDialog } from './disconnect-dialog.tsx'
import { usePolled } from './use-polled.ts'

const shown = 50
const most = 200

const words = {
  live: { tone: 'good', words: 'Live' },
  crowded: { tone: 'warn', words: 'Slow' },
  behind: { tone: 'bad', words: 'Behind' },
} as const satisfies Record<OpenSocket['state'], { tone: 'good' | 'warn' | 'bad'; words: string }>

/** Who is connected: slow readers first, then the newest. What is looked for stands in the address. */
export function Sockets({ summary, onChanged }: { summary: LiveSummary; onChanged: () => void }) {
  const { q = '', slow = false, node } = useSearch({ from: '/inside/operations/live' })
  const navigate = useNavigate()
  const [limit, setLimit] = useState(shown)
  const [chosen, setChosen] = useState<OpenSocket>()
  const ask = useCallback(
    () =>
      atom.call(operationRoutes.sockets, {
        query: {
          limit,
          ...(node !== undefined && { node }),
          ...(q !== '' && { q }),
          ...(slow && { state: 'slow' as const }),
        },
      }),
    [q, slow, limit, node],
  )
  const sockets = usePolled(ask)
  const look = (search: { q?: string; slow?: true }) =>
    void navigate({
      to: '/operations/live',
      search: { ...search, ...(node !== undefined && { node }) },
      replace: true,
    })
  const slowNow = summary.behind + summary.crowded

  return (
    <section aria-label="Sockets" className="grid gap-3">
      <div className="grid gap-0.5">
        <h2 className="text-lg font-semibold">Sockets</h2>
        {slowNow > 0 && (
          <p className="text-sm text-quiet">
            Who is slow gets no signals for now; who is behind gets no live events either, and catches up from
            where they are. Nothing is lost.
          </p>
        )}
      </div>
      <div className="flex flex-wrap items-center gap-3">
        <div className="relative min-w-52 flex-1 max-sm:min-w-full">
          <Search size={16} aria-hidden className="absolute top-1/2 left-2.5 -translate-y-1/2 text-quiet" />
          <input
            type="search"
            aria-label="Find a person or a device"
            placeholder="Find a person or a device"
            value={q}
            autoComplete="off"
            spellCheck={false}
            onChange={({ target }) =>
              look({ ...(target.value !== '' && { q: target.value }), ...(slow && { slow }) })
            }
            className={`${inputClass} h-9 pl-8 pointer-coarse:h-11`}
          />
        </div>
        <div className="flex gap-2">
          <Chip chosen={!slow} onChoose={() => look(q === '' ? {} : { q })}>
            All {amountText(summary.sockets)}
          </Chip>
          <Chip chosen={slow} onChoose={() => look({ ...(q !== '' && { q }), slow: true })}>
            Slow readers {amountText(slowNow)}
          </Chip>
        </div>
      </div>
      {sockets.value === undefined ? (
        sockets.error === undefined ? (
          <Loading of="the sockets">
            <Bar className="h-32" />
          </Loading>
        ) : (
          <ProblemNotice error={sockets.error} onRetry={sockets.again} />
        )
      ) : sockets.value.items.length === 0 ? (
        <p className="py-4 text-quiet">
          {q !== ''
            ? `No socket here goes by “${q}”.`
            : slow
              ? 'Everybody reads as fast as you send.'
              : 'Nobody is connected to this process.'}
        </p>
      ) : (
        <>
          <SocketTable items={sockets.value.items} onChoose={setChosen} />
          {sockets.value.next !== null &&
            (limit < most ? (
              <Button className="justify-self-start" onClick={() => setLimit(most)}>
                Show more
              </Button>
            ) : (
              <p className="text-sm text-quiet">The first {most}. Find the others by a part of their name.</p>
            ))}
        </>
      )}
      {chosen !== undefined && (
        <DisconnectDialog
          socket={chosen}
          node={node}
          onClose={() => setChosen(undefined)}
          onDone={() => {
            sockets.again()
            onChanged()
          }}
        />
      )}
    </section>
  )
}

function SocketTable({
  items,
  onChoose,
}: {
  items: readonly OpenSocket[]
  onChoose: (socket: OpenSocket) => void
}) {
  const me = useMe()
  return (
    <table className="w-full text-left tabular-nums">
      <thead className="border-b border-line text-sm text-quiet">
        <tr>
          <th className="py-2 pr-3 font-medium">Person</th>
          <th className="px-3 py-2 font-medium max-md:hidden">Device</th>
          <th className="px-3 py-2 font-medium max-xl:hidden">From</th>
          <th className="px-3 py-2 font-medium">State</th>
          <th className="px-3 py-2 text-right font-medium max-sm:hidden">Unread</th>
          <th className="px-3 py-2 text-right font-medium max-md:hidden">Rooms</th>
          <th className="px-3 py-2 font-medium whitespace-nowrap max-xl:hidden">Last frame</th>
          <th className="px-3 py-2 font-medium max-sm:hidden">Since</th>
          <th className="py-2 pl-3">
            <span className="sr-only">What to do</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {items.map((socket) => (
          <tr key={socket.id} className="border-b border-line">
            <th scope="row" className="w-1/3 max-w-0 truncate py-2 pr-3 font-medium">
              {socket.account.name}
              {socket.account.id === me.account.id && <span className="font-normal text-quiet"> (you)</span>}
            </th>
            <td
              className="max-w-32 truncate px-3 py-2 font-mono text-xs max-md:hidden"
              title={socket.deviceId}
            >
              {socket.deviceId.slice(0, 8)}
            </td>
            <td
              className="max-w-40 truncate px-3 py-2 font-mono text-xs max-xl:hidden"
              title={socket.address}
            >
              {socket.address}
            </td>
            <td className="px-3 py-2">
              <Status {...words[socket.state]} />
            </td>
            <td className="px-3 py-2 text-right whitespace-nowrap max-sm:hidden">
              {bytesText(socket.unsentBytes)}
            </td>
            <td className="px-3 py-2 text-right max-md:hidden">{socket.rooms}</td>
            <td className="px-3 py-2 whitespace-nowrap max-xl:hidden">
              <RelativeTime at={socket.lastFrameAt} />
            </td>
            <td className="px-3 py-2 whitespace-nowrap max-sm:hidden">
              <RelativeTime at={socket.since} />
            </td>
            <td className="py-1 pl-3 text-right">
              <Button
                look="quiet"
                aria-label={`Disconnect ${socket.account.name}, device ${socket.deviceId.slice(0, 8)}`}
                onClick={() => onChoose(socket)}
              >
                Disconnect…
              </Button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
