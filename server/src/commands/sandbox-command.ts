import { type Sandbox, startSandbox } from '@atom/sandbox/sandbox.ts'
import { Command, InvalidArgumentError } from 'commander'
import { StartError } from '../foundation/start-error.ts'

interface SandboxCall {
  readonly port?: number
  readonly dataDir?: string
  readonly redirectUri?: readonly string[]
  readonly json?: boolean
}

const help = `
Point your client at the addresses that are printed instead of the providers' own, and use the client ids and secrets beside
them. It listens on 127.0.0.1 only. Its people are ada, grace and katherine.

It is turned over HTTP, below /_control of its address; a body is JSON and needs Content-Type: application/json:

  GET    /_control                       addresses, apps, and the sandbox's time
  POST   /_control/redirects             {"uri": "http://…/callback"}
  POST   /_control/faults                {"path": "/github/api/*", "outcome": {"status": 503}, "times": 2}
           outcome                       "rate_limited", {"status": 400 to 599}, "cut" (before), "cut_after" (the answer is lost)
           delayMs                       latency, alone or before the outcome
           method, times, retryAfterSeconds
  GET    /_control/faults                which are armed, and how often each has struck
  DELETE /_control/faults                all are lifted
  POST   /_control/revoke                {"provider": "slack", "person": "ada"}: consent is withdrawn at the provider
  POST   /_control/expire                {"provider": "google"}: access tokens end now
  POST   /_control/advance               {"seconds": 3600}: time passes, for tokens, codes and sessions
  POST   /_control/rate-limit            {"provider": "notion", "perHour": 10}
  POST   /_control/challenge             {"person": "ada"}: Microsoft judges her sessions anew
  POST   /_control/slack-token-rotation  {}
  GET    /_control/effects               what was written through the APIs, once each
  GET    /_control/requests              what was asked, and how it was answered
  GET    /_control/issued                every code and token that left the sandbox
  POST   /_control/reset                 {}: as on the first day; apps and redirect URIs stay

More: docs/sandbox.md. Exit status: 0 it was ended by SIGTERM or SIGINT, 1 it could not start, 2 wrong call.`

/** `atom sandbox`: the provider sandbox alone, for anybody's tests. */
export function sandboxCommand(): Command {
  return new Command('sandbox')
    .description('run the provider sandbox alone: stand-ins for eight providers on this machine')
    .option('--port <number>', 'listen there (the port of last time, or any free one)', portOf)
    .option('--data-dir <folder>', 'keep apps, consents, tokens and data there (in memory)')
    .option(
      '--redirect-uri <uri>',
      'let apps send people back to this address; may be given several times',
      uris,
    )
    .option('--json', 'say addresses and apps as one line of JSON, and nothing else')
    .addHelpText('after', help)
    .action(async (call: SandboxCall) => {
      const ended = untilEnded()
      await using sandbox = await started(call)
      process.stdout.write(call.json === true ? asJson(sandbox) : asText(sandbox))
      await ended
    })
}

async function started({ port, dataDir, redirectUri = [] }: SandboxCall): Promise<Sandbox> {
  try {
    return await startSandbox({
      ...(dataDir !== undefined && { dataDir }),
      ...(port !== undefined && { port }),
      redirectUris: redirectUri,
    })
  } catch (error) {
    // It says in one sentence what is taken or held.
    throw error instanceof Error ? new StartError(error.message, { cause: error }) : error
  }
}

function asJson({ url, origins, apps }: Sandbox): string {
  return `${JSON.stringify({ url, origins, apps, control: `${url}/_control` })}\n`
}

function asText({ url, origins, apps }: Sandbox): string {
  const width = Math.max(...Object.keys(origins).map((origin) => origin.length))
  return [
    `The sandbox listens on ${url}`,
    '',
    ...Object.entries(origins).map(([origin, here]) => `  ${origin.padEnd(width)}  ${here}`),
    '',
    ...Object.entries(apps).flatMap(([provider, { clientId, clientSecret }]) => [
      `  ${provider}`,
      `    client id      ${clientId}`,
      `    client secret  ${clientSecret}`,
    ]),
    '',
    `  Faults, time, revocations, what was written: ${url}/_control (atom sandbox --help)`,
    '',
  ].join('\n')
}

function untilEnded(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
}

function portOf(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError('Give a port from 0 to 65535.')
  return port
}

function uris(text: string, before: readonly string[] = []): readonly string[] {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol) || text.includes('#'))
    throw new InvalidArgumentError('Give an absolute http or https address without a fragment.')
  return [...before, text]
}
