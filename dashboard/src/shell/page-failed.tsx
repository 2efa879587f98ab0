import { type ErrorComponentProps, Link } from '@tanstack/react-router'
import { Button, buttonClass } from '../ui/button.tsx'
import { AtomMark } from './atom-mark.tsx'
import { ProblemNotice, problemWords } from './problem.tsx'

/** A page inside another one that broke: the frame, its list and what is written there go on. */
export function PartFailed({ error, reset }: ErrorComponentProps) {
  return (
    <div className="min-w-0 flex-1 p-4">
      <ProblemNotice error={error} onRetry={reset} />
    </div>
  )
}

/** A page of ours that broke. The address stays, so a reload has a chance. */
export function PageFailed({ error }: ErrorComponentProps) {
  const { title, next } = problemWords(error)
  return (
    <Alone title={title} text={next}>
      <Button look="primary" onClick={() => location.reload()}>
        Reload
      </Button>
      <Link to="/rooms" reloadDocument className={buttonClass('plain')}>
        Go to your rooms
      </Link>
    </Alone>
  )
}

export function NothingHere() {
  return (
    <Alone title="There is nothing here" text="Check the address, or start from your rooms.">
      <Link to="/rooms" className={buttonClass('primary')}>
        Go to your rooms
      </Link>
    </Alone>
  )
}

function Alone({ title, text, children }: { title: string; text: string; children: React.ReactNode }) {
  return (
    <main className="grid min-h-full content-center justify-items-center px-5 py-12">
      <div className="grid w-full max-w-[24rem] gap-3">
        <span className="text-accent-text">
          <AtomMark size={28} />
        </span>
        <h1 className="text-xl font-semibold">{title}</h1>
        <p className="text-quiet">{text}</p>
        <div className="mt-3 flex flex-wrap gap-2">{children}</div>
      </div>
    </main>
  )
}
