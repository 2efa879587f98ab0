import type { LiveNode, SilentNode } from '@atom/contract/operations.ts'
import { Link } from '@tanstack/react-router'
import { plural } from '../ui/clock-text.ts'
import { Status, type StatusTone } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { amountText, waitText } from './amount-text.ts'

/** Every process of the installation; the one that is chosen is what the rest of the page is about. */
export function NodeTable({
  nodes,
  silent,
  shown,
}: {
  nodes: readonly LiveNode[]
  silent: readonly SilentNode[]
  /** The `node` of the one that is shown. */
  shown: string
}) {
  const sum = (of: (node: LiveNode) => number) => nodes.reduce((total, node) => total + of(node), 0)
  const versions = new Set(nodes.map(({ version }) => version))
  return (
    <section aria-label="Processes" className="grid gap-3">
      <div className="grid gap-0.5">
        <h2 className="text-lg font-semibold">Processes</h2>
        <p className="text-sm text-quiet">
          {plural(nodes.length, 'process', 'processes')} with{' '}
          {plural(
            sum(({ summary }) => summary.sockets),
            'socket',
          )}{' '}
          together, {amountText(sum(({ summary }) => summary.published))} said per second
          {versions.size > 1 && `, of ${versions.size} versions`}
        </p>
      </div>
      <table className="w-full text-left tabular-nums">
        <thead className="border-b border-line text-sm text-quiet">
          <tr>
            <th className="py-2 pr-3 font-medium">Process</th>
            <th className="px-3 py-2 font-medium">State</th>
            <th className="px-3 py-2 text-right font-medium">Sockets</th>
            <th className="px-3 py-2 text-right font-medium max-md:hidden">Rooms</th>
            <th className="px-3 py-2 text-right font-medium whitespace-nowrap max-md:hidden">
              Said per second
            </th>
            <th className="px-3 py-2 text-right font-medium max-sm:hidden">p99</th>
            <th className="px-3 py-2 font-medium max-md:hidden">Since</th>
            <th className="py-2 pl-3 font-medium max-lg:hidden">Version</th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => {
            const { id, summary, since, version } = node
            const p99 = summary.acknowledgedP99Ms
            return (
              <tr key={id} className={`border-b border-line ${summary.node === shown ? 'bg-hover' : ''}`}>
                <th scope="row" className="w-1/3 max-w-0 py-2 pr-3 font-normal">
                  <Link
                    to="/operations/live"
                    search={({ q, slow }) => ({ ...(q && { q }), ...(slow && { slow }), node: summary.node })}
                    replace
                    aria-current={summary.node === shown ? 'true' : undefined}
                    title={summary.node}
                    className="block truncate px-1 font-mono text-xs underline decoration-edge underline-offset-2 hover:decoration-current pointer-coarse:py-3"
                  >
                    {summary.node}
                  </Link>
                </th>
                <td className="px-3 py-2">
                  <Status {...stateOf(node)} />
                </td>
                <td className="px-3 py-2 text-right">{amountText(summary.sockets)}</td>
                <td className="px-3 py-2 text-right max-md:hidden">{amountText(summary.rooms)}</td>
                <td className="px-3 py-2 text-right max-md:hidden">{amountText(summary.published)}</td>
                <td className="px-3 py-2 text-right whitespace-nowrap max-sm:hidden">
                  {p99 === null ? '–' : waitText(p99)}
                </td>
                <td className="px-3 py-2 whitespace-nowrap max-md:hidden">
                  <RelativeTime at={since} />
                </td>
                <td className="py-2 pl-3 font-mono text-xs max-lg:hidden">{version}</td>
              </tr>
            )
          })}
          {silent.map(({ id, node, heardAt }) => (
            <tr key={id} className="border-b border-line text-quiet">
              <th scope="row" className="w-1/3 max-w-0 truncate py-2 pr-3 pl-1 font-mono text-xs font-normal">
                {node ?? id}
              </th>
              <td className="px-3 py-2" colSpan={7}>
                <Status tone="bad" words="Does not answer" />
                {heardAt !== null && (
                  <span className="text-sm max-sm:hidden">
                    , last heard <RelativeTime at={heardAt} />
                  </span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function stateOf({ draining, summary }: LiveNode): { tone: StatusTone; words: string } {
  if (draining) return { tone: 'off', words: 'Draining' }
  if (summary.moving > 0) return { tone: 'warn', words: `Moving ${amountText(summary.moving)}` }
  if (summary.behind > 0) return { tone: 'warn', words: `${amountText(summary.behind)} behind` }
  return { tone: 'good', words: 'Live' }
}
