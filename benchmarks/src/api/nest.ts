import 'reflect-metadata'
import { Controller, Get, HttpCode, Module, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { item, path, tellProcessorTime } from './exchange.ts'

// A peer of the benchmark `api`: Nest as it comes, over Express. Its decorators are applied by hand: Node runs TypeScript without them.

class Items {
  read() {
    return item
  }
  write() {
    return item
  }
}
function decorate(name: 'read' | 'write', ...decorators: readonly MethodDecorator[]): void {
  const descriptor = Object.getOwnPropertyDescriptor(Items.prototype, name)
  if (descriptor === undefined) throw new Error(`${name} is no method`)
  for (const decorator of decorators) decorator(Items.prototype, name, descriptor)
}
decorate('read', Get(':id'))
decorate('write', Post(), HttpCode(200))
Controller(path)(Items)
class Root {}
Module({ controllers: [Items] })(Root)

const app = await NestFactory.create(Root, { logger: ['error'] })
await app.listen(0, '127.0.0.1')
tellProcessorTime(await app.getUrl())
