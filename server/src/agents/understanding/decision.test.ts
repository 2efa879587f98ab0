import assert from 'node:assert/strict'
import { test } from 'node:test'
import { githubTools } from '#agents/tools/github-tools.ts'
import { googleTools } from '#agents/tools/google-tools.ts'
import type { Guess } from './classifier.ts'
import type { Command, UnderstandingContext } from './command.ts'
import { decide } from './decision.ts'

const tools = [...githubTools, ...googleTools]
const now = new Date(2026, 10, 25, 10, 30)
type OpenQuestion = NonNullable<UnderstandingContext['openQuestion']>

/** What the classifier makes of it is given; what is done about it is tested. */
function decided(
  text: string,
  likely: Readonly<Record<string, number>>,
  openQuestion?: OpenQuestion,
): Command {
  const guesses: Guess[] = Object.entries(likely).map(([label, probability]) => ({ label, probability }))
  return decide(text, guesses, { tools, now, ...(openQuestion && { openQuestion }) })
}

const titleOpen: OpenQuestion = {
  tool: 'github_create_issue',
  slot: 'title',
  slots: { repository: 'octo/app' },
}
const numberOpen: OpenQuestion = { tool: 'github_close_issue', slot: 'number', slots: {} }

test('[NL10] a sure command with all it needs becomes one call', () => {
  assert.deepEqual(decided('close #7 in octo/app', { github_close_issue: 0.9, github_comment_issue: 0.05 }), {
    kind: 'call',
    tool: 'github_close_issue',
    slots: { number: '7', repository: 'octo/app' },
    confidence: 0.9,
  })
})

test('[NL10] what a sure command still needs is asked for, and what was said is kept', () => {
  assert.deepEqual(decided('open an issue in octo/app', { github_create_issue: 0.9 }), {
    kind: 'ask',
    tool: 'github_create_issue',
    slot: 'title',
    question: 'What should the issue be called?',
    slots: { repository: 'octo/app' },
  })
})

test('[NL11] two likely readings are offered, and neither is done', () => {
  for (const likely of [
    { github_close_issue: 0.45, github_comment_issue: 0.4 },
    { github_close_issue: 0.54, github_comment_issue: 0.44 },
  ]) {
    const command = decided('do something with issue 12', likely)
    assert.equal(command.kind, 'clarify')
    assert.deepEqual(command.kind === 'clarify' && command.options.map(({ tool }) => tool), [
      'github_close_issue',
      'github_comment_issue',
    ])
  }
})

test('[NL11] nothing is called below certainty, whatever the words', () => {
  for (const { name } of tools) {
    for (let share = 0.01; share < 0.5; share += 0.01) {
      const { kind } = decided('close #7: tomorrow at 3 called X', { [name]: share, other: share / 4 })
      assert.ok(kind === 'clarify' || kind === 'cannotHandle', `${name} at ${share} became ${kind}`)
    }
  }
})

test('[NL11] a question, or a wish to see, is never taken for a write', () => {
  for (const text of [
    'display the open tickets',
    'which issues should I create',
    'what is a calendar event',
    'can you show issue 12 closed',
    'is issue 12 closed',
  ]) {
    const command = decided(text, { github_create_issue: 0.95, github_list_issues: 0.05 })
    assert.notEqual(command.kind, 'call', text)
    assert.notEqual(command.kind, 'ask', text)
  }
})

test('[NL11] a write takes more certainty than a look', () => {
  assert.equal(decided('show my issues', { github_list_issues: 0.55 }).kind, 'call')
  assert.equal(decided('close #3', { github_close_issue: 0.55 }).kind, 'clarify')
})

test('[NL11] where an issue is named by its number, a tool that takes none does not claim it', () => {
  const rivals = { github_create_issue: 0.7, github_comment_issue: 0.25 }
  assert.equal(decided('add a note to issue 30', rivals).kind, 'clarify')
  assert.equal(decided('create an issue called Same as issue 30', rivals).kind, 'call')
})

test('[NL11] what it cannot do it says, with the nearest of what it can', () => {
  assert.deepEqual(
    decided('order a pizza', { other: 0.8, google_create_event: 0.1, github_create_issue: 0.05 }),
    { kind: 'cannotHandle', nearest: ['google_create_event', 'github_create_issue'], reason: 'unclear' },
  )
  assert.deepEqual(decided('', {}), { kind: 'cannotHandle', nearest: [], reason: 'unclear' })
})

