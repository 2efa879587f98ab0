import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { cgroupMemory } from './cgroup-memory.ts'

const MiB = 1024 ** 2

/** A machine's files, below a folder. */
async function machine(
  files: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { readonly root: string }> {
  const root = await mkdtemp(join(tmpdir(), 'atom-cgroup-'))
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) }
}

function v2(folder: string, limit: string, current: number, inactive = 0): Record<string, string> {
  const group = join('sys/fs/cgroup', folder)
  return {
    [join(group, 'memory.max')]: `${limit}\n`,
    [join(group, 'memory.current')]: `${current}\n`,
    [join(group, 'memory.stat')]: `anon 1\ninactive_file ${inactive}\nactive_file 7\n`,
  }
}

function place(text: string): Record<string, string> {
  return { 'proc/self/cgroup': text }
}

test('[HE7] memory counts against the limit of the control group, version 1 or 2, own or inherited, without what the kernel gives back', async () => {
  {
    // A container: its own group is the root of what it sees.
    await using it = await machine({ ...place('0::/\n'), ...v2('', `${512 * MiB}`, 300 * MiB, 100 * MiB) })
    assert.deepEqual(await cgroupMemory(it.root), { limit: 512 * MiB, used: 200 * MiB })
  }
  {
    // A unit without a limit in a slice with one; another slice above has more room.
    await using it = await machine({
      ...place('0::/app.slice/inner.slice/atom.service\n'),
      ...v2('app.slice', `${4096 * MiB}`, 900 * MiB),
      ...v2('app.slice/inner.slice', `${1024 * MiB}`, 800 * MiB),
      ...v2('app.slice/inner.slice/atom.service', 'max', 300 * MiB),
    })
    assert.deepEqual(await cgroupMemory(it.root), { limit: 1024 * MiB, used: 800 * MiB })
  }
  const v1 = {
    ...place('5:devices:/x\n4:cpu,memory:/docker/abc\n0::/\n'),
    'sys/fs/cgroup/memory/memory.usage_in_bytes': `${64 * MiB}\n`,
    'sys/fs/cgroup/memory/memory.stat': `inactive_file 5\ntotal_inactive_file ${14 * MiB}\n`,
  }
  {
    // The path is the host's; what is mounted is the group itself.
    await using it = await machine({
      ...v1,
      'sys/fs/cgroup/memory/memory.limit_in_bytes': `${256 * MiB}\n`,
    })
    assert.deepEqual(await cgroupMemory(it.root), { limit: 256 * MiB, used: 50 * MiB })
  }
  {
    await using it = await machine({
      ...v1,
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    })
    assert.equal(await cgroupMemory(it.root), undefined)
  }
  await using bare = await machine({})
  assert.equal(await cgroupMemory(bare.root), undefined)
})
