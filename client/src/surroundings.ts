/** `frozen`: nothing of this page runs from now on, until `thawed`. */
export type Happening = 'online' | 'offline' | 'visible' | 'hidden' | 'frozen' | 'thawed'

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
    const frozen = () => heard('frozen')
    const thawed = () => heard('thawed')
    // Into the back-forward cache, and out of it: there is no visibilitychange, but the socket is gone.
    const gone = (event: PageTransitionEvent) => event.persisted && heard('frozen')
    const shown = (event: PageTransitionEvent) => event.persisted && heard('thawed')
    window.addEventListener('online', online)
    window.addEventListener('offline', offline)
    window.addEventListener('pagehide', gone)
    window.addEventListener('pageshow', shown)
    document.addEventListener('freeze', frozen)
    document.addEventListener('resume', thawed)
    document.addEventListener('visibilitychange', visibility)
    return () => {
      window.removeEventListener('online', online)
      window.removeEventListener('offline', offline)
      window.removeEventListener('pagehide', gone)
      window.removeEventListener('pageshow', shown)
      document.removeEventListener('freeze', frozen)
      document.removeEventListener('resume', thawed)
      document.removeEventListener('visibilitychange', visibility)
    }
  },
}
