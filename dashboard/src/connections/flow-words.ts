import type { FlowName } from '@atom/contract/connections.ts'

export interface FlowWords {
  /** As a choice. */
  readonly title: string
  readonly explanation: string
  /** On the button. */
  readonly button: string
  /** Behind "Connected yesterday"; empty for the usual way. */
  readonly how: string
}

/** The ways to connect in the words of somebody who has never read an RFC. */
export function flowWords(flow: FlowName, provider: string): FlowWords {
  switch (flow) {
    case 'authorization_code':
      return {
        title: `Sign in at ${provider}`,
        explanation: 'A window opens in which you allow the access.',
        button: 'Connect',
        how: '',
      }
    case 'device_code':
      return {
        title: 'Enter a code on another device',
        explanation: `You get a code and enter it at ${provider}, on this device or another.`,
        button: 'Get a code',
        how: 'with a code',
      }
    case 'client_credentials':
      return {
        title: 'As the app itself',
        explanation: 'No person is asked: the app acts in its own name.',
        button: 'Connect the app',
        how: 'as the app itself',
      }
    case 'jwt_bearer':
      return {
        title: 'With a signing key',
        explanation: 'The app signs for an account that an admin has allowed it to act for.',
        button: 'Connect',
        how: 'with a signing key',
      }
    case 'app_installation':
      return {
        title: 'Install the app for an organisation',
        explanation: `A window opens in which an admin installs it at ${provider}.`,
        button: 'Install the app',
        how: 'by installing the app',
      }
    case 'token_exchange':
      return {
        title: 'Exchange a token you have',
        explanation: `Atom hands it to ${provider} once and keeps what it gets for it.`,
        button: 'Exchange it',
        how: 'with a token',
      }
    case 'api_key':
      return {
        title: 'With a key',
        explanation: `You make a key at ${provider} and paste it here. It is sealed before it is stored.`,
        button: 'Connect',
        how: 'with a key',
      }
  }
}

/** Consent or installation in a window of the provider. */
export function opensWindow(flow: FlowName): boolean {
  return flow === 'authorization_code' || flow === 'app_installation'
}
