import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type BetterAuthSettings, openBetterAuth } from './better-auth.ts'

// One process with Better Auth in it: whoever asks gets the access token that `getAccessToken` gives.
const { userId, accountId, ...settings }: BetterAuthSettings & { userId: string; accountId: string } =
  JSON.parse(process.env['ATOM_BENCH_BETTER_AUTH'] ?? '{}')
const { auth } = openBetterAuth(settings)
await auth.$context
const server = createServer(async (_request, response) => {
  try {
    const { accessToken } = await auth.api.getAccessToken({ body: { accountId, userId } })
    response.end(accessToken)
  } catch (error) {
    response.writeHead(503).end(error instanceof Error ? error.message : String(error))
  }
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
