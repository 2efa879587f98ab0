import type { AddressInfo } from 'node:net'
import express from 'express'
import { item, path, tellProcessorTime } from './exchange.ts'

// A peer of the benchmark `api`: Express as it comes, with nothing in front of the door.

const app = express()
app.use(express.json())
app.get(`${path}/:id`, (_request, response) => void response.json(item))
app.post(path, (_request, response) => void response.json(item))
const server = app.listen(0, '127.0.0.1', () => {
  tellProcessorTime(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
