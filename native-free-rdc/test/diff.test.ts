import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  applyDelta,
  type CreateDiffOptions,
  createDiff,
  type DiffJobs,
  type DiffLevel,
  type DiffSummary,
  diffSegment,
  type Extent,
  scanBlock,
} from '../src/index.ts';
import { collect, MemoryBasis, piecesOf, pseudoRandom, randomIntegers, testSeed, textLike } from './material.ts';

const MIB = 1024 * 1024;
const levels: readonly DiffLevel[] = ['fast', 'default', 'best'];

async function diff(
  basis: Uint8Array,
  target: Uint8Array,
  options: CreateDiffOptions & { readonly pieceBytes?: number } = {},
): Promise<{ readonly delta: Buffer; readonly summary: DiffSummary }> {
  let summary: DiffSummary | undefined;
  const onSummary = (told: DiffSummary): void => {
    summary = told;
  };
  const pieces = piecesOf(target, options.pieceBytes ?? MIB);
  const delta = await collect(createDiff(new MemoryBasis(basis), pieces, { ...options, onSummary }));
  assert.ok(summary, 'a summary was told');
  assert.equal(summary.deltaBytes, delta.length);
  assert.equal(summary.copyBytes + summary.addBytes + summary.literalBytes, target.length);
  return { delta, summary };
}

async function assertRebuilds(basis: Uint8Array, target: Uint8Array, delta: Uint8Array): Promise<void> {
  const rebuilt = await collect(applyDelta(new MemoryBasis(basis), piecesOf(delta, 4_099)));
  assert.ok(rebuilt.equals(target), 'the target is rebuilt');
}

/** A program as compilers make it: calls and address loads between bytes that repeat, in functions that may move. */
function program(functionBytes: readonly number[], seed: number): Uint8Array {
  const random = randomIntegers(seed);
  const starts: number[] = [];
  let bytes = 0;
  for (const length of functionBytes) {
    starts.push(bytes);
    bytes += length;
  }
  const code = new Uint8Array(bytes);
  const view = new DataView(code.buffer);
  functionBytes.forEach((_, index) => {
    const body = randomIntegers(seed * 7919 + index);
    const start = starts[index] as number;
    const end = Math.min(bytes, start + Math.min(...functionBytes));
    for (let at = start; at + 12 < end; at += 12) {
      for (let byte = 0; byte < 6; byte++) code[at + byte] = body(200);
      code[at + 7] = 0xe8;
      const callee = starts[body(starts.length)] as number;
      view.setInt32(at + 8, callee - (at + 12), true);
    }
    random(2);
  });
  return code;
}

const edits = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.nat(3_000),
    insert: fc.uint8Array({ maxLength: 200 }),
  }),
  { maxLength: 12 },
);

function edited(basis: Uint8Array, script: readonly { at: number; remove: number; insert: Uint8Array }[]): Uint8Array {
  let target = Buffer.from(basis);
  for (const { at, remove, insert } of script) {
    const from = Math.floor(at * target.length);
    target = Buffer.concat([target.subarray(0, from), insert, target.subarray(from + remove)]);
  }
  return target;
}

