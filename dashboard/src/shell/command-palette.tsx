import { AtomClientError } from '@atom/client'
import type { ProviderView } from '@atom/contract/connections.ts'
import { useNavigate } from '@tanstack/react-router'
import { Command } from 'cmdk'
import {
  Activity,
  Cable,
  Keyboard,
  LibraryBig,
  LogOut,
  MessageCirclePlus,
  MessageSquare,
  MessagesSquare,
  Plus,
  Settings,
  SunMoon,
} from 'lucide-react'
import type { ReactNode } from 'react'
import { connectAccount } from '../connections/connect-account.ts'
import { ProviderMark } from '../connections/provider-mark.tsx'
import { askProviders } from '../connections/providers-context.ts'
import { needsForm } from '../connections/ways.ts'
import { askEverybody, type Somebody } from '../rooms/people.ts'
import { Dialog } from '../ui/dialog.tsx'
import { atom, isOperator, useMe, useObserved } from './atom.ts'
import { useFrameDialogs } from './frame-dialogs.ts'
import { type Theme, theme } from './theme.ts'
import { useAnswer } from './use-answer.ts'

/**
 * Every word that was typed stands in it. Looser matching chose “Show the keys” for “hopp”, before the people were there, and
 * stayed with it when Grace Hopper came.
 */
function isMeant(value: string, typed: string): number {
  const place = value.toLowerCase()
  return typed
    .toLowerCase()
    .split(/\s+/)
    .every((word) => place.includes(word))
    ? 1
    : 0
}

const operationsPages = [
  { to: '/operations/overview', words: 'Operations', also: 'overview health' },
  { to: '/operations/alerts', words: 'Alerts', also: 'firing webhook targets' },
  { to: '/operations/objectives', words: 'Objectives', also: 'budget burn slo' },
  { to: '/operations/traffic', words: 'Traffic', also: 'routes latency' },
  { to: '/operations/errors', words: 'Errors', also: 'failures' },
  { to: '/operations/limits', words: 'Limits', also: 'rate block allow' },
  { to: '/operations/log', words: 'Log', also: 'lines tail' },
  { to: '/operations/live', words: 'Live', also: 'sockets drain' },
] as const

