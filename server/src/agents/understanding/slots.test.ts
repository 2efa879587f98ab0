import assert from 'node:assert/strict'
import { test } from 'node:test'
import { githubTools } from '#agents/tools/github-tools.ts'
import { googleTools } from '#agents/tools/google-tools.ts'
import { fillSlot, fillSlots } from './slots.ts'

/** A Wednesday, 10:30 by this machine's clock. */
const now = new Date(2026, 10, 25, 10, 30)
const tools = [...githubTools, ...googleTools]

function toolNamed(name: string) {
  const tool = tools.find((one) => one.name === name)
  assert.ok(tool, name)
  return tool
}

const read = (tool: string, text: string) => fillSlots(text, toolNamed(tool).slots, now)

function slotOf(tool: string, name: string) {
  const slot = toolNamed(tool).slots.find((one) => one.name === name)
  assert.ok(slot, name)
  return slot
}

/** "2026-11-26T15:00" in this machine's zone; the offset is what makes it an instant. */
function wallClock(instant: string | undefined): string | undefined {
  if (instant === undefined) return undefined
  assert.match(instant, /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}[+-]\d{2}:\d{2}$/)
  const date = new Date(instant)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`
}

// Issues

const newIssues: readonly [text: string, values: Readonly<Record<string, string>>][] = [
  ['create an issue called Fix the login page', { title: 'Fix the login page' }],
  [
    'create an issue called Fix the login page in atom-labs/app',
    { title: 'Fix the login page', repository: 'atom-labs/app' },
  ],
  ['Create an issue titled "Fix the login page".', { title: 'Fix the login page' }],
  ["create an issue 'Fix the header'", { title: 'Fix the header' }],
  ['report a bug called “Zürich – Büro” is empty', { title: 'Zürich – Büro' }],
  [
    'create an issue titled "Fix login" in octo/hello.world with the description Users cannot sign in',
    { title: 'Fix login', repository: 'octo/hello.world', body: 'Users cannot sign in' },
  ],
  [
    'open an issue with the title Slow search and the body It takes 5s',
    { title: 'Slow search', body: 'It takes 5s' },
  ],
  [
    'open an issue in octo/app: Search and then filter is slow',
    { title: 'Search and then filter is slow', repository: 'octo/app' },
  ],
  ['new issue: upgrade to node 24', { title: 'Upgrade to node 24' }],
  ['file a bug: search is slow', { title: 'Search is slow' }],
  [
    'file a bug in octo/app that the footer overlaps the banner',
    { title: 'The footer overlaps the banner', repository: 'octo/app' },
  ],
  ['please add an issue for the broken avatar upload', { title: 'The broken avatar upload' }],
  [
    'can you open a ticket about the dark mode colours in octo/app',
    { title: 'The dark mode colours', repository: 'octo/app' },
  ],
  [
    'could you please make a ticket in octo/app named flaky tests',
    { title: 'Flaky tests', repository: 'octo/app' },
  ],
  ['I want to report that the signup mail never arrives', { title: 'The signup mail never arrives' }],
  ['add a bug to octo/app: crash on start', { title: 'Crash on start', repository: 'octo/app' }],
  [
    'write up an issue regarding memory leaks for octo/app',
    { title: 'Memory leaks', repository: 'octo/app' },
  ],
  [
    "create an issue called it's broken in the repo octo/app",
    { title: "It's broken", repository: 'octo/app' },
  ],
  [
    'create an issue in the repo called widget titled Fix login',
    { title: 'Fix login', repository: 'widget' },
  ],
  [
    'create an issue called Build is red\n\nIt fails since 1234,\nsee the log',
    { title: 'Build is red', body: 'It fails since 1234,\nsee the log' },
  ],
  ['create issue Fix login', { title: 'Fix login' }],
  ['raise an issue saying the build is red', { body: 'the build is red' }],
  ['create an issue', {}],
  ['open a new issue in octo/app', { repository: 'octo/app' }],
]

test('[NL1] a new issue takes its title, place and text from the words, however they are put', () => {
  for (const [text, values] of newIssues) {
    assert.deepEqual(read('github_create_issue', text).values, values, text)
  }
})

test('[NL1] what is inside a title stays there: slashes, addresses and quotes are no places', () => {
  for (const [text, title] of [
    ['log a bug: checkout/payment page is blank', 'Checkout/payment page is blank'],
    ['create a github issue named Add and/or filters', 'Add and/or filters'],
    ['create an issue called Support 24/7 mode', 'Support 24/7 mode'],
    ['create an issue called https://example.com/a/b returns 500', 'https://example.com/a/b returns 500'],
    ['open an issue called Don\'t crash on "null"', 'Don\'t crash on "null"'],
  ] as const) {
    assert.deepEqual(read('github_create_issue', text).values, { title }, text)
  }
})

test('[NL1] a title longer than any provider takes is asked for, not cut', () => {
  const { values } = read('github_create_issue', `create an issue called ${'long '.repeat(80)}`)
  assert.deepEqual(values, {})
})

const closings: readonly [text: string, values: Readonly<Record<string, string>>][] = [
  ['close issue 12', { number: '12' }],
  ['close 12', { number: '12' }],
  ['close #7 in atom-labs/app', { number: '7', repository: 'atom-labs/app' }],
  ['close octo/app#15', { number: '15', repository: 'octo/app' }],
  ['close issue number 9', { number: '9' }],
  ['issue 3 is fixed, close it', { number: '3' }],
  ['mark ticket #42 done', { number: '42' }],
  ['close https://github.com/octo/app/issues/33', { number: '33', repository: 'octo/app' }],
  ['close the issue in octo/app with number 4', { number: '4', repository: 'octo/app' }],
  ['close the login issue', {}],
  ['close issue twelve', {}],
]

test('[NL1] an issue is known by its number or its address, and never by a guess', () => {
  for (const [text, values] of closings)
    assert.deepEqual(read('github_close_issue', text).values, values, text)
})

const comments: readonly [text: string, values: Readonly<Record<string, string>>][] = [
  ['comment on issue 12: I can reproduce this', { number: '12', body: 'I can reproduce this' }],
  [
    'reply to #7 in atom-labs/app saying thanks, looking into it',
    { number: '7', body: 'thanks, looking into it', repository: 'atom-labs/app' },
  ],
  [
    'add a comment to issue 42 "fixed in the next release"',
    { number: '42', body: 'fixed in the next release' },
  ],
  ['write on github issue 5 that we need more logs', { number: '5', body: 'we need more logs' }],
  ['tell the people on issue 3 that it ships on friday', { number: '3', body: 'it ships on friday' }],
  ['answer issue 21 with works for me', { number: '21', body: 'works for me' }],
  ['comment looks good to me on issue 4', { number: '4', body: 'looks good to me' }],
  ['comment "done" on octo/app#15', { number: '15', body: 'done', repository: 'octo/app' }],
  [
    'comment on #12 in octo/app: see https://x.y/z: it says 12:30',
    { number: '12', body: 'see https://x.y/z: it says 12:30', repository: 'octo/app' },
  ],
  [
    'comment on issue 12: it is the same as in octo/other, I think',
    { number: '12', body: 'it is the same as in octo/other, I think' },
  ],
  [
    'comment on issue 12 in octo/app:\nFirst line\n\nSecond line',
    { number: '12', body: 'First line\n\nSecond line', repository: 'octo/app' },
  ],
  ['leave a comment on ticket 9', { number: '9' }],
  ['comment on an issue', {}],
]

test('[NL1] a comment is passed on word by word', () => {
  for (const [text, values] of comments) {
    assert.deepEqual(read('github_comment_issue', text).values, values, text)
  }
})

test('[NL1] a comment of many pages is passed on whole', () => {
  const body = 'It happens again and again. '.repeat(700).trim()
  assert.equal(read('github_comment_issue', `comment on issue 12: ${body}`).values['body'], body)
})

test('[NL1] a repository is found by address, by full name and by its own name', () => {
  for (const [text, repository] of [
    ['show issues in octo/app', 'octo/app'],
    ['show octo/app issues', 'octo/app'],
    ['list issues for https://github.com/octo/app', 'octo/app'],
    ['issues in the repo called widget', 'widget'],
    ['issues in the widget repository', 'widget'],
    ['what is open 24/7', undefined],
    ['show my open issues', undefined],
  ] as const) {
    assert.equal(read('github_list_issues', text).values['repository'], repository, text)
  }
})

// Times

const events: readonly [text: string, title: string | undefined, start: string, end?: string][] = [
  ['create an event called Lunch with Ann tomorrow at 12', 'Lunch with Ann', '2026-11-26T12:00'],
  ['schedule a meeting on friday at 3pm', undefined, '2026-11-27T15:00'],
  ['put "Dentist" in my calendar on tuesday 9 to 10', 'Dentist', '2026-12-01T09:00', '2026-12-01T10:00'],
  ['block tomorrow 2pm to 4pm for focus time', 'Focus time', '2026-11-26T14:00', '2026-11-26T16:00'],
  ['new calendar event: team dinner on thursday at 19:00', 'Team dinner', '2026-11-26T19:00'],
  [
    'remind me in the calendar to pay rent on december 1st',
    'Pay rent',
    '2026-12-01T00:00',
    '2026-12-02T00:00',
  ],
  ['next monday 9-11 planning with Bob', undefined, '2026-11-30T09:00', '2026-11-30T11:00'],
  ['schedule a review half past four on Tuesday', 'Review', '2026-12-01T16:30'],
  ['schedule a sync quarter to five tomorrow', 'Sync', '2026-11-26T16:45'],
  ['schedule lunch at noon on the 25th', 'Lunch', '2026-11-25T12:00'],
  ['schedule lunch at noon on the 3rd', 'Lunch', '2026-12-03T12:00'],
  ['schedule a call with Bob in two hours', 'Call with Bob', '2026-11-25T12:30'],
  ['add a dentist appointment on 3 december at 14:30', 'Dentist appointment', '2026-12-03T14:30'],
  ['create an event tomorrow from 9 to 5 called Offsite', 'Offsite', '2026-11-26T09:00', '2026-11-26T17:00'],
  ['schedule a meeting at 3', undefined, '2026-11-25T15:00'],
  ['schedule a meeting at 9', undefined, '2026-11-26T09:00'],
  ['schedule a meeting at 9 in the morning', undefined, '2026-11-26T09:00'],
  ['schedule a meeting tomorrow at 03:00', undefined, '2026-11-26T03:00'],
  ['schedule a meeting tomorrow at 5am', undefined, '2026-11-26T05:00'],
  ['put lunch with mum in my calendar for saturday at 1pm', 'Lunch with mum', '2026-11-28T13:00'],
  ['add a 30 minute call with Sam tomorrow at 9am', 'Call with Sam', '2026-11-26T09:00', '2026-11-26T09:30'],
  ['plan an offsite from monday to wednesday', 'Offsite', '2026-11-30T00:00', '2026-12-03T00:00'],
  ['set up 1:1 with Jo on Thursday 10am-10:30am', '1:1 with Jo', '2026-11-26T10:00', '2026-11-26T10:30'],
  ['schedule drinks the day after tomorrow at 6pm', 'Drinks', '2026-11-27T18:00'],
  ['schedule a meeting with Ann tomorrow at 3', 'Meeting with Ann', '2026-11-26T15:00'],
  [
    'create an event called Review and then celebrate on friday at 4pm',
    'Review and then celebrate',
    '2026-11-27T16:00',
  ],
  ['create an event called May planning on friday at 3pm', 'May planning', '2026-11-27T15:00'],
  ['create an event called Friday retro on monday at 3pm', 'Friday retro', '2026-11-30T15:00'],
  ['schedule a call tomorrow evening at 8', 'Call', '2026-11-26T20:00'],
  ['schedule gym on 2026-12-03 at 9', 'Gym', '2026-12-03T09:00'],
  ['arrange a sync on thursday afternoon at 2', 'Sync', '2026-11-26T14:00'],
]

test('[NL2] an event stands where it was spoken of: day, hour, end and title', () => {
  for (const [text, title, start, end] of events) {
    const { values, doubts } = read('google_create_event', text)
    assert.deepEqual(
      {
        title: values['title'],
        start: wallClock(values['start']),
        end: wallClock(values['end']),
        doubts,
      },
      { title, start, end, doubts: {} },
      text,
    )
  }
})

test('[NL2] an hour of another time zone is that instant', () => {
  const { values } = read('google_create_event', 'schedule a meeting tomorrow at 3 pm EST')
  assert.equal(new Date(values['start'] ?? '').toISOString(), '2026-11-26T20:00:00.000Z')
})

test('[NL3] a time that could be another is asked about, never put into the calendar', () => {
  for (const [text, doubt] of [
    ['schedule a meeting on 5/6 at 10', /“5\/6”.*name the month/],
    ['schedule a meeting on monday or tuesday at 3', /more than one time/],
    ['create an event called Review on 5/6 at 10', /“5\/6”/],
    ['create an event called Friday retro on 5/6 at 10', /“5\/6”/],
    ["schedule a party on new year's eve at 9pm", /“new year's eve”/],
    ['schedule a meeting at christmas', /“christmas”/],
    ['schedule a meeting on february 30th at 3pm', /“february 30th”/],
    ['schedule a meeting on friday 23rd at 3pm', /“.*23rd”/],
    ['schedule a meeting at 25:00', /“25:00”/],
    ['book a meeting by EOD', /“EOD”/],
    ['schedule a review in Q4', /“Q4”/],
    ['schedule an event next week', /the day and the hour/],
    ['schedule a call in december', /the day and the hour/],
    ['book an hour on monday morning for planning', /the hour/],
    ['schedule dinner tomorrow evening', /the hour/],
    ['add a meeting tonight', /the hour/],
  ] as const) {
    const { values, doubts } = read('google_create_event', text)
    assert.equal(values['start'], undefined, text)
    assert.match(doubts['start'] ?? '', doubt, text)
    assert.doesNotMatch(values['title'] ?? '', /EOD|30th|monday|tonight/i, text)
  }
})

const periods: readonly [text: string, start: string | undefined, end: string | undefined][] = [
  ["what's on tomorrow", '2026-11-26T00:00', '2026-11-27T00:00'],
  ["what's on today", '2026-11-25T00:00', '2026-11-26T00:00'],
  ["what's on friday", '2026-11-27T00:00', '2026-11-28T00:00'],
  ['show my calendar for next week', '2026-11-30T00:00', '2026-12-07T00:00'],
  ['what do i have this week', '2026-11-23T00:00', '2026-11-30T00:00'],
  ['what did i have last week', '2026-11-16T00:00', '2026-11-23T00:00'],
  ['how does my week look', '2026-11-25T10:30', '2026-11-30T00:00'],
  ['what is on this weekend', '2026-11-28T00:00', '2026-11-30T00:00'],
  ['do i have meetings this afternoon', '2026-11-25T12:00', '2026-11-25T18:00'],
  ['anything between 2 and 4 tomorrow', '2026-11-26T14:00', '2026-11-26T16:00'],
  ['am I free on Friday between 2pm and 4pm', '2026-11-27T14:00', '2026-11-27T16:00'],
  ['what is on my plate on monday and tuesday', '2026-11-30T00:00', '2026-12-02T00:00'],
  ["what's happening this month", '2026-11-01T00:00', '2026-12-01T00:00'],
  ["what's on next month", '2026-12-01T00:00', '2027-01-01T00:00'],
  ["what's on in december", '2026-12-01T00:00', '2027-01-01T00:00'],
  ['events on the 25th', '2026-11-25T00:00', '2026-11-26T00:00'],
  ['what am I doing on the 24th', '2026-12-24T00:00', '2026-12-25T00:00'],
  ['when is my next meeting', undefined, undefined],
]

test('[NL2] a look into the calendar covers the period that was named, no more and no less', () => {
  for (const [text, start, end] of periods) {
    const { values, doubts } = read('google_list_events', text)
    assert.deepEqual([wallClock(values['start']), wallClock(values['end']), doubts], [start, end, {}], text)
  }
})

test('[NL3] a period that cannot be read is asked about, not replaced by the coming week', () => {
  for (const text of ['what is on at easter', 'show my meetings over the summer holidays', 'events on 5/6']) {
    const { values, doubts } = read('google_list_events', text)
    assert.deepEqual(values, {}, text)
    assert.match(doubts['start'] ?? '', /not sure/, text)
  }
})

// Answers to a question

test('[NL4] the answer to a question for the hour keeps the day that was named before', () => {
  const { slots } = toolNamed('google_create_event')
  const start = slotOf('google_create_event', 'start')
  const { day } = read('google_create_event', 'book an hour on monday morning for planning')
  const answer = (text: string) => wallClock(fillSlot(text, start, slots, now, day).values['start'])
  assert.equal(answer('at 9'), '2026-11-30T09:00')
  assert.equal(answer('half past ten'), '2026-11-30T10:30')
  assert.equal(answer('tomorrow at 9'), '2026-11-26T09:00')
})

test('[NL4] an answer is read as what was asked for, or not at all', () => {
  const answer = (tool: string, slot: string, text: string) =>
    fillSlot(text, slotOf(tool, slot), toolNamed(tool).slots, now).values[slot]
  assert.equal(answer('github_create_issue', 'title', ' "Fix the login page" '), 'Fix the login page')
  assert.equal(answer('github_create_issue', 'title', 'Fix the login page.'), 'Fix the login page')
  assert.equal(answer('github_create_issue', 'title', ' . '), undefined)
  assert.equal(answer('github_create_issue', 'title', 'x'.repeat(400)), undefined)
  assert.equal(answer('github_create_issue', 'repository', 'octo/app, please'), 'octo/app')
  assert.equal(answer('github_create_issue', 'repository', 'app'), 'app')
  assert.equal(answer('github_create_issue', 'repository', 'the one from yesterday'), undefined)
  assert.equal(answer('github_close_issue', 'number', '#12'), '12')
  assert.equal(answer('github_close_issue', 'number', 'number 12 please'), '12')
  assert.equal(answer('github_close_issue', 'number', 'the last one'), undefined)
  assert.equal(answer('github_comment_issue', 'body', 'First\n\nSecond'), 'First\n\nSecond')
  assert.equal(wallClock(answer('google_create_event', 'end', 'at 4pm')), '2026-11-25T16:00')
  assert.equal(answer('google_create_event', 'start', 'some time'), undefined)
})

test('[NL5] texts made to tire a reader are read in no time', () => {
  const hostile = [
    'issue '.repeat(20_000),
    '"'.repeat(100_000),
    "'a ".repeat(30_000),
    'a/'.repeat(50_000),
    '1-'.repeat(50_000),
    `at ${'9 to '.repeat(20_000)}`,
    'called '.repeat(15_000),
    'monday '.repeat(15_000),
    ' '.repeat(100_000),
    'close #1 '.repeat(12_000),
  ]
  for (const text of hostile) {
    const began = process.cpuUsage()
    for (const tool of tools) fillSlots(text, tool.slots, now)
    const { user } = process.cpuUsage(began)
    assert.ok(user < 3_000_000, `${user} µs of processor for ${text.slice(0, 20)}…`)
  }
})
