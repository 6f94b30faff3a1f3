/** `signature` of files that are worth threads: the same bytes on any number of them, and nothing of a file in motion. */
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createSignature, decodeSignature, encodeSignature } from 'native-free-rdc';
import { signOn } from '../../src/engine/delta/sign-jobs.ts';
import type { FileDeltaWorld } from '../../src/file-delta/draft.ts';
import { signFile, threadedBytesMin } from '../../src/file-delta/sign.ts';
import { openSource } from '../../src/file-delta/source.ts';
import type { Files } from '../../src/world/files.ts';
import { realRandom } from '../../src/world/random.ts';
import { realFiles } from '../../src/world/real-files.ts';
import { realThreads } from '../../src/world/real-threads.ts';
import { rejectsWithCode } from '../conformance/expect.ts';
import { run } from './command-line.ts';

const mib = 1024 * 1024;
const random = realRandom();
const signal = new AbortController().signal;
/** Several spans, cuts far apart across the end of one, and a last one that is short. */
const content = Buffer.concat([random.bytes(8 * mib - 100_000), Buffer.alloc(200_000), random.bytes(9 * mib)]);

let cwd = '';
before(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'siteferry-threads-'));
});
after(() => rm(cwd, { recursive: true }));

const at = (name: string): string => join(cwd, name);
const poolOf = (threadCount: number): ReturnType<typeof realThreads> =>
  realThreads({ workerUrl: new URL('../../src/worker.ts', import.meta.url), threadCount });

async function signedHere(bytes: Uint8Array, salt: Uint8Array): Promise<Buffer> {
  return Buffer.from(encodeSignature(await createSignature([bytes], { basisBytes: bytes.byteLength, salt })));
}

for (const threadCount of [1, 2, 3]) {
  test(`signOn() ${threadCount} threads gives the bytes of createSignature()`, async () => {
    await using threads = poolOf(threadCount);
    for (const bytes of [0, 1, 4 * mib, 4 * mib + 1, content.byteLength]) {
      await writeFile(at('part'), content.subarray(0, bytes));
      await using source = await openSource(realFiles(), at('part'));
      const salt = random.bytes(8);
      const signature = await signOn(threads, source, { salt, signal });
      assert.ok(Buffer.from(encodeSignature(signature)).equals(await signedHere(content.subarray(0, bytes), salt)));
    }
  });
}

test('siteferry signature writes the same bytes for a file that is worth threads', async () => {
  await writeFile(at('basis'), content);
  await truncate(at('basis'), threadedBytesMin + 1);
  const { status, document } = await run(['signature', 'basis', '-o', 'sig', '--json'], { cwd });
  assert.deepEqual([status, document['bytes']], [0, threadedBytesMin + 1]);
  const encoded = await readFile(at('sig'));
  const { salt, chunkCount } = decodeSignature(encoded);
  assert.equal(document['chunks'], chunkCount);
  assert.ok(encoded.equals(await signedHere(await readFile(at('basis')), salt)));
});

/** The disk, on which something happens to a file when it was read for the first time. */
function restless(path: string, happen: () => Promise<void>): Files {
  const files = realFiles();
  let isDue = true;
  return {
    ...files,
    async open(opened, mode) {
      const handle = await files.open(opened, mode);
      if (opened !== path) return handle;
      const read = handle.read.bind(handle);
      handle.read = async (offset, into) => {
        const count = await read(offset, into);
        if (isDue) {
          isDue = false;
          await happen();
        }
        return count;
      };
      return handle;
    },
  };
}

for (const bytes of [mib + 1, threadedBytesMin]) {
  for (const [what, happen] of [
    ['grows', (path) => appendFile(path, 'more')],
    ['shrinks', (path) => truncate(path, 1000)],
    ['is written to', (path) => utimes(path, 1, 1)],
  ] satisfies [string, (path: string) => Promise<void>][]) {
    test(`signFile() refuses a file of ${bytes} bytes that ${what} while it is read, and leaves nothing behind`, async () => {
      const path = join(await mkdtemp(at('restless-')), 'basis');
      await writeFile(path, content);
      await truncate(path, bytes);
      const files = restless(path, () => happen(path));
      const world: FileDeltaWorld = { files, random, openThreads: () => poolOf(2) };
      const options = { output: join(path, '../sig'), mayOverwrite: false, signal };
      await rejectsWithCode(signFile(world, path, options), 'source-changed');
      assert.deepEqual(await readdir(join(path, '..')), ['basis']);
    });
  }
}

test('signFile() ends at once when it is told to, and leaves nothing behind', async () => {
  const path = join(await mkdtemp(at('aborted-')), 'basis');
  await writeFile(path, content);
  await truncate(path, threadedBytesMin);
  const abort = new AbortController();
  const reason = new Error('enough');
  const files = restless(path, async () => abort.abort(reason));
  const world: FileDeltaWorld = { files, random, openThreads: () => poolOf(2) };
  const options = { output: join(path, '../sig'), mayOverwrite: false, signal: abort.signal };
  await assert.rejects(signFile(world, path, options), (error) => error === reason);
  assert.deepEqual(await readdir(join(path, '..')), ['basis']);
});