/** Goes anywhere and does anything. */
export function CommandPalette({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate()
  const open = useFrameDialogs()
  const me = useMe()
  const rooms = useObserved(atom.rooms)
  const connections = useObserved(atom.connections)
  const providers = useAnswer(askProviders)
  const people = useAnswer(askEverybody)

  function then(work: () => unknown): () => void {
    return () => {
      onClose()
      void work()
    }
  }

  async function write(person: Somebody): Promise<void> {
    try {
      const room = await atom.rooms.direct(person)
      await navigate({ to: '/rooms/$roomId', params: { roomId: room.id } })
    } catch {
      // The dialog for it asks again, and says there what is wrong.
      open('new-direct')
    }
  }

  async function connect(provider: ProviderView): Promise<void> {
    // Without an app there is nothing to connect to yet, and some want to be told something first: its page has both.
    if (provider.app === 'none' || needsForm(provider)) {
      return navigate({ to: '/connections/catalogue/$provider', params: { provider: provider.id } })
    }
    try {
      const connection = await connectAccount(provider.id)
      if (connection !== undefined)
        await navigate({ to: '/connections', search: { connected: connection.id } })
    } catch (error) {
      const code = error instanceof AtomClientError ? error.code : 'internal'
      await navigate({ to: '/connections', search: code === 'window_closed' ? {} : { problem: code } })
    }
  }

  return (
    <Dialog title="Go anywhere, do anything" titleHidden wide onClose={onClose}>
      <Command label="Commands" loop filter={isMeant} className="grid">
        <Command.Input
          placeholder="Go to a room, or type what you want to do"
          className="h-12 border-b border-line bg-transparent px-4 text-lg outline-none placeholder:text-quiet"
        />
        <Command.List className="max-h-[min(50vh,24rem)] overflow-y-auto p-2">
          <Command.Empty className="px-3 py-8 text-center text-quiet">
            Nothing goes by that name.
          </Command.Empty>
          {rooms.items.length > 0 && (
            <Group heading="Rooms">
              {rooms.items.map((room) => (
                <Item
                  key={room.id}
                  value={`room ${room.name} ${room.id}`}
                  icon={<MessageSquare size={16} aria-hidden />}
                  onSelect={then(() => navigate({ to: '/rooms/$roomId', params: { roomId: room.id } }))}
                >
                  {room.name}
                </Item>
              ))}
            </Group>
          )}
          <Group heading="Go to">
            <Item
              value="go rooms"
              icon={<MessagesSquare size={16} aria-hidden />}
              onSelect={then(() => navigate({ to: '/rooms' }))}
            >
              Rooms
            </Item>
            <Item
              value="go connections"
              icon={<Cable size={16} aria-hidden />}
              onSelect={then(() => navigate({ to: '/connections' }))}
            >
              Connections
            </Item>
            <Item
              value="go catalogue providers"
              icon={<LibraryBig size={16} aria-hidden />}
              onSelect={then(() => navigate({ to: '/connections/catalogue' }))}
            >
              Catalogue
            </Item>
            {isOperator(me) &&
              operationsPages.map(({ to, words, also }) => (
                <Item
                  key={to}
                  value={`go operations ${words} ${also}`}
                  icon={<Activity size={16} aria-hidden />}
                  onSelect={then(() => navigate({ to }))}
                >
                  {words}
                </Item>
              ))}
            <Item
              value="go settings"
              icon={<Settings size={16} aria-hidden />}
              onSelect={then(() => navigate({ to: '/settings' }))}
            >
              Settings
            </Item>
          </Group>
          <Group heading="Do">
            <Item
              value="new room create"
              icon={<Plus size={16} aria-hidden />}
              onSelect={() => open('new-room')}
            >
              New room
            </Item>
            <Item
              value="new direct message"
              icon={<MessageCirclePlus size={16} aria-hidden />}
              onSelect={() => open('new-direct')}
            >
              New direct message
            </Item>
            {people.state === 'ready' &&
              people.value
                .filter(({ id }) => id !== me.account.id)
                .map((person) => (
                  <Item
                    key={person.id}
                    value={`message ${person.name} ${person.id}`}
                    icon={<MessageCirclePlus size={16} aria-hidden />}
                    onSelect={then(() => write(person))}
                  >
                    Message {person.name}
                  </Item>
                ))}
            {providers.state === 'ready' &&
              providers.value.map((provider) => (
                <Item
                  key={provider.id}
                  value={`connect ${provider.name}`}
                  icon={<ProviderMark provider={provider.id} size={16} />}
                  onSelect={then(() => connect(provider))}
                >
                  Connect {provider.name}
                </Item>
              ))}
            {(['light', 'dark', 'system'] satisfies Theme[]).map((name) => (
              <Item
                key={name}
                value={`theme ${name}`}
                icon={<SunMoon size={16} aria-hidden />}
                onSelect={then(() => theme.set(name))}
              >
                Theme: {name === 'system' ? 'as the system' : name}
              </Item>
            ))}
            <Item
              value="keys shortcuts help"
              icon={<Keyboard size={16} aria-hidden />}
              onSelect={() => open('keys')}
            >
              Show the keys
            </Item>
            <Item
              value="sign out log out"
              icon={<LogOut size={16} aria-hidden />}
              onSelect={() => open('sign-out')}
            >
              Sign out
            </Item>
          </Group>
          {connections.items.length > 0 && (
            <Group heading="Accounts">
              {connections.items.map(({ id, provider, identity }) => (
                <Item
                  key={id}
                  value={`account ${identity.name} ${identity.handle ?? identity.email ?? ''} ${provider} ${id}`}
                  icon={<ProviderMark provider={provider} size={16} />}
                  onSelect={then(() =>
                    navigate({ to: '/connections/$connectionId', params: { connectionId: id } }),
                  )}
                >
                  {identity.name}
                </Item>
              ))}
            </Group>
          )}
        </Command.List>
      </Command>
    </Dialog>
  )
}

function Group({ heading, children }: { heading: string; children: ReactNode }) {
  return (
    <Command.Group
      heading={heading}
      className="**:[[cmdk-group-heading]]:px-2 **:[[cmdk-group-heading]]:py-1.5 **:[[cmdk-group-heading]]:text-xs **:[[cmdk-group-heading]]:text-quiet"
    >
      {children}
    </Command.Group>
  )
}

function Item({
  value,
  icon,
  onSelect,
  children,
}: {
  value: string
  icon: ReactNode
  onSelect: () => void
  children: ReactNode
}) {
  return (
    <Command.Item
      value={value}
      onSelect={onSelect}
      className="flex h-9 cursor-pointer items-center gap-2.5 rounded-control px-2 select-none data-[selected=true]:bg-chosen pointer-coarse:h-11"
    >
      <span className="text-quiet">{icon}</span>
      <span className="truncate">{children}</span>
    </Command.Item>
  )
}
