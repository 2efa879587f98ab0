import type { connectionRoutes, ProviderView } from '@atom/contract/connections.ts'
import type { Body } from '@atom/contract/route.ts'
import { entered } from './entry-field.tsx'

/** The form of an app as the server takes it: `privateKey` is a field of its own, every other app field a setting. */
export function appBody(
  { appFields }: Pick<ProviderView, 'appFields'>,
  form: FormData,
): Body<typeof connectionRoutes.configureApp> {
  const {
    clientId = '',
    clientSecret,
    privateKey,
    clientSecretExpiresAt,
  } = entered(form, ['clientId', 'clientSecret', 'privateKey', 'clientSecretExpiresAt'])
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
    ...(form.get('testing') === null ? {} : { testing: true }),
  }
}
