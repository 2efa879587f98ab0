export type Theme = 'system' | 'light' | 'dark'

const key = 'atom.theme'
const system = matchMedia('(prefers-color-scheme: dark)')
const listeners = new Set<() => void>()
let chosen = read()

/** `first-paint.js` does the same once, before this is loaded. */
function apply(): void {
  const dark = chosen === 'dark' || (chosen === 'system' && system.matches)
  document.documentElement.classList.toggle('dark', dark)
  document.documentElement.classList.toggle('light', !dark)
}

system.addEventListener('change', apply)
addEventListener('storage', (event) => {
  if (event.key === key) change(read())
})

function change(theme: Theme): void {
  chosen = theme
  apply()
  for (const heard of listeners) heard()
}

export const theme = {
  subscribe: (listener: () => void): (() => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  },
  getSnapshot: (): Theme => chosen,
  set(next: Theme): void {
    try {
      localStorage.setItem(key, next)
    } catch {
      // Storage can be switched off: the choice then holds until the page is closed.
    }
    change(next)
  },
}

function read(): Theme {
  try {
    const stored = localStorage.getItem(key)
    return stored === 'light' || stored === 'dark' ? stored : 'system'
  } catch {
    return 'system'
  }
}
