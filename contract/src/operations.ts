import { type Static, Type } from 'typebox'
import { route } from './route.ts'

const Check = Type.Object({
  status: Type.Union([Type.Literal('up'), Type.Literal('degraded'), Type.Literal('down')]),
  detail: Type.Optional(Type.String()),
})

export const Health = Type.Object({
  status: Type.Union([Type.Literal('up'), Type.Literal('degraded'), Type.Literal('down')]),
  /** Every component by name; for operators only. */
  components: Type.Optional(Type.Record(Type.String(), Check)),
})
export type Health = Static<typeof Health>

export const operationRoutes = {
  live: route({
    method: 'GET',
    path: '/live',
    summary: 'The process is alive; depends on nothing',
    audience: 'anyone',
    answers: { 200: Type.Object({ status: Type.Literal('up') }) },
    errors: [],
  }),
  ready: route({
    method: 'GET',
    path: '/ready',
    summary: 'May take traffic: 503 while starting, draining or without its database',
    audience: 'anyone',
    answers: { 200: Type.Object({ status: Type.Literal('up') }) },
    errors: ['starting', 'draining', 'unavailable'],
  }),
  status: route({
    method: 'GET',
    path: '/status',
    summary: 'One word',
    audience: 'anyone',
    answers: {
      200: Type.Object({
        status: Type.Union([
          Type.Literal('starting'),
          Type.Literal('up'),
          Type.Literal('degraded'),
          Type.Literal('down'),
          Type.Literal('draining'),
        ]),
      }),
    },
    errors: [],
  }),
  health: route({
    method: 'GET',
    path: '/health',
    summary: 'Every component; details for operators only',
    audience: 'anyone',
    answers: { 200: Health, 503: Health },
    errors: [],
  }),
  keySet: route({
    method: 'GET',
    path: '/.well-known/jwks.json',
    summary: 'The public keys that access tokens are signed with (RFC 7517)',
    audience: 'anyone',
    answers: {
      200: Type.Object({
        keys: Type.Array(
          Type.Object({
            kty: Type.Literal('OKP'),
            crv: Type.Literal('Ed25519'),
            x: Type.String(),
            kid: Type.String(),
            use: Type.Literal('sig'),
            alg: Type.Literal('EdDSA'),
          }),
        ),
      }),
    },
    errors: [],
  }),
  openSandbox: route({
    method: 'POST',
    path: '/v1/operations/sandbox',
    summary: 'Start the provider sandbox on this machine; it stands in for providers without an app',
    audience: 'operator',
    answers: { 200: Type.Object({ running: Type.Literal(true) }) },
    errors: [],
  }),
} as const
