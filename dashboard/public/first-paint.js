// The theme, before anything is painted. `theme.ts` keeps it up to date afterwards.
;(() => {
  let chosen = 'system'
  try {
    chosen = localStorage.getItem('atom.theme') ?? 'system'
  } catch {
    // Storage can be switched off: the system's theme is then the right one.
  }
  const dark = chosen === 'dark' || (chosen !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.add(dark ? 'dark' : 'light')
})()
