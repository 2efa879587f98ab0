import { Keyboard, LogOut, Monitor, Moon, Sun } from 'lucide-react'
import { DropdownMenu } from 'radix-ui'
import type { ReactNode } from 'react'
import { Avatar } from '../ui/avatar.tsx'
import { useMe, useObserved } from './atom.ts'
import { useFrameDialogs } from './frame-dialogs.ts'
import { type Theme, theme } from './theme.ts'

const item =
  'flex h-8 items-center gap-2.5 rounded-control px-2 outline-none select-none data-highlighted:bg-hover pointer-coarse:h-11'

/** Workspace and person at the foot of the rail, with what belongs to the person. */
export function PersonMenu() {
  const me = useMe()
  const open = useFrameDialogs()
  const chosen = useObserved(theme)
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger className="flex w-full items-center gap-2.5 rounded-control p-1.5 text-left hover:bg-hover max-xl:justify-center">
        <Avatar name={me.account.name} />
        <span className="grid min-w-0 leading-tight max-xl:sr-only">
          <span className="truncate font-medium">{me.account.name}</span>
          <span className="truncate text-xs text-quiet">{me.workspace.name}</span>
        </span>
      </DropdownMenu.Trigger>
      <DropdownMenu.Content
        side="top"
        align="start"
        sideOffset={6}
        className="z-20 min-w-56 rounded-card border border-line bg-page p-1 shadow-float"
      >
        <div className="grid px-2 py-1.5 leading-tight">
          <span className="font-medium">{me.account.name}</span>
          <span className="text-sm text-quiet">{me.account.email}</span>
        </div>
        <DropdownMenu.Separator className="my-1 h-px bg-line" />
        <DropdownMenu.RadioGroup
          value={chosen}
          onValueChange={(value) => theme.set(value as Theme)}
          aria-label="Theme"
        >
          <ThemeItem value="light" icon={<Sun size={16} aria-hidden />}>
            Light
          </ThemeItem>
          <ThemeItem value="dark" icon={<Moon size={16} aria-hidden />}>
            Dark
          </ThemeItem>
          <ThemeItem value="system" icon={<Monitor size={16} aria-hidden />}>
            As the system
          </ThemeItem>
        </DropdownMenu.RadioGroup>
        <DropdownMenu.Separator className="my-1 h-px bg-line" />
        <DropdownMenu.Item className={item} onSelect={() => open('keys')}>
          <Keyboard size={16} aria-hidden /> Keys
        </DropdownMenu.Item>
        <DropdownMenu.Item className={item} onSelect={() => open('sign-out')}>
          <LogOut size={16} aria-hidden /> Sign out
        </DropdownMenu.Item>
      </DropdownMenu.Content>
    </DropdownMenu.Root>
  )
}

function ThemeItem({ value, icon, children }: { value: Theme; icon: ReactNode; children: ReactNode }) {
  return (
    <DropdownMenu.RadioItem value={value} className={item}>
      {icon}
      <span className="flex-1">{children}</span>
      <DropdownMenu.ItemIndicator className="text-accent-text">●</DropdownMenu.ItemIndicator>
    </DropdownMenu.RadioItem>
  )
}
