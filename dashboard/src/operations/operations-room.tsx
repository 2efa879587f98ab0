import { Link, Outlet } from '@tanstack/react-router'
import { isOperator, useMe } from '../shell/atom.ts'
import { ForOperators } from './for-operators.tsx'

const pages = [
  { to: '/operations/overview', word: 'Overview' },
  { to: '/operations/alerts', word: 'Alerts' },
  { to: '/operations/objectives', word: 'Objectives' },
  { to: '/operations/traffic', word: 'Traffic' },
  { to: '/operations/errors', word: 'Errors' },
  { to: '/operations/limits', word: 'Limits' },
  { to: '/operations/log', word: 'Log' },
  { to: '/operations/live', word: 'Live' },
] as const

/** Everything under /operations: the pages of those who keep the server going. */
export function OperationsRoom() {
  const me = useMe()
  if (!isOperator(me)) {
    return (
      <div className="mx-auto grid w-full max-w-[75rem] gap-8 px-4 pt-6 pb-12 md:px-8 md:pt-8">
        <ForOperators title="Operations" />
      </div>
    )
  }
  return (
    <>
      <nav aria-label="Operations" className="shrink-0 border-b border-line">
        <ul className="mx-auto flex w-full max-w-[75rem] flex-wrap px-2 md:px-6">
          {pages.map(({ to, word }) => (
            <li key={to}>
              <Link
                to={to}
                className="block border-b-2 border-transparent px-1.5 pt-3 pb-2.5 text-quiet hover:text-text sm:px-2.5"
                activeProps={{ className: '!border-accent !text-text font-medium', 'aria-current': 'page' }}
              >
                {word}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <Outlet />
    </>
  )
}