test('[NL11] a tool that this room does not offer is never called', () => {
  const command = decided('send mail to Bob', { gone_send_mail: 0.95 })
  assert.deepEqual(command, { kind: 'cannotHandle', nearest: [], reason: 'unclear' })
})

test('[NL12] more than one thing at once is refused rather than half done', () => {
  for (const text of [
    'close issue 3 and then open a new one',
    'close #3, then tell Bob',
    'close issues 3 and 4',
    'close #3, #4 and #5',
    'close issue 3 if it is fixed, otherwise comment',
    'close issue 3 unless Ann is on it',
    'close all of them',
  ]) {
    assert.deepEqual(
      decided(text, { github_close_issue: 0.95 }),
      { kind: 'cannotHandle', nearest: ['github_close_issue'], reason: 'compound' },
      text,
    )
  }
})

test('[NL12] such words inside a title or a comment mean nothing', () => {
  for (const [tool, text] of [
    ['github_create_issue', 'create an issue called Log in and then out'],
    ['github_create_issue', 'create an issue: if offline, then warn'],
    ['github_create_issue', 'create an issue "Close all of them"'],
    ['github_comment_issue', 'comment on issue 4: #3 and #5 are the same, then close'],
    ['github_comment_issue', 'reply to #4 saying if it works, close it'],
  ] as const) {
    assert.equal(decided(text, { [tool]: 0.95 }).kind, 'call', text)
  }
})

test('[NL12] an event that repeats is refused rather than made once', () => {
  for (const text of [
    'set up a standup every monday at 9',
    'schedule gym daily at 7am',
    'schedule gym on mondays at 7am',
    'book a review each week on friday at 3',
  ]) {
    const command = decided(text, { google_create_event: 0.95 })
    assert.deepEqual(
      command,
      { kind: 'cannotHandle', nearest: ['google_create_event'], reason: 'repeating' },
      text,
    )
  }
  const once = decided('create an event called Weekly sync on friday at 3pm', { google_create_event: 0.95 })
  assert.equal(once.kind, 'call')
})

test('[NL13] other languages are told apart from English', () => {
  for (const text of [
    'zeige mir bitte meine offenen Tickets',
    'montre mes tickets ouverts',
    'muestra mis incidencias abiertas, por favor',
    'mostra i miei ticket',
    'покажи мои задачи',
    '列出我的问题',
    'ukaž moje otevřené úkoly',
  ]) {
    const command = decided(text, { github_list_issues: 0.99 })
    assert.equal(command.kind === 'cannotHandle' && command.reason, 'language', text)
  }
  for (const text of [
    'create an issue called Übersetzung fehlt',
    'schedule a trip to Las Vegas tomorrow at 3',
    'close #3',
    'show issues in octo/die-app',
    'comment on issue 3: 完成',
  ]) {
    const command = decided(text, { github_list_issues: 0.99 })
    assert.notEqual(command.kind, 'cannotHandle', text)
  }
})

test('[NL14] a slash command is obeyed, whatever the classifier thinks', () => {
  const misled = { github_create_issue: 0.99 }
  assert.deepEqual(decided('/help', misled), { kind: 'answer', topic: 'help' })
  assert.deepEqual(decided(' /connect GitHub', misled), { kind: 'connect', provider: 'github' })
  assert.deepEqual(decided('/connect', misled), { kind: 'connect' })
  assert.deepEqual(decided('/stop', misled, titleOpen), { kind: 'cancel' })
})

test('[NL14] small talk has its own answers', () => {
  assert.deepEqual(decided('hello', { greeting: 0.9 }), { kind: 'answer', topic: 'greeting' })
  assert.deepEqual(decided('cheers', { thanks: 0.9 }), { kind: 'answer', topic: 'thanks' })
  assert.deepEqual(decided('forget it', { cancel: 0.9 }), { kind: 'cancel' })
  assert.deepEqual(decided('link my google account', { connect: 0.9 }), {
    kind: 'connect',
    provider: 'google',
  })
})

