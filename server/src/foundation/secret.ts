import { inspect } from 'node:util'

/**
 * A value that cannot be logged, serialised or concatenated by accident: every way a program turns a value into text yields
 * `[secret]`. `reveal()` is the one way in, and easy to find.
 */
export class Secret<T = string> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  reveal(): T {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
