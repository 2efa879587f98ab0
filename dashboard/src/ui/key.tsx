/** A key of the keyboard; nothing where there is only touch. */
export function Key({ children }: { children: string }) {
  return (
    <kbd className="inline-grid h-5 min-w-5 place-items-center rounded-[4px] border border-edge bg-page px-1 font-sans text-xs text-quiet pointer-coarse:hidden">
      {children}
    </kbd>
  )
}
