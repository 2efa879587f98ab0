import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuthorizationServer } from '../authorization-server.ts'
import { type Person, people } from '../people.ts'
import type { RateLimits } from '../rate-limits.ts'
import { bearerOf, objectOf, paramOf } from '../request-parts.ts'
import { notFound, notionAnswer, notionProblem, rateLimited, unauthorized } from './notion-answers.ts'
import { type NotionData, type NotionPage, roadmap } from './notion-data.ts'
import { botId, normalId, notionUserId, workspace } from './notion-ids.ts'
import { personView, sharedRoots } from './notion-oauth.ts'
import { at, filterOf, orderOf } from './notion-query.ts'
import { NotionViews, versions } from './notion-views.ts'
import { blocksFrom, pageFieldsFrom, textFrom } from './notion-writes.ts'

type Body = Readonly<Record<string, unknown>>

interface Call {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly person: Person
  readonly body: Body
  readonly query: URLSearchParams
  readonly views: NotionViews
  /** Is the page below one that the person chose to share? */
  readonly sees: (root: string) => boolean
}

/**
 * A slice of the Notion API (https://developers.notion.com/reference): users, search, pages, blocks, and one database with its
 * data source. Every request names a `Notion-Version`; on average three a second are let through.
 */
export function notionApi(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; data: NotionData; limits: RateLimits; url: () => string },
): void {
  const { server, data, limits, url } = dependencies

  const door = (handler: (call: Call) => FastifyReply) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const token = bearerOf(request)
      const owner = token === undefined ? undefined : await server.owner(token)
      if (token === undefined || owner === undefined) return unauthorized(reply)
      const standing = limits.spend('notion', token, { requests: 180, seconds: 60 })
      if (standing.exceeded) return rateLimited(reply, standing.retryAfterSeconds)
      const version = request.headers['notion-version']
      const known = versions.find((each) => each === version)
      if (known === undefined) {
        return version === undefined
          ? notionProblem(
              reply,
              400,
              'missing_version',
              `Notion-Version header failed validation: Notion-Version header should be defined, instead was \`undefined\`.`,
            )
          : invalid(
              reply,
              `Notion-Version header failed validation: should be one of ${versions.join(', ')}, instead was \`${String(version)}\`.`,
            )
      }
      const body = objectOf(request)
      if (body === undefined) {
        return notionProblem(reply, 400, 'invalid_json', 'Error parsing JSON body.')
      }
      const roots = sharedRoots(owner.scopes)
      return handler({
        request,
        reply,
        person: owner.person,
        body,
        query: new URL(request.url, url()).searchParams,
        views: new NotionViews(known, url()),
        sees: (root) => roots.includes(root),
      })
    }
  }
  const onPage = (handler: (call: Call, page: NotionPage) => FastifyReply) =>
    door((call) => {
      const id = paramOf(call.request, 'id')
      const page = data.page(normalId(id) ?? '')
      return page === undefined || !call.sees(page.root)
        ? notFound(call.reply, 'page', id)
        : handler(call, page)
    })
  const asBlock = (page: NotionPage, views: NotionViews) =>
    views.childPage(page, childrenOf(page.id, views).length > 0)
  /** What stands on a page or in a block: lines, then pages, then the database where it is. */
  const childrenOf = (id: string, views: NotionViews): object[] => {
    const page = data.page(id)
    return [
      ...data.blocksOf(id).map((block) => views.block(block, data.blocksOf(block.id).length > 0)),
      ...(page === undefined ? [] : data.childPages(id).map((child) => asBlock(child, views))),
      ...(page?.id === roadmap.parent ? [views.childDatabase(page)] : []),
    ]
  }

  const v1 = '/notion/v1'

  app.get(
    `${v1}/users/me`,
    door(({ reply, person }) => notionAnswer(reply, botView(person, url()))),
  )
  app.get(
    `${v1}/users/:id`,
    door(({ request, reply, person }) => {
      const id = normalId(paramOf(request, 'id'))
      if (id === botId(person)) return notionAnswer(reply, botView(person, url()))
      const found = people.find((each) => notionUserId(each) === id)
      return found === undefined
        ? notFound(reply, 'user', paramOf(request, 'id'))
        : notionAnswer(reply, personView(found, url()))
    }),
  )
  app.get(
    `${v1}/users`,
    door(({ reply, query, person }) =>
      list(
        reply,
        [...people.map((each) => personView(each, url())), botView(person, url())],
        Object.fromEntries(query),
        'user',
      ),
    ),
  )

  app.post(
    `${v1}/search`,
    door(({ reply, body, sees, views }) => {
      const kind = views.dataSources ? 'data_source' : 'database'
      const filter = body['filter']
      const wanted = filter === undefined ? undefined : at(filter, 'value')
      if (
        filter !== undefined &&
        (at(filter, 'property') !== 'object' || (wanted !== 'page' && wanted !== kind))
      ) {
        return invalid(
          reply,
          `body failed validation: body.filter.value should be \`"page"\` or \`"${kind}"\`.`,
        )
      }
      const words = String(body['query'] ?? '').toLowerCase()
      const up = at(body['sort'], 'direction') === 'ascending'
      const pages = data
        .pages()
        .filter((page) => sees(page.root) && !page.inTrash && page.title.toLowerCase().includes(words))
        .sort((one, other) => one.editedAt.localeCompare(other.editedAt) * (up ? 1 : -1))
      const databases =
        sees(roadmap.root) && roadmap.title.toLowerCase().includes(words)
          ? [views.dataSources ? views.dataSource() : views.database()]
          : []
      const found = [
        ...(wanted === 'page' ? [] : databases),
        ...(wanted === kind ? [] : pages.map((page) => views.page(page))),
      ]
      return list(reply, found, body, 'page_or_data_source')
    }),
  )

  app.get(
    `${v1}/pages/:id`,
    onPage(({ reply, views }, page) => notionAnswer(reply, views.page(page))),
  )
  app.post(
    `${v1}/pages`,
    door(({ reply, person, body, sees, views }) => {
      const parent = body['parent']
      const database = at(parent, views.dataSources ? 'data_source_id' : 'database_id')
      const isRow = database !== undefined
      if (isRow) {
        const id = normalId(String(database))
        if (id !== (views.dataSources ? roadmap.dataSourceId : roadmap.id) || !sees(roadmap.root)) {
          return notFound(reply, views.dataSources ? 'data_source' : 'database', String(database))
        }
      }
      const above = isRow
        ? data.page(roadmap.parent)
        : data.page(normalId(String(at(parent, 'page_id'))) ?? '')
      if (!isRow && at(parent, 'page_id') === undefined) {
        return invalid(reply, 'body failed validation: body.parent should name a page or a database.')
      }
      if (above === undefined || !sees(above.root)) {
        return notFound(reply, 'page', String(at(parent, 'page_id') ?? roadmap.parent))
      }
      if (above.inTrash) return invalid(reply, 'Can’t create a page in one that is in the trash.')
      const fields = pageFieldsFrom(body['properties'], isRow)
      if ('problem' in fields) return invalid(reply, fields.problem)
      const blocks = blocksFrom(body['children'] ?? [])
      if ('problem' in blocks) return invalid(reply, blocks.problem)
      const emoji = at(body['icon'], 'emoji')
      const page = data.createPage(
        person,
        above.root,
        {
          parent: above.id,
          row: isRow,
          title: fields.value.title ?? '',
          icon: typeof emoji === 'string' ? emoji : undefined,
          values: { ...(isRow ? { Status: 'Planned' } : undefined), ...fields.value.values },
        },
        blocks.value,
      )
      return notionAnswer(reply, views.page(page))
    }),
  )
  app.patch(
    `${v1}/pages/:id`,
    onPage(({ reply, person, body, views }, page) => {
      const trashed = body['in_trash'] ?? body['archived']
      if (page.inTrash && trashed !== false) {
        return invalid(reply, 'Can’t edit a page that is in the trash. Restore it first.')
      }
      const fields = pageFieldsFrom(body['properties'], page.row)
      if ('problem' in fields) return invalid(reply, fields.problem)
      const { title, values } = fields.value
      const changed = data.changePage(person, page, {
        ...(title === undefined ? undefined : { title }),
        ...(typeof trashed === 'boolean' ? { inTrash: trashed } : undefined),
        values,
      })
      return notionAnswer(reply, views.page(changed))
    }),
  )

  app.get(
    `${v1}/databases/:id`,
    door(({ request, reply, sees, views }) => {
      const id = paramOf(request, 'id')
      return normalId(id) === roadmap.id && sees(roadmap.root)
        ? notionAnswer(reply, views.database())
        : notFound(reply, 'database', id)
    }),
  )
  app.get(
    `${v1}/data_sources/:id`,
    door(({ request, reply, sees, views }) => {
      if (!views.dataSources) return unknownUrl(reply)
      const id = paramOf(request, 'id')
      return normalId(id) === roadmap.dataSourceId && sees(roadmap.root)
        ? notionAnswer(reply, views.dataSource())
        : notFound(reply, 'data_source', id)
    }),
  )
  for (const [path, modern, id] of [
    ['databases', false, roadmap.id],
    ['data_sources', true, roadmap.dataSourceId],
  ] as const) {
    app.post(
      `${v1}/${path}/:id/query`,
      door(({ request, reply, body, sees, views }) => {
        if (views.dataSources !== modern) return unknownUrl(reply)
        const given = paramOf(request, 'id')
        if (normalId(given) !== id || !sees(roadmap.root)) {
          return notFound(reply, modern ? 'data_source' : 'database', given)
        }
        const [filter, order] = [filterOf(body['filter']), orderOf(body['sorts'])]
        if (typeof filter === 'string') return invalid(reply, filter)
        if (typeof order === 'string') return invalid(reply, order)
        const rows = data
          .pages()
          .filter((page) => page.row && !page.inTrash && filter(page))
          .sort((one, other) => order(one, other))
        return list(
          reply,
          rows.map((row) => views.page(row)),
          body,
          modern ? 'page_or_data_source' : 'page_or_database',
        )
      }),
    )
  }

  /** The page a block stands on, or is; undefined where it is nothing the token sees. */
  const placeOf = (call: Call) => {
    const id = normalId(paramOf(call.request, 'id')) ?? ''
    const block = data.block(id)
    const page = data.page(block?.page ?? id)
    return page === undefined || !call.sees(page.root) ? undefined : { id, block, page }
  }
  app.get(
    `${v1}/blocks/:id/children`,
    door((call) => {
      const place = placeOf(call)
      return place === undefined
        ? notFound(call.reply, 'block', paramOf(call.request, 'id'))
        : list(call.reply, childrenOf(place.id, call.views), Object.fromEntries(call.query), 'block')
    }),
  )
  app.patch(
    `${v1}/blocks/:id/children`,
    door((call) => {
      const { reply, person, body, views } = call
      const place = placeOf(call)
      if (place === undefined) return notFound(reply, 'block', paramOf(call.request, 'id'))
      if (place.page.inTrash || place.block?.inTrash === true) {
        return invalid(reply, 'Can’t edit block that is in the trash. You must restore it before editing.')
      }
      const blocks = blocksFrom(body['children'])
      if ('problem' in blocks) return invalid(reply, blocks.problem)
      const added = data.appendBlocks(person, place.page, place.id, blocks.value)
      return list(
        reply,
        added.map((block) => views.block(block, false)),
        {},
        'block',
      )
    }),
  )
  app.get(
    `${v1}/blocks/:id`,
    door((call) => {
      const place = placeOf(call)
      if (place === undefined) return notFound(call.reply, 'block', paramOf(call.request, 'id'))
      return notionAnswer(
        call.reply,
        place.block === undefined
          ? asBlock(place.page, call.views)
          : call.views.block(place.block, data.blocksOf(place.id).length > 0),
      )
    }),
  )
  app.patch(
    `${v1}/blocks/:id`,
    door((call) => {
      const { reply, person, body, views } = call
      const block = placeOf(call)?.block
      if (block === undefined) return notFound(reply, 'block', paramOf(call.request, 'id'))
      const sent = body[block.type]
      const text = at(sent, 'rich_text') === undefined ? undefined : textFrom(at(sent, 'rich_text'))
      if (text !== undefined && 'problem' in text) return invalid(reply, text.problem)
      const checked = at(sent, 'checked')
      const changed = data.changeBlock(person, block, {
        ...(text === undefined ? undefined : { text: text.value }),
        ...(typeof checked === 'boolean' ? { checked } : undefined),
      })
      return notionAnswer(reply, views.block(changed, data.blocksOf(block.id).length > 0))
    }),
  )
  app.delete(
    `${v1}/blocks/:id`,
    door((call) => {
      const block = placeOf(call)?.block
      if (block === undefined) return notFound(call.reply, 'block', paramOf(call.request, 'id'))
      const trashed = data.changeBlock(call.person, block, { inTrash: true })
      return notionAnswer(call.reply, call.views.block(trashed, false))
    }),
  )
  app.all(
    `${v1}/*`,
    door(({ reply }) => unknownUrl(reply)),
  )
}

