import { createContext, use } from 'react'

export type FrameDialog = 'palette' | 'keys' | 'new-room' | 'new-direct' | 'sign-out'

/** Opens what stands over every page. */
export const FrameDialogs = createContext<(dialog: FrameDialog) => void>(() => undefined)

export function useFrameDialogs(): (dialog: FrameDialog) => void {
  return use(FrameDialogs)
}
