import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServerFrame } from '@atom/contract/socket.ts'
import { io, type Socket } from 'socket.io-client'
import type { Device } from './device.ts'
import type { ChaosRoom } from './person.ts'
import type { Way } from './schedule.ts'

const withinMs = 8_000
/** A message that is there in most rooms. */
const early = 2
/** How long it listens after it was refused: what comes then should not. */
const listensMs = 400

/** What came of an attempt to get into a room: the code of the refusal, or undefined where nothing stood in the way. */
export interface Trespass {
  readonly code: string | undefined
  /** Frames of the room that came all the same. */
  readonly events: ServerFrame<'room.events'>['events']
  readonly signals: readonly string[]
}

/** Tries to get into a room, as somebody with a good token who is not in it. Undefined: the network was in the way. */
export async function trespass(device: Device, room: ChaosRoom, way: Way): Promise<Trespass | undefined> {
  const { line, person } = device
  if (way === 'http' || way === 'pin') {
    const answer =
      way === 'http'
        ? await person.call(line.url, 'GET', `/v1/rooms/${room.id}/events?after=0`)
        : await person.call(line.url, 'PUT', `/v1/rooms/${room.id}/pins/${early}`)
    if (answer === undefined) return undefined
    return {
      code: answer.status < 300 ? undefined : (answer.body.code ?? String(answer.status)),
      events: [],
      signals: [],
    }
  }
  const events: ServerFrame<'room.events'>['events'] = []
  const signals: string[] = []
  const socket = io(line.url, {
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
    auth: {
      token: await person.token(line.url),
      deviceId: `stranger-${randomUUID().slice(0, 8)}`,
      ...(way === 'cursor' && { cursors: { [room.id]: { epoch: room.epoch, seq: 0 } } }),
    },
  })
  socket.on('room.events', (frame: ServerFrame<'room.events'>) => {
    if (frame.roomId === room.id) events.push(...frame.events)
  })
  socket.on('room.signal', (signal: ServerFrame<'room.signal'>) => {
    if (signal.roomId === room.id) signals.push(signal.kind)
  })
  try {
    const hello = await helloOf(socket)
    if (hello === undefined) return undefined
    const code = way === 'cursor' ? codeOf(hello.rooms[room.id]) : await asked(socket, room, way)
    if (code === 'no answer') return undefined
    await delay(listensMs)
    return { code, events, signals }
  } finally {
    socket.disconnect()
  }
}

function helloOf(socket: Socket): Promise<ServerFrame<'hello'> | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), withinMs)
    const settle = (hello: ServerFrame<'hello'> | undefined) => {
      clearTimeout(timer)
      resolve(hello)
    }
    socket.once('hello', settle)
    socket.once('connect_error', () => settle(undefined))
    socket.once('disconnect', () => settle(undefined))
  })
}

async function asked(socket: Socket, room: ChaosRoom, way: Way): Promise<string | undefined> {
  const roomId = room.id
  const frames = {
    join: ['room.join', { roomId, after: 0 }],
    fetch: ['room.fetch', { roomId, after: 0 }],
    send: ['message.send', { roomId, clientId: randomUUID(), text: 'let me in' }],
    typing: ['signal', { roomId, kind: 'typing' }],
    edit: ['message.edit', { roomId, seq: early, clientId: randomUUID(), text: 'let me in' }],
    delete: ['message.delete', { roomId, seq: early }],
    react: ['message.react', { roomId, seq: early, emoji: '🚪', on: true }],
  } as const
  const [name, body] = way === 'cursor' || way === 'http' || way === 'pin' ? frames.join : frames[way]
  // Right before: whoever joins follows the room until it is known that they may not.
  if (way === 'typing') socket.emit('room.join', { roomId, after: 0 })
  try {
    return codeOf(await socket.timeout(withinMs).emitWithAck(name, body))
  } catch {
    return 'no answer'
  }
}

function codeOf(answer: unknown): string | undefined {
  const { ok, error } = answer as { ok: boolean; error?: { code: string } }
  return ok ? undefined : (error?.code ?? 'refused')
}
