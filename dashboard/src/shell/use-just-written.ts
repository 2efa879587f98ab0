import { useEffect, useState } from 'react'

/** Longer than from a finger's touch to the click that it becomes. */
const touchMs = 300

/**
 * True for a moment after a field of several lines has lost the focus: a touch elsewhere takes it away before it is a click,
 * and what is touched must not have moved by then.
 */
export function useJustWritten(): boolean {
  const [just, setJust] = useState(false)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    function onLeft({ target }: FocusEvent) {
      if (!(target instanceof HTMLTextAreaElement)) return
      clearTimeout(timer)
      setJust(true)
      timer = setTimeout(() => setJust(false), touchMs)
    }
    document.addEventListener('focusout', onLeft)
    return () => {
      clearTimeout(timer)
      document.removeEventListener('focusout', onLeft)
    }
  }, [])
  return just
}
