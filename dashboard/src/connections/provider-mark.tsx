import { marks } from 'virtual:provider-marks'
import { classNames } from '../ui/class-names.ts'

/** A provider's mark in its own colours; the first letter where we have none. Decoration: the name stands beside it. */
export function ProviderMark({ provider, size }: { provider: string; size: number }) {
  const mark = marks[provider]
  if (mark === undefined) {
    return (
      <span
        aria-hidden
        style={{ width: size, height: size, fontSize: size * 0.6 }}
        className="grid shrink-0 place-items-center rounded-[3px] bg-chosen font-semibold text-quiet uppercase"
      >
        {provider.charAt(0)}
      </span>
    )
  }
  return (
    <img
      src={mark.source}
      alt=""
      width={size}
      height={size}
      style={{ width: size, height: size }}
      className={classNames('shrink-0 object-contain', mark.oneColour && 'dark:invert')}
    />
  )
}
