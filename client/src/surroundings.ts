export type Happening = 'online' | 'offline' | 'visible' | 'hidden'

/** What a client can feel of the machine it runs on. */
export interface Surroundings {
  /** False only where the system is sure that there is no network. */
  online(): boolean
  watch(heard: (happening: Happening) => void): () => void
}

export const inBrowser: boolean = typeof window !== 'undefined' && typeof document !== 'undefined'

/** Node feels nothing: a process that runs is looked at, and the network is found out by using it. */
export const nodeSurroundings: Surroundings = { online: () => true, watch: () => () => undefined }

export const browserSurroundings: Surroundings = {
  online: () => navigator.onLine,
  watch: (heard) => {
    const online = () => heard('online')
    const offline = () => heard('offline')
    const visibility = () => heard(document.visibilityState === 'visible' ? 'visible' : 'hidden')
    // A page taken out of the back-forward cache gets no visibilitychange, but its socket is gone.
    const shown = (event: PageTransitionEvent) => event.persisted && heard('online')
    window.addEventListener('online', online)
    window.addEventListener('offline', offline)
    window.addEventListener('pageshow', shown)
    document.addEventListener('visibilitychange', visibility)
    return () => {
      window.removeEventListener('online', online)
      window.removeEventListener('offline', offline)
      window.removeEventListener('pageshow', shown)
      document.removeEventListener('visibilitychange', visibility)
    }
  },
}
