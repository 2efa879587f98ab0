import type { CrossOrigin } from '#http/cross-origin.ts'

/** Tells a request of this server's own pages from one that a foreign page made with this server's cookies. */
export type OwnPages = Pick<CrossOrigin, 'requireOwn'>
