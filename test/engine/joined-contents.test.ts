/** Contents of a library read as one: where they lie, and that a wrong one never passes as right. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { ContentStore } from '../../src/engine/store/content-store.ts';
import { type JoinedContent, JoinedContents } from '../../src/engine/store/joined-contents.ts';
import { ProvenContents, provenBlocks } from '../../src/engine/store/proven-contents.ts';
import { limits } from '../../src/model/limits.ts';
import { Simulation } from '../sim/simulation.ts';

const patience = { virtualMsMax: 600_000 };

/** A library with contents of these lengths, and what they are joined. */
async function library(seed: string, lengths: readonly number[]) {
  const simulation = new Simulation(seed);
  const machine = simulation.machine('one');
  const world = machine.boot();
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => simulation.drive(promise, patience);
  const open = world.openDatabase('/database').then((database) => ContentStore.open(world, database, '/store'));
  const store = await drive(open);
  const ingest = store.ingest();
  const contents: JoinedContent[] = [];
  const raw: Uint8Array[] = [];
  const parts: Uint8Array[] = [];
  for (const [index, bytes] of lengths.entries()) {
    const content = simulation.seeded.fork(`${index}`).bytes(bytes);
    contents.push({ content: await drive(ingest.addBytes(content)), bytes });
    raw.push(content);
    parts.push(content, new Uint8Array((16 - (bytes % 16)) % 16));
  }
  await drive(ingest.commit());
  /** Damages each large content. */
  const rot = (): void => {
    for (const path of machine.files.filesBelow('/store/content')) machine.files.flipBit(path, 150_000);
  };
  return { simulation, drive, files: world.files, store, contents, rot, raw: concat(raw), joined: concat(parts) };
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

test('JoinedContents reads contents at multiples of 16 bytes, with zeros between them and at the end', async () => {
  const { simulation, drive, files, store, contents, joined } = await library('joined', [1, 15, 16, 17, 200_001, 7]);
  const reader = new JoinedContents(files, store, contents);
  assert.equal(reader.bytes, joined.byteLength);
  assert.deepEqual([...reader.starts().values()], [0, 16, 32, 48, 80, 80 + 200_016]);
  const { seeded } = simulation;
  for (let round = 0; round < 200; round += 1) {
    const near = seeded.pick([0, 80, 80 + 200_001, joined.byteLength - 3]);
    const offset = Math.max(0, Math.min(joined.byteLength, near + seeded.integer(-20, 20)));
    const into = new Uint8Array(seeded.pick([0, 1, 16, 100, 300_000])).fill(0xaa);
    const expected = joined.subarray(offset, offset + into.byteLength);
    assert.equal(await drive(reader.read(offset, into)), expected.byteLength);
    assert.deepEqual(into.subarray(0, expected.byteLength), expected);
  }
  const none = new JoinedContents(files, store, []);
  assert.deepEqual([none.bytes, await drive(none.read(0, new Uint8Array(1)))], [0, 0]);
});

const large = [300_000, 5, 400_007, 200_000];

test('ProvenContents reads right contents as they are, many calls at once, and reads nothing twice', async () => {
  for (const round of [1, 2, 3, 4]) {
    const { drive, files, store, contents, joined } = await library(`proven ${round}`, large);
    const reader = new ProvenContents(files, store, contents);
    const readAll = async (): Promise<void> => {
      // The simulated disk answers them in any order.
      const offsets = Array.from({ length: Math.ceil(joined.byteLength / 100_000) }, (_, index) => index * 100_000);
      await Promise.all(
        offsets.map(async (offset) => {
          const into = new Uint8Array(100_000);
          const count = await reader.read(offset, into);
          assert.deepEqual(into.subarray(0, count), joined.subarray(offset, offset + 100_000));
        }),
      );
    };
    await drive(readAll());
    // A reading now would find no library.
    for (const { content } of contents) await drive(store.forget(content));
    await drive(reader.proveRest());
  }
});

/** Ways of reading all, each of which must end in the same verdict. */
const readings: readonly (readonly [string, (reader: ProvenContents) => Promise<void>])[] = [
  ['nothing', async () => {}],
  ['all in one', async (reader) => void (await reader.read(0, new Uint8Array(reader.bytes)))],
  ['the end', async (reader) => void (await reader.read(350_000, new Uint8Array(reader.bytes)))],
  [
    'all twice at once',
    async (reader) => {
      await Promise.all([1, 2].map(() => reader.read(0, new Uint8Array(reader.bytes))));
    },
  ],
];

for (const [what, read] of readings) {
  test(`ProvenContents lets no wrong content pass when ${what} was read before the rest is proven`, async () => {
    const { drive, files, store, contents, rot } = await library(`wrong ${what}`, large);
    rot();
    const all = async (): Promise<void> => {
      await using reader = new ProvenContents(files, store, contents);
      await read(reader);
      await reader.proveRest();
    };
    await assert.rejects(drive(all()), { code: 'content-damaged' });
    assert.equal(contents.filter(({ content }) => !store.has(content)).length, 1);
    // Without the first one, the second is found.
    const rest = contents.filter(({ content }) => store.has(content));
    await assert.rejects(drive(new ProvenContents(files, store, rest).proveRest()), { code: 'content-damaged' });
  });
}

test('ProvenContents stays refused after a wrong content was thrown', async () => {
  const { drive, files, store, contents, rot } = await library('stays', large);
  rot();
  const reader = new ProvenContents(files, store, contents);
  await assert.rejects(drive(reader.read(0, new Uint8Array(reader.bytes))), { code: 'content-damaged' });
  await assert.rejects(drive(reader.proveRest()), { code: 'content-damaged' });
});

test('provenBlocks() gives contents without zeros between them, and no end after a wrong one', async () => {
  const { drive, files, store, contents, raw, rot } = await library('blocks', [1, 2_500_000, 17, 150_001, 31]);
  const read = async (): Promise<Uint8Array[]> => {
    const blocks: Uint8Array[] = [];
    for await (const block of provenBlocks(files, store, contents)) blocks.push(Uint8Array.from(block));
    return blocks;
  };
  const blocks = await drive(read());
  assert.equal(sha256(concat(blocks)), sha256(raw));
  assert.ok(blocks.every((block) => block.byteLength <= limits.blockBytes));
  rot();
  await assert.rejects(drive(read()), { code: 'content-damaged' });
});
