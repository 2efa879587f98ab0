import type { connectionRoutes, ProviderView } from '@atom/contract/connections.ts'
import type { Body } from '@atom/contract/route.ts'
import { entered } from './entry-field.tsx'

/** The form of an app as the server takes it: `privateKey` is a field of its own, every other app field a setting. */
export function appBody(
  { appFields, appFacts }: Pick<ProviderView, 'appFields' | 'appFacts'>,
  form: FormData,
): Body<typeof connectionRoutes.configureApp> {
  const {
    clientId = '',
    clientSecret,
    privateKey,
    clientSecretExpiresAt,
    scopes,
  } = entered(form, ['clientId', 'clientSecret', 'privateKey', 'clientSecretExpiresAt', 'scopes'])
  // What the form does not ask for stays as it is: the request replaces the whole app.
  const kept = form.has('scopes') ? scopes?.split(/\s+/) : appFacts?.scopes
  const settings = entered(
    form,
    appFields.map(({ name }) => name).filter((name) => name !== 'privateKey'),
  )
  return {
    clientId,
    ...(clientSecret === undefined ? {} : { clientSecret }),
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(Object.keys(settings).length === 0 ? {} : { settings }),
    // A date of the console has no time: by then it must have been replaced, so its first moment counts.
    ...(clientSecretExpiresAt === undefined
      ? {}
      : { clientSecretExpiresAt: `${clientSecretExpiresAt}T00:00:00Z` }),
    ...(kept == null ? {} : { scopes: [...kept] }),
    ...(form.get('testing') === null ? {} : { testing: true }),
  }
}
