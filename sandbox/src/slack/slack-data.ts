import type { Effects } from '../effects.ts'
import { type Person, personByKey } from '../people.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { Collection, SandboxStore } from '../sandbox-store.ts'
import { type SeedChannel, seedChannels, seedMessages } from './slack-seed.ts'
import { bot, slackUserId } from './slack-team.ts'

export interface Channel extends Omit<SeedChannel, 'members' | 'creator'> {
  /** User ids, the bot's among them where it was added. */
  readonly members: readonly string[]
  readonly creator: string
  /** Seconds since 1970. */
  readonly created: number
}

export interface SlackMessage {
  readonly channel: string
  /** Seconds since 1970 with six digits after the point: the message's id in its channel. */
  readonly ts: string
  readonly user: string
  readonly byBot: boolean
  readonly text: string
  readonly threadTs: string | undefined
  readonly editedTs: string | undefined
  readonly deleted: boolean
  readonly blocks: readonly unknown[] | undefined
}

/** Who writes: the bot or a person; the person who connected it is counted in effects either way. */
export interface Writer {
  readonly person: Person
  readonly userId: string
  readonly byBot: boolean
}

/** The channels of the one workspace and what was said there. */
export class SlackData {
  readonly #store: SandboxStore
  readonly #clock: SandboxClock
  readonly #effects: Effects
  readonly #channels: Collection<Channel>
  readonly #messages: Collection<SlackMessage>

  constructor(dependencies: { store: SandboxStore; clock: SandboxClock; effects: Effects }) {
    this.#store = dependencies.store
    this.#clock = dependencies.clock
    this.#effects = dependencies.effects
    this.#channels = this.#store.collection('slack', 'channel')
    this.#messages = this.#store.collection('slack', 'message')
    if (this.#channels.list().length === 0) this.seed()
  }

  channels(): Channel[] {
    return this.#channels.list()
  }

  /** By id, or by name with or without `#`. */
  channel(given: string): Channel | undefined {
    const name = given.replace(/^#/, '')
    return this.#channels.get(given) ?? this.#channels.list().find((channel) => channel.name === name)
  }

  /** Newest first, as Slack lists them. */
  messages(channel: Channel): SlackMessage[] {
    return this.#messages
      .list()
      .filter((message) => message.channel === channel.id && !message.deleted)
      .sort((one, other) => Number(other.ts) - Number(one.ts))
  }

  message(channel: Channel, ts: string): SlackMessage | undefined {
    const message = this.#messages.get(`${channel.id}/${ts}`)
    return message?.deleted === true ? undefined : message
  }

  join(writer: Writer, channel: Channel): Channel {
    const joined = { ...channel, members: [...new Set([...channel.members, writer.userId])] }
    if (joined.members.length === channel.members.length) return channel
    this.#store.transaction(() => {
      this.#channels.put(channel.id, joined)
      this.#effect('channel.joined', writer, channel.id, channel.name)
    })
    return joined
  }

  post(
    writer: Writer,
    channel: Channel,
    fields: Pick<SlackMessage, 'text' | 'threadTs' | 'blocks'>,
  ): SlackMessage {
    const message: SlackMessage = {
      ...fields,
      channel: channel.id,
      ts: this.#nextTs(channel),
      user: writer.userId,
      byBot: writer.byBot,
      editedTs: undefined,
      deleted: false,
    }
    return this.#keep('message.posted', writer, channel, message)
  }

  update(writer: Writer, channel: Channel, message: SlackMessage, text: string): SlackMessage {
    const editedTs = this.#nextTs(channel)
    return this.#keep('message.changed', writer, channel, { ...message, text, editedTs })
  }

  delete(writer: Writer, channel: Channel, message: SlackMessage): void {
    this.#keep('message.deleted', writer, channel, { ...message, deleted: true })
  }

  /** The first day again. */
  seed(): void {
    const now = this.#clock.now().getTime() / 1000
    this.#store.transaction(() => {
      this.#channels.clear()
      this.#messages.clear()
      for (const seed of seedChannels) {
        this.#channels.put(seed.id, {
          ...seed,
          creator: userIdOf(seed.creator),
          members: seed.members.map(userIdOf),
          created: 1_707_728_400,
        })
      }
      const times = seedMessages.map(([, , minutes], index) =>
        (Math.floor(now - minutes * 60) + index / 1e6).toFixed(6),
      )
      for (const [index, [name, author, , text, answers]] of seedMessages.entries()) {
        const channel = seedChannels.find((each) => each.name === name)?.id ?? ''
        const ts = times[index] ?? ''
        this.#messages.put(`${channel}/${ts}`, {
          channel,
          ts,
          user: userIdOf(author),
          byBot: false,
          text,
          threadTs: answers === undefined ? undefined : times[index - answers],
          editedTs: undefined,
          deleted: false,
          blocks: undefined,
        })
      }
    })
  }

  /** The time, a little later where a message has it already: a `ts` is unique in its channel. */
  #nextTs(channel: Channel): string {
    let micros = this.#clock.now().getTime() * 1000
    const written = () => `${Math.floor(micros / 1e6)}.${String(micros % 1e6).padStart(6, '0')}`
    while (this.#messages.get(`${channel.id}/${written()}`) !== undefined) micros += 1
    return written()
  }

  #keep(kind: string, writer: Writer, channel: Channel, message: SlackMessage): SlackMessage {
    this.#store.transaction(() => {
      this.#messages.put(`${channel.id}/${message.ts}`, message)
      this.#effect(kind, writer, `${channel.id}/${message.ts}`, message.text)
    })
    return message
  }

  #effect(kind: string, writer: Writer, target: string, title: string): void {
    this.#effects.add({ provider: 'slack', kind, person: writer.person.email, target, title })
  }
}

function userIdOf(key: string): string {
  const person = personByKey(key)
  return person === undefined ? bot.userId : slackUserId(person)
}
