import type { ProviderCategory } from '@atom/contract/connections.ts'

export const categoryWords: Readonly<Record<ProviderCategory, string>> = {
  office: 'Office',
  communication: 'Communication',
  development: 'Development',
  projects: 'Projects',
  documents: 'Documents',
  customers: 'Customers',
  support: 'Support',
  design: 'Design',
  standard: 'Any other',
}
