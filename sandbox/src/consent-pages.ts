import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationServer, Question } from './authorization-server.ts'
import { type Html, html, sendPage } from './page.ts'
import { type Person, people } from './people.ts'

/** A scope in words. */
export interface ScopeWords {
  readonly scope: string
  /** Its name on the page. */
  readonly shown: string
  readonly meaning: string
  /** The person may say no to this one and yes to others (Google's granular consent). */
  readonly optional: boolean
  /** Goes without saying when something else is asked for. */
  readonly implied: boolean
}

export interface ConsentManners {
  readonly server: AuthorizationServer
  /** "GitHub" */
  readonly name: string
  /** What the provider's button says: "Authorize", "Continue". */
  readonly agree: string
  words(scope: string): ScopeWords
  /** How the provider calls the person: login or e-mail. */
  handle(person: Person): string
  /** Parameter that names whom the app expects. */
  readonly hint: 'login' | 'login_hint'
  /** One more question on the page, to those whom the provider asks it. */
  readonly choice?: ConsentChoice
}

export interface ConsentChoice {
  readonly legend: string
  /** Value → what it says beside; the first is chosen unless the person says otherwise. None: this person is not asked. */
  options(person: Person): readonly { readonly value: string; readonly shown: string }[]
  /** What the person chose on the page `uid`. */
  chosen(uid: string, value: string): void
}

/** The two pages a person meets: who they want to be, and what the app may do. */
export function consentPages(app: FastifyInstance, manners: ConsentManners): void {
  const { server, name } = manners
  const path = `${server.dialect.paths.consent}/:uid`
  const note = `Sandbox: a stand-in for ${name} on this machine`

  app.get(path, async (request, reply) => {
    const question = await server.question(request.raw, reply.raw)
    if (question === undefined) return gone(reply, note)
    return question.step === 'person'
      ? personPage(reply, note, manners, question)
      : consentPage(reply, note, manners, question)
  })

  app.post(path, async (request, reply) => {
    const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '')
    const question = await server.question(request.raw, reply.raw)
    if (question === undefined) return gone(reply, note)
    const next = await decide(request, reply, manners, question, form)
    return next === undefined ? gone(reply, note) : reply.redirect(next, 303)
  })
}

async function decide(
  request: FastifyRequest,
  reply: FastifyReply,
  manners: ConsentManners,
  question: Question,
  form: URLSearchParams,
): Promise<string | undefined> {
  const { server } = manners
  const person = people.find(({ key }) => key === form.get('person'))
  if (question.step === 'person' && person !== undefined) {
    return server.choosePerson(request.raw, reply.raw, person)
  }
  if (question.step === 'consent' && form.get('decision') === 'agree') {
    const chosen = new Set(form.getAll('scope'))
    const granted = choices(manners, question).filter(({ open, scope }) => !open || chosen.has(scope))
    // Nothing at all was granted: that is a no.
    if (granted.length > 0) {
      const options = question.person === undefined ? [] : manners.choice?.options(question.person)
      const option = options?.find(({ value }) => value === form.get('choice')) ?? options?.[0]
      if (option !== undefined) manners.choice?.chosen(question.uid, option.value)
      return server.consent(
        request.raw,
        reply.raw,
        granted.map(({ scope }) => scope),
      )
    }
  }
  return server.cancel(request.raw, reply.raw)
}

/** The scopes asked for, and which of them are open to choice: none where there is only one such (as at Google). */
function choices(manners: ConsentManners, question: Question): (ScopeWords & { open: boolean })[] {
  const words = question.asked.map((scope) => manners.words(scope))
  const granular = words.filter(({ optional }) => optional).length > 1
  return words.map((each) => ({ ...each, open: granular && each.optional }))
}

function personPage(reply: FastifyReply, note: string, manners: ConsentManners, question: Question) {
  const hinted = question.parameters[manners.hint]?.toLowerCase()
  const isHinted = (person: Person) =>
    hinted !== undefined && [person.key, person.email, person.googleSub].includes(hinted)
  const listed = people.toSorted((one, other) => Number(isHinted(other)) - Number(isHinted(one)))
  return sendPage(reply, {
    title: `Choose a person · ${manners.name} sandbox`,
    note,
    formTarget: question.parameters['redirect_uri'],
    body: html`<h1>Who do you want to be?</h1>
<p class="quiet">These people exist only here. No password is needed.</p>
<form method="post"><div class="people">${listed.map(
      (person) => html`<button name="person" value="${person.key}">${portrait(person, manners)}</button>`,
    )}</div>
<div class="actions"><button name="decision" value="cancel">Cancel</button></div></form>`,
    footer: html`Atom opened this page to connect a ${manners.name} account.`,
  })
}

function consentPage(reply: FastifyReply, note: string, manners: ConsentManners, question: Question) {
  const { person, parameters } = question
  if (person === undefined) return gone(reply, note)
  const again = new URLSearchParams(
    Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
  again.set('prompt', 'select_account')
  const asked = choices(manners, question)
  const options = manners.choice?.options(person) ?? []
  return sendPage(reply, {
    title: `Authorize Atom · ${manners.name} sandbox`,
    note,
    formTarget: parameters['redirect_uri'],
    body: html`<h1>Atom wants to use your ${manners.name} account</h1>
<div class="as">${portrait(person, manners)}<form method="get" action="${manners.server.dialect.paths.authorize}">${[
      ...again,
    ].map(
      ([key, value]) => html`<input type="hidden" name="${key}" value="${value}">`,
    )}<button class="link">Not you?</button></form></div>
<form method="post">${
      options.length === 0
        ? undefined
        : html`<h2 id="choice">${manners.choice?.legend}</h2>
<ul class="scopes" aria-labelledby="choice">${options.map(
            ({ value, shown }, index) =>
              html`<li><label><input type="radio" name="choice" value="${value}"${
                index === 0 ? html` checked` : undefined
              }><span>${shown}</span></label></li>`,
          )}</ul>`
    }<h2 id="asked">${asked.some(({ open }) => open) ? 'Choose what Atom may do' : 'Atom may then'}</h2>
<ul class="scopes" aria-labelledby="asked">${asked.filter(({ implied }) => !implied || asked.every((each) => each.implied)).map(scopeItem)}</ul>
<div class="actions"><button name="decision" value="cancel">Cancel</button><button class="next" name="decision" value="agree">${manners.agree}</button></div></form>`,
    footer: html`You go back to ${new URL(parameters['redirect_uri'] ?? 'about:blank').origin}. Nothing leaves this machine.`,
  })
}

// Google leaves the boxes empty. Here they start ticked: who tries Atom for the first time should not end with a
// connection that may do nothing; a test that wants less takes the tick away.
function scopeItem({ scope, shown, meaning, open, implied }: ScopeWords & { open: boolean }): Html {
  const words = html`<span>${meaning}${implied ? undefined : html`<code>${shown}</code>`}</span>`
  return open
    ? html`<li><label><input type="checkbox" name="scope" value="${scope}" checked>${words}</label></li>`
    : html`<li>${words}</li>`
}

function portrait(person: Person, manners: ConsentManners): Html {
  return html`<img src="/avatars/${person.key}.png" alt="" width="36" height="36"><span class="who"><b>${person.name}</b><span>${manners.handle(person)}</span></span>`
}

function gone(reply: FastifyReply, note: string) {
  return sendPage(reply, {
    title: 'This page has ended',
    note,
    status: 410,
    body: html`<h1>This page has ended</h1>
<p>It was answered already, or it waited for too long. Go back to the app and connect again.</p>`,
  })
}