test('[NL15] the answer to an open question completes the call with what was known', () => {
  assert.deepEqual(decided('Fix the login page', { other: 0.6 }, titleOpen), {
    kind: 'call',
    tool: 'github_create_issue',
    slots: { repository: 'octo/app', title: 'Fix the login page' },
    confidence: 1,
  })
  assert.deepEqual(decided('number 12', { other: 0.6 }, numberOpen), {
    kind: 'call',
    tool: 'github_close_issue',
    slots: { number: '12' },
    confidence: 1,
  })
})

test('[NL15] words that look like a command are still a title, when a title was asked for', () => {
  for (const [text, label] of [
    ['Close issue dialog is broken', 'github_close_issue'],
    ['Cancel button does nothing', 'cancel'],
    ['Help page is empty', 'help'],
    ['Show my repositories on the start page', 'github_list_repositories'],
    ['Stop sending two mails', 'cancel'],
    ['Montre les erreurs', 'other'],
  ] as const) {
    const command = decided(text, { [label]: 0.97 }, titleOpen)
    assert.deepEqual(command.kind === 'call' && command.slots['title'], text, text)
  }
})

test('[NL15] a whole other command, or a question, interrupts an open question', () => {
  const other = decided('close issue 12 in octo/web', { github_close_issue: 0.95 }, titleOpen)
  assert.deepEqual(other.kind === 'call' && other.slots, { number: '12', repository: 'octo/web' })
  assert.deepEqual(decided('what can you do?', { help: 0.95 }, titleOpen), { kind: 'answer', topic: 'help' })
  assert.equal(decided('show my open issues', { github_list_issues: 0.95 }, numberOpen).kind, 'call')
})

test('[NL15] an open question can always be left', () => {
  for (const text of [
    'cancel',
    'never mind',
    'no',
    'forget it.',
    'oh no, drop it',
    'stop that',
    'nothing, thanks',
  ]) {
    assert.deepEqual(decided(text, { other: 0.4 }, titleOpen), { kind: 'cancel' }, text)
    assert.deepEqual(decided(text, { other: 0.4 }, numberOpen), { kind: 'cancel' }, text)
  }
})

test('[NL15] an answer that cannot be read is asked for again, with the way out', () => {
  const command = decided('the last one', { other: 0.4 }, numberOpen)
  assert.deepEqual(command, {
    kind: 'ask',
    tool: 'github_close_issue',
    slot: 'number',
    question: 'I could not read that. Which issue, by its number? Say “cancel” to leave it.',
    slots: {},
  })
})

test('[NL16] a day without an hour is asked about once, and the day is not forgotten', () => {
  const first = decided('schedule a review on monday morning', { google_create_event: 0.95 })
  assert.ok(first.kind === 'ask' && first.slot === 'start')
  assert.match(first.question, /the hour/)
  const second = decided('at half past nine', { other: 0.5 }, first)
  assert.ok(second.kind === 'call')
  assert.equal(new Date(second.slots['start'] ?? '').getTime(), new Date(2026, 10, 30, 9, 30).getTime())
  assert.deepEqual(Object.keys(second.slots).sort(), ['start', 'title'])
})

test('[NL16] the day is kept even when the title is asked for in between', () => {
  const first = decided('book something on monday morning', { google_create_event: 0.95 })
  assert.ok(first.kind === 'ask')
  const title: OpenQuestion = { ...first, slot: 'title', slots: { ...first.slots, title: 'Review' } }
  const second = decided('Quarterly review', { other: 0.5 }, title)
  assert.ok(second.kind === 'ask' && second.slot === 'start')
  const third = decided('at 10', { other: 0.5 }, second)
  assert.ok(third.kind === 'call')
  assert.equal(new Date(third.slots['start'] ?? '').getTime(), new Date(2026, 10, 30, 10).getTime())
})

test('[NL16] a time that could be another is asked about with the reason, for looking and for writing', () => {
  const write = decided('create an event called Review on 5/6 at 10', { google_create_event: 0.95 })
  assert.ok(write.kind === 'ask' && write.slot === 'start')
  assert.match(write.question, /“5\/6”.*When does it start\?/)
  const look = decided('what is on at easter', { google_list_events: 0.95 })
  assert.ok(look.kind === 'ask' && look.slot === 'start')
  assert.match(look.question, /“easter”.*From when\?/)
})
