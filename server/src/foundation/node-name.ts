import { hostname } from 'node:os'

/** What this process is called on the operator's pages, and in a log that several write. */
export const nodeName = `${hostname()}-${process.pid}`
