/** The SDK ships no types; this is what the test calls of it. */
declare module 'asana' {
  interface AsanaRecord {
    readonly gid: string
    readonly name: string
    readonly email?: string
  }
  interface Collection {
    readonly data: readonly AsanaRecord[]
    nextPage(): Promise<Collection>
  }
  const asana: {
    readonly ApiClient: {
      readonly instance: { basePath: string; authentications: { token: { accessToken: string } } }
    }
    readonly UsersApi: new () => {
      getUser(gid: string, options: { opt_fields?: string }): Promise<{ data: AsanaRecord }>
    }
    readonly TasksApi: new () => {
      createTask(body: { data: object }, options: object): Promise<{ data: AsanaRecord }>
      getTasksForProject(gid: string, options: { limit?: number }): Promise<Collection>
    }
  }
  export default asana
}
