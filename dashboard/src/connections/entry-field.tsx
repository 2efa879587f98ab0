import { PasswordField } from '../ui/password-field.tsx'
import { TextAreaField } from '../ui/text-area-field.tsx'
import { TextField } from '../ui/text-field.tsx'

/** One thing that a provider wants to be told, as its file describes it. */
export interface Entry {
  readonly name: string
  readonly label: string
  readonly meaning: string
  readonly secret: boolean
  readonly required: boolean
  readonly multiline?: boolean
  /** What was entered before, where it is no secret. */
  readonly value?: string
  /** Holds where nothing is entered. */
  readonly standard?: string
}

export function EntryField({ entry, problem }: { entry: Entry; problem: string | undefined }) {
  const { name, label, meaning, required } = entry
  const common = {
    name,
    required,
    problem,
    label: required ? label : `${label} (optional)`,
    hint: meaning,
    ...(entry.value === undefined ? {} : { defaultValue: entry.value }),
    ...(entry.standard === undefined ? {} : { placeholder: entry.standard }),
  }
  if (entry.multiline === true) return <TextAreaField {...common} maxLength={20_000} />
  if (entry.secret) return <PasswordField {...common} maxLength={20_000} autoComplete="off" />
  return <TextField {...common} maxLength={500} autoComplete="off" spellCheck={false} autoCapitalize="none" />
}

/** What was entered, by name; what was left empty is left out, so that the standard holds. */
export function entered(form: FormData, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = form.get(name)
      const text = typeof value === 'string' ? value.trim() : ''
      return text === '' ? [] : [[name, text]]
    }),
  )
}
