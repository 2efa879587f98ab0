/** "0", "0.4", "12", "1,204": one decimal where a whole number would say nothing. */
export function amountText(value: number): string {
  if (value > 0 && value < 10 && !Number.isInteger(value)) {
    return value.toLocaleString('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })
  }
  return Math.round(value).toLocaleString('en')
}

/** "3.2 ms", "38 ms", "1.2 s". */
export function waitText(ms: number): string {
  return ms < 1_000 ? `${amountText(ms)} ms` : `${amountText(ms / 1_000)} s`
}

/** "0 B", "640 B", "12 kB", "3.4 MB", "2.1 GB". */
export function bytesText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  if (bytes < 1_000_000) return `${amountText(bytes / 1_000)} kB`
  if (bytes < 1_000_000_000) return `${amountText(bytes / 1_000_000)} MB`
  return `${amountText(bytes / 1_000_000_000)} GB`
}

/** A share from 0 to 1: "0 %", "0.02 %", "4.1 %", "38 %". */
export function shareText(share: number): string {
  const percent = share * 100
  if (percent > 0 && percent < 0.095) return `${Math.max(percent, 0.01).toFixed(2)} %`
  return `${amountText(percent)} %`
}
