import { createLog } from '#foundation/log.ts'

/** Keeps what the parts say when a test fails; set ATOM_TEST_LOG=debug to see it. */
export const testLog = createLog({ level: process.env['ATOM_TEST_LOG'] ?? 'silent' })
