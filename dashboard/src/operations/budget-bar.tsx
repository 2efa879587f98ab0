/** What is left of a budget, from 0 to 1; says the same as the words beside it. */
export function BudgetBar({ left }: { left: number }) {
  return (
    <span aria-hidden className="block h-1.5 overflow-hidden rounded-full bg-chosen">
      <span
        className={`block h-full ${left > 0.25 ? 'bg-good-dot' : left > 0 ? 'bg-warn-dot' : 'bg-bad-dot'}`}
        style={{ width: `${Math.max(0, Math.min(1, left)) * 100}%` }}
      />
    </span>
  )
}
