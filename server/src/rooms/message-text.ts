import { limits } from '@atom/contract/rooms.ts'
import { AtomError } from '#foundation/errors.ts'

/** What somebody says, before it goes anywhere. @throws AtomError `message_too_large`, `validation_failed` */
export function checkText(text: string): void {
  const bytes = Buffer.byteLength(text)
  if (bytes > limits.messageBytes) {
    throw new AtomError(
      'message_too_large',
      `The message is ${bytes} bytes long; the limit is ${limits.messageBytes} bytes of UTF-8.`,
    )
  }
  if (text.includes('\0') || !text.isWellFormed()) {
    throw new AtomError(
      'validation_failed',
      'The message holds characters that are not text (NUL or half an emoji).',
    )
  }
}
