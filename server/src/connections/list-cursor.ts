import { AtomError } from '#foundation/errors.ts'

/** A cursor is the id of the last item shown. @throws AtomError `validation_failed` */
export function idIn(cursor: string): string {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(cursor)) return cursor
  throw new AtomError('validation_failed', undefined, {
    problems: [{ pointer: 'query/cursor', detail: 'Is not a cursor of this list.' }],
  })
}