function botView(person: Person, url: string): object {
  return {
    object: 'user',
    id: botId(person),
    name: 'Atom',
    avatar_url: null,
    type: 'bot',
    bot: {
      owner: { type: 'user', user: personView(person, url) },
      workspace_id: workspace.id,
      workspace_name: workspace.name,
      workspace_limits: { max_file_upload_size_in_bytes: 5_242_880 },
    },
  }
}

/** One page of a list; the cursor is the place where the next one begins. */
function list(reply: FastifyReply, items: readonly object[], paging: Body, type: string): FastifyReply {
  const size = Number(paging['page_size'] ?? 100)
  if (!Number.isInteger(size) || size < 1 || size > 100) {
    return invalid(
      reply,
      `body failed validation: body.page_size should be ≤ \`100\`, instead was \`${String(paging['page_size'])}\`.`,
    )
  }
  const cursor = paging['start_cursor']
  const from = cursor === undefined ? 0 : placeAt(String(cursor))
  if (from === undefined) return invalid(reply, 'The start_cursor provided is invalid.')
  const next = from + size < items.length ? cursorTo(from + size) : null
  return notionAnswer(reply, {
    object: 'list',
    results: items.slice(from, from + size),
    next_cursor: next,
    has_more: next !== null,
    type,
    [type]: {},
  })
}

function cursorTo(place: number): string {
  return `00000000-0000-4000-8000-${String(place).padStart(12, '0')}`
}

function placeAt(cursor: string): number | undefined {
  const place = /^00000000-0000-4000-8000-(\d{12})$/.exec(cursor)?.[1]
  return place === undefined ? undefined : Number(place)
}

function invalid(reply: FastifyReply, message: string) {
  return notionProblem(reply, 400, 'validation_error', message)
}

function unknownUrl(reply: FastifyReply) {
  return notionProblem(reply, 400, 'invalid_request_url', 'Invalid request URL.')
}