describe('diff', () => {
  test('rebuilds any target from any basis, at every level', async () => {
    const seed = testSeed;
    console.log(`seed ${seed}`);
    const basis = fc.oneof(
      fc.nat(60_000).chain((bytes) => fc.nat().map((from) => pseudoRandom(bytes, from))),
      fc.nat(60_000).chain((bytes) => fc.nat().map((from) => textLike(bytes, from))),
      fc.nat(60_000).map((bytes) => new Uint8Array(bytes)),
      fc
        .array(fc.integer({ min: 40, max: 400 }), { minLength: 2, maxLength: 60 })
        .map((lengths) => program(lengths, 5)),
    );
    const property = fc.asyncProperty(basis, edits, fc.constantFrom(...levels), async (old, script, level) => {
      const target = edited(old, script);
      const { delta } = await diff(old, target, { level });
      await assertRebuilds(old, target, delta);
    });
    await fc.assert(property, { seed, numRuns: 150 });
  });

  test('a small edit of a large file costs little, wherever it is', async () => {
    const basis = pseudoRandom(9 * MIB, 11);
    for (const at of [0, 4 * MIB - 3, 5 * MIB, 9 * MIB - 1]) {
      const target = Buffer.concat([basis.subarray(0, at), Buffer.from('inserted'), basis.subarray(at)]);
      const { delta } = await diff(basis, target);
      await assertRebuilds(basis, target, delta);
      assert.ok(delta.length < 1_000, `${delta.length} bytes for an insertion at ${at}`);
    }
  });

  test('what moved far is found in a basis larger than any window', async () => {
    const parts = Array.from({ length: 6 }, (_, index) => pseudoRandom(3 * MIB, 100 + index));
    const basis = Buffer.concat(parts);
    const target = Buffer.concat([...parts].reverse());
    const { delta, summary } = await diff(basis, target);
    await assertRebuilds(basis, target, delta);
    assert.ok(summary.literalBytes < 1_000, `${summary.literalBytes} literal bytes`);
  });

  test('calls whose callees moved are foretold', async () => {
    const lengths = Array.from({ length: 3_000 }, (_, index) => 300 + ((index * 37) % 90));
    const basis = program(lengths, 3);
    const target = program(
      lengths.map((length, index) => (index % 40 === 7 ? length + 16 : length)),
      3,
    );
    const { delta, summary } = await diff(basis, target);
    await assertRebuilds(basis, target, delta);
    let differing = 0;
    for (let index = 0; index < lengths.length * 20; index++) differing += basis[index] === target[index] ? 0 : 1;
    assert.ok(summary.addBytes * 4 < lengths.length * 25, `${summary.addBytes} corrections, ${differing} without`);
  });

  test('the delta depends neither on the division of the target nor on how many jobs run at once', async () => {
    const basis = Buffer.concat([pseudoRandom(6 * MIB, 21), textLike(4 * MIB, 22), pseudoRandom(3 * MIB, 23)]);
    const target = Buffer.concat([basis.subarray(7 * MIB), textLike(10_000, 24), basis.subarray(0, 7 * MIB)]);
    const { delta } = await diff(basis, target);
    const { delta: divided } = await diff(basis, target, { pieceBytes: 77_777 });
    assert.ok(divided.equals(delta), 'divided otherwise');
    const random = randomIntegers(9);
    const late = async (): Promise<void> => {
      for (let turns = random(20); turns > 0; turns--) await Promise.resolve();
    };
    const jobs: DiffJobs = {
      scanBlock: async (block, order) => {
        const scan = scanBlock(block, order);
        await late();
        return scan;
      },
      diffSegment: async (input) => {
        await late();
        return diffSegment(input);
      },
      aheadCount: 5,
      allocate: (bytes) => new Uint8Array(new SharedArrayBuffer(bytes)),
    };
    const { delta: spread } = await diff(basis, target, { jobs });
    assert.ok(spread.equals(delta), 'made by five jobs at once');
  });

  test('a failure of the basis or of a job reaches the caller, and nobody else', async () => {
    const basis = pseudoRandom(20 * MIB, 71);
    const failing: DiffJobs = {
      scanBlock,
      // The second one fails while the first is still under way.
      diffSegment: async (input) => {
        if (input.target[0] === basis[0]) await new Promise(setImmediate);
        else throw new Error('no such thread');
        return diffSegment(input);
      },
      aheadCount: 3,
    };
    await assert.rejects(collect(createDiff(new MemoryBasis(basis), [basis], { jobs: failing })), /no such thread/);
    let readCount = 0;
    const broken = {
      bytes: basis.length,
      read: async (offset: number, into: Uint8Array) => {
        readCount += 1;
        if (readCount > 8) throw new Error('the disk is gone');
        into.set(basis.subarray(offset, offset + into.length));
        return into.length;
      },
    };
    const jobs: DiffJobs = { scanBlock, diffSegment, aheadCount: 4 };
    await assert.rejects(collect(createDiff(broken, [basis], { jobs })), /the disk is gone/);
  });

  test('is never more than 0.1 % larger than the target', async () => {
    for (const bytes of [1, 100, 100_000, 9 * MIB]) {
      for (const basisBytes of [0, 1, 10 * MIB]) {
        const { delta } = await diff(pseudoRandom(basisBytes, 31), pseudoRandom(bytes, 32));
        // Header, trailer and the head of one segment are there even for nothing.
        assert.ok(delta.length <= bytes * 1.001 + 200, `${delta.length} for ${bytes} against ${basisBytes}`);
      }
    }
  });

  test('hints tell where to look when content does not', async () => {
    const basis = pseudoRandom(20 * MIB, 41);
    // Every 20th byte differs: nothing that is sampled is found again.
    const target = basis.slice(12 * MIB, 13 * MIB).map((byte, index) => (index % 20 === 0 ? byte ^ 1 : byte));
    const hint: Extent = { start: 12 * MIB, bytes: MIB };
    const { delta, summary } = await diff(basis, target, { hintsFor: () => [hint] });
    await assertRebuilds(basis, target, delta);
    assert.ok(summary.literalBytes < target.length / 4, `${summary.literalBytes} literal bytes`);
  });
});

describe('adversarial inputs', () => {
  const bytes = 6 * MIB;
  const cases: Readonly<Record<string, readonly [Uint8Array, Uint8Array]>> = {
    zeros: [new Uint8Array(bytes), new Uint8Array(bytes + 5)],
    'period 16': [
      Uint8Array.from({ length: bytes }, (_, index) => index % 16),
      Uint8Array.from({ length: bytes }, (_, index) => (index + 3) % 16),
    ],
    'one byte repeated': [new Uint8Array(bytes).fill(7), new Uint8Array(bytes).fill(9)],
    'self-similar': [
      Buffer.concat(Array.from({ length: 96 }, () => pseudoRandom(65_536, 51))),
      Buffer.concat(Array.from({ length: 95 }, () => pseudoRandom(65_536, 51))),
    ],
    'basis much larger': [pseudoRandom(3 * bytes, 52), pseudoRandom(10, 53)],
    'target much larger': [pseudoRandom(10, 54), pseudoRandom(bytes, 55)],
    'empty basis': [new Uint8Array(0), textLike(bytes, 56)],
    'empty target': [textLike(bytes, 57), new Uint8Array(0)],
  };
  for (const [name, [basis, target]] of Object.entries(cases)) {
    test(`${name} costs no more than three times as much as random bytes`, async () => {
      const spent = async (old: Uint8Array, wanted: Uint8Array): Promise<number> => {
        const before = process.cpuUsage();
        const { delta } = await diff(old, wanted);
        const { user, system } = process.cpuUsage(before);
        await assertRebuilds(old, wanted, delta);
        return (user + system) / 1e6;
      };
      const random = await spent(pseudoRandom(bytes, 61), pseudoRandom(bytes, 62));
      const seconds = await spent(basis, target);
      // Half a second of slack: the machine is shared, and the case that matters costs minutes.
      assert.ok(seconds <= 3 * random + 0.5, `${seconds} s, random bytes ${random} s`);
    });
  }
});
