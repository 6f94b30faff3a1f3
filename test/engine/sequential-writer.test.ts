import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SequentialWriter, sparseBlockBytes } from '../../src/engine/store/sequential-writer.ts';
import { realFiles } from '../../src/world/real-files.ts';
import type { Machine } from '../sim/machine.ts';
import { Simulation } from '../sim/simulation.ts';
import { tempDirectory } from '../world/temp.ts';

interface Written {
  readonly content: Uint8Array;
  readonly allocatedBytes: number;
  readonly writes: readonly string[];
}

/** Writes `pieces` into a new file of a simulated machine; `before` is what the file holds already. */
async function write(
  pieces: readonly Uint8Array[],
  options: { readonly isSparse?: boolean; readonly before?: Uint8Array } = {},
): Promise<Written> {
  const simulation = new Simulation(1);
  const machine: Machine = simulation.machine('a');
  const { files } = machine.boot();
  const writes: string[] = [];
  const work = async (): Promise<number> => {
    await using handle = await files.open('/file', 'create');
    if (options.before !== undefined) await handle.write(0, options.before);
    const watched: typeof handle = {
      facts: () => handle.facts(),
      read: (offset, into) => handle.read(offset, into),
      write: (offset, bytes) => {
        writes.push(`${offset}+${bytes.byteLength}`);
        return handle.write(offset, bytes);
      },
      truncate: (bytes) => {
        writes.push(`to ${bytes}`);
        return handle.truncate(bytes);
      },
      sync: () => handle.sync(),
      close: () => handle.close(),
      [Symbol.asyncDispose]: () => handle.close(),
    };
    const writer = new SequentialWriter(watched, { isSparse: options.isSparse ?? true });
    for (const piece of pieces) {
      // A buffer of its own that is used again: the writer must be done with it.
      const lent = new Uint8Array(piece);
      await writer.write(lent);
      lent.fill(0xee);
    }
    await writer.finish();
    assert.equal(
      writer.bytes,
      pieces.reduce((sum, piece) => sum + piece.byteLength, 0),
    );
    return (await handle.facts()).allocatedBytes;
  };
  const allocatedBytes = await simulation.drive(work());
  return { content: machine.files.readFile('/file') ?? assert.fail('no file'), allocatedBytes, writes };
}

const block = sparseBlockBytes;

function ones(count: number): Uint8Array {
  return new Uint8Array(count).fill(1);
}

function zeros(count: number): Uint8Array {
  return new Uint8Array(count);
}

function join(pieces: readonly Uint8Array[]): Buffer {
  return Buffer.concat(pieces);
}

/** Not `deepEqual`: telling how two large contents differ takes minutes. */
function assertContent(written: Uint8Array, expected: Uint8Array): void {
  assert.equal(written.byteLength, expected.byteLength);
  assert.equal(
    written.findIndex((byte, index) => byte !== expected[index]),
    -1,
    'place of the first difference',
  );
}

/** What a file with these contents takes when exactly its blocks of zeros are left out: in 4 KiB, as the twin counts. */
function allocatedFor(content: Buffer): number {
  let bytes = 0;
  for (let start = 0; start < content.length; start += block) {
    const part = content.subarray(start, start + block);
    if (part.some((byte) => byte !== 0)) bytes += Math.ceil(part.length / 4096) * 4096;
  }
  return bytes;
}

test('SequentialWriter leaves blocks of zeros out and writes what is between them at once', async () => {
  const content = join([ones(3 * block), zeros(2 * block), ones(block + 5)]);
  const { content: written, writes, allocatedBytes } = await write([content]);
  assertContent(written, content);
  assert.deepEqual(writes, [`0+${3 * block}`, `${5 * block}+${block + 5}`]);
  assert.equal(allocatedBytes, 4 * block + 4096);
});

test('SequentialWriter leaves out no zeros that share their block with something else', async () => {
  const content = join([zeros(block - 1), ones(2), zeros(2 * block - 1)]);
  const { content: written, writes } = await write([content]);
  assertContent(written, content);
  assert.deepEqual(writes, [`0+${2 * block}`, `to ${3 * block}`]);
});

