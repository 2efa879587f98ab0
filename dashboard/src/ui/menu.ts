/** How menus look, wherever they open. */
export const menuPanel = 'z-20 rounded-card border border-line bg-page p-1 shadow-float'
export const menuItem =
  'flex h-8 items-center gap-2.5 rounded-control px-2 outline-none select-none data-disabled:text-quiet data-highlighted:bg-hover pointer-coarse:h-11'
