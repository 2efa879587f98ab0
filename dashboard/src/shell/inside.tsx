import { Outlet, useNavigate, useRouter } from '@tanstack/react-router'
import { useEffect } from 'react'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { atom, useObserved } from './atom.ts'
import { Frame } from './frame.tsx'
import { ProblemNotice } from './problem.tsx'
import { resumeSession } from './resume-session.ts'
import { leftOnPurpose } from './sign-out.tsx'

/** Everything behind the door. A person who is not signed in goes to the door and comes back to where they wanted to be. */
export function Inside() {
  const session = useObserved(atom.session)
  const router = useRouter()
  const navigate = useNavigate()
  useEffect(() => {
    if (session.state !== 'signed_in') return undefined
    // Their failures are shown by the pages that hold these lists.
    void atom.rooms.list().catch(() => undefined)
    void atom.connections.list().catch(() => undefined)
    // On every page: the dot at Rooms says when somebody speaks.
    const followed = atom.rooms.follow()
    return () => followed[Symbol.dispose]()
  }, [session.state])

  useEffect(() => {
    if (session.state !== 'signed_out') return
    const { href, pathname } = router.state.location
    if (pathname === '/sign-in') return
    void navigate({
      to: '/sign-in',
      search: leftOnPurpose() || pathname === '/rooms' ? {} : { next: href },
      replace: true,
    })
  }, [session.state, router, navigate])

  if (session.state !== 'signed_in') return <Waiting />
  return (
    <Frame>
      <Outlet />
    </Frame>
  )
}

/** The shape of the frame, until it is known who is here. */
function Waiting() {
  const error = useObserved(resumeSession)
  return (
    <main className="flex h-full">
      <div className="hidden w-52 shrink-0 border-r border-line bg-panel p-4 md:block" />
      <div className="mx-auto w-full max-w-[45rem] p-6">
        {error === undefined ? (
          <Loading of="Atom">
            <div className="grid gap-6 pt-8">
              <Bar className="h-5 w-40" />
              <Bar className="h-4 w-full" />
              <Bar className="h-4 w-4/5" />
              <Bar className="h-4 w-3/5" />
            </div>
          </Loading>
        ) : (
          <div className="pt-8">
            <ProblemNotice error={error} />
            <p className="mt-3 text-sm text-quiet">
              Atom keeps trying by itself; this page opens as soon as the server answers.
            </p>
          </div>
        )}
      </div>
    </main>
  )
}