test('SequentialWriter writes zeros it held back when their block turns out to have more', async () => {
  const { content, writes } = await write([zeros(block + 10), zeros(20), ones(1), zeros(5)]);
  assertContent(content, join([zeros(block + 30), ones(1), zeros(5)]));
  assert.deepEqual(writes, [`${block}+30`, `${block + 30}+1`, `${block + 31}+5`]);
});

for (const count of [1, block - 1, block, block + 1, 10 * block]) {
  test(`SequentialWriter gives a file of ${count} zeros its length and no room`, async () => {
    const { content, allocatedBytes, writes } = await write([zeros(count)]);
    assert.equal(content.byteLength, count);
    assert.ok(content.every((byte) => byte === 0));
    assert.deepEqual([allocatedBytes, writes], [0, [`to ${count}`]]);
  });
}

test('SequentialWriter makes an empty file of nothing', async () => {
  for (const pieces of [[], [zeros(0)], [zeros(0), zeros(0)]]) {
    const { content, writes } = await write(pieces);
    assert.deepEqual([content.byteLength, writes], [0, []]);
  }
});

test('SequentialWriter writes pieces as they come when no holes are wanted', async () => {
  const { content, writes, allocatedBytes } = await write([zeros(block), ones(3), zeros(2 * block)], {
    isSparse: false,
  });
  assertContent(content, join([zeros(block), ones(3), zeros(2 * block)]));
  assert.deepEqual(writes, [`0+${block}`, `${block}+3`, `${block + 3}+${2 * block}`]);
  assert.equal(allocatedBytes, 3 * block + 4096);
});

test('SequentialWriter refuses a hole that would show what the file had before', async () => {
  await assert.rejects(write([ones(block), zeros(block)], { before: ones(block + 1) }), RangeError);
  await assert.rejects(write([zeros(1)], { before: ones(1) }), RangeError);
});

/** Runs of zeros and of random bytes, with lengths about whole blocks. */
const contents = fc
  .array(
    fc.record({
      isZero: fc.boolean(),
      blocks: fc.integer({ min: 0, max: 3 }),
      more: fc.oneof(fc.integer({ min: -2, max: 2 }), fc.integer({ min: 0, max: block })),
    }),
    { maxLength: 5 },
  )
  .map((runs) =>
    join(runs.map(({ isZero, blocks, more }) => (isZero ? zeros : ones)(Math.max(0, blocks * block + more)))),
  );

function cut(content: Buffer, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((place) => Math.floor(place * content.length)).sort((a, b) => a - b), content.length];
  return places.slice(1).map((end, index) => content.subarray(places[index], end));
}

const anyCuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

test('SequentialWriter: content and holes are the same however the content is cut', async () => {
  await fc.assert(
    fc.asyncProperty(contents, anyCuts, async (content, cuts) => {
      const { content: written, allocatedBytes } = await write(cut(content, cuts));
      assertContent(written, content);
      assert.equal(allocatedBytes, allocatedFor(content));
    }),
    { numRuns: 100 },
  );
});

test('SequentialWriter writes the same content to a real file', async () => {
  await using temp = await tempDirectory();
  const files = realFiles();
  const content = join([zeros(20 * block), ones(3), zeros(20 * block), ones(block), zeros(40 * block + 7)]);
  const allocated: number[] = [];
  for (const isSparse of [true, false]) {
    await using handle = await files.open(`${temp.path}/${isSparse}`, 'create');
    const writer = new SequentialWriter(handle, { isSparse });
    for (const piece of cut(content, [0.1, 0.2, 0.2001, 0.5, 0.77])) await writer.write(piece);
    await writer.finish();
    await handle.sync();
    const { bytes, allocatedBytes } = await handle.facts();
    const into = Buffer.alloc(content.length + 1);
    assert.deepEqual([bytes, await handle.read(0, into)], [content.length, content.length]);
    assertContent(into.subarray(0, bytes), content);
    allocated.push(allocatedBytes);
  }
  const [sparse = 0, dense = 0] = allocated;
  assert.ok(sparse <= dense, `${sparse} bytes allocated with holes, ${dense} without`);
});
