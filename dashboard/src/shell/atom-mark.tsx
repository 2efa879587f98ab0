/** Our own mark, in the colour of the text around it. */
export function AtomMark({ size = 20 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden="true">
      <ellipse
        cx="16"
        cy="16"
        rx="13.5"
        ry="6"
        stroke="currentColor"
        strokeWidth="2.5"
        transform="rotate(-38 16 16)"
      />
      <circle cx="16" cy="16" r="3.75" fill="currentColor" />
      <circle cx="26.4" cy="7.6" r="2.5" fill="currentColor" />
    </svg>
  )
}
