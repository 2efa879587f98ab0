import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { atom } from './shell/atom.ts'
import { resumeSession } from './shell/resume-session.ts'
import { createDashboardRouter } from './shell/router.tsx'
import { watchForArrival } from './sign-in/arrival-token.ts'
import './styles.css'

// Before the router reads the address.
watchForArrival()
atom.connections.completeAuthorization()
// A popup that has just closed itself must spend no refresh token: the answer would be lost with the window, and the session.
if (!window.closed) void resumeSession.run()

const root = document.getElementById('atom')
if (root === null) throw new Error('index.html has lost its #atom')
createRoot(root).render(
  <StrictMode>
    <RouterProvider router={createDashboardRouter()} />
  </StrictMode>,
)
