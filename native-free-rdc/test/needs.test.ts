import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  answerNeeds,
  type BasisReader,
  createSignature,
  decodeNeeds,
  encodeNeeds,
  FROM_FETCH,
  FROM_TARGET,
  type NeedList,
  type NeedPlan,
  type PlanNeedsOptions,
  planNeeds,
  RdcError,
  readAnswer,
  rebuildTarget,
  type Signature,
} from '../src/index.ts';
import { NEED_RANGES_MAX } from '../src/limits.ts';
import {
  applyEdits,
  basisArbitrary,
  collect,
  MemoryBasis,
  mutate,
  pairArbitrary,
  piecesOf,
  pseudoRandom,
  randomIntegers,
  rejectsWith,
  sha256Hex,
  sign,
  storeRaw,
  testSeed,
  textLike,
  tinyChunks,
} from './material.ts';

function signLike(target: Signature, seed: Uint8Array): Promise<Signature> {
  return createSignature([seed], { ...target, basisBytes: seed.length });
}

async function planOf(
  target: Uint8Array,
  seeds: readonly Uint8Array[],
  options: PlanNeedsOptions = {},
): Promise<NeedPlan> {
  const signature = await sign(target, tinyChunks);
  return planNeeds(signature, await Promise.all(seeds.map((seed) => signLike(signature, seed))), options);
}

/** Rebuilds as a caller would: the answer over the wire, what is yielded written and read back. */
async function rebuild(plan: NeedPlan, target: Uint8Array, seeds: readonly BasisReader[]): Promise<Buffer> {
  let written = Buffer.alloc(0);
  const sources = {
    seeds,
    fetch: async (needs: NeedList) => {
      const asked = decodeNeeds(encodeNeeds(needs));
      assert.deepEqual(asked, needs);
      const answer = await collect(answerNeeds(new MemoryBasis(target), asked));
      return readAnswer(piecesOf(answer, 1000), needs);
    },
    written: {
      bytes: 0,
      read: async (offset: number, into: Uint8Array) => written.copy(into, 0, offset, offset + into.length),
    },
  };
  for await (const piece of rebuildTarget(plan, sources)) written = Buffer.concat([written, piece]);
  return written;
}

/** Everything a plan promises. */
function assertSound(plan: NeedPlan): void {
  let start = 0;
  let range = 0;
  for (let step = 0; step < plan.stepCount; step++) {
    const source = plan.stepSources[step] as number;
    const length = plan.stepLengths[step] as number;
    const end = (plan.stepOffsets[step] as number) + length;
    assert.ok(length > 0);
    if (source >= 0) assert.ok(end <= (plan.seedBytes[source] as number));
    if (source === FROM_TARGET) assert.ok(end <= start);
    if (source === FROM_FETCH) {
      assert.deepEqual([plan.needs.starts[range], plan.needs.lengths[range]], [start, length]);
      range++;
    }
    start += length;
  }
  assert.equal(start, plan.targetBytes);
  assert.equal(range, plan.needs.rangeCount);
}

describe('rebuildTarget() of planNeeds() is the target', () => {
  test('for any target and seeds', async (t) => {
    t.diagnostic(`seed ${testSeed}`);
    await fc.assert(
      fc.asyncProperty(
        pairArbitrary,
        fc.array(basisArbitrary, { maxLength: 2 }),
        fc.boolean(),
        fc.nat(3000),
        async ([seed, target], more, selfCopies, gapBytesMax) => {
          const seeds = [...more, seed];
          const plan = await planOf(target, seeds, { selfCopies, gapBytesMax });
          assertSound(plan);
          assert.ok(selfCopies || !plan.stepSources.includes(FROM_TARGET));
          const readers = seeds.map((bytes) => new MemoryBasis(bytes));
          assert.ok((await rebuild(plan, target, readers)).equals(target));
          const readBytes = readers.reduce((sum, reader) => sum + reader.readBytes, 0);
          assert.ok(readBytes <= 3 * target.length, `${readBytes} bytes read for ${target.length}`);
        },
      ),
      { seed: testSeed, numRuns: 150 },
    );
  });

  test('for targets on both sides of a piece, out of two seeds, with repeats before and in the piece', async () => {
    const [one, other, fresh] = [1, 2, 3].map((seed) => pseudoRandom(700_000, seed)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const whole = Buffer.concat([fresh, one, fresh, other, fresh.subarray(0, 300_000)]);
    for (const bytes of [2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, whole.length]) {
      const target = whole.subarray(0, bytes);
      const plan = await planOf(target, [one, other]);
      assert.ok((await rebuild(plan, target, [new MemoryBasis(one), new MemoryBasis(other)])).equals(target));
    }
    const plan = await planOf(whole, [one, other]);
    assert.ok(plan.needs.neededBytes < 705_000, `${plan.needs.neededBytes} bytes needed`);
    assert.ok(plan.stepCount < 12, `${plan.stepCount} steps`);
    // Without self-copies the same is asked for three times.
    const again = await planOf(whole, [one, other], { selfCopies: false });
    assert.ok(again.needs.neededBytes > 1_690_000, `${again.needs.neededBytes} bytes needed`);
  });

  test('for nothing, and without asking if nothing is needed', async () => {
    const target = pseudoRandom(100_000, 4);
    for (const [wanted, seed] of [
      [new Uint8Array(0), target],
      [target, target],
    ] as const) {
      const plan = await planOf(wanted, [seed]);
      assert.equal(plan.needs.neededBytes, 0);
      const fetch = () => assert.fail('nothing is needed');
      const sources = { seeds: [new MemoryBasis(seed)], fetch };
      assert.ok((await collect(rebuildTarget(plan, sources))).equals(wanted));
    }
  });
});

describe('planNeeds()', () => {
  test('needs what is new and little more', async () => {
    const seed = pseudoRandom(200_000, 5);
    const edits = [0.2, 0.5, 0.8].map((place) => ({ place, removedBytes: 10, inserted: pseudoRandom(50, 6) }));
    const target = applyEdits(seed, edits);
    const { needs } = await planOf(target, [seed]);
    assert.equal(needs.rangeCount, 3);
    assert.ok(needs.neededBytes < 3 * 4 * 128, `${needs.neededBytes} bytes`);
    assert.ok(encodeNeeds(needs).length < 100);
  });

  test('fetches short copies between fetches, so that ranges are few', async () => {
    const seed = pseudoRandom(200_000, 7);
    const edits = Array.from({ length: 300 }, (_, index) => ({
      place: index / 300,
      removedBytes: 1,
      inserted: Uint8Array.of(index % 251),
    }));
    const target = applyEdits(seed, edits);
    const counts: number[] = [];
    for (const gapBytesMax of [0, 200, 1000, 200_000]) {
      const plan = await planOf(target, [seed], { gapBytesMax });
      assertSound(plan);
      counts.push(plan.needs.rangeCount);
      assert.ok((await rebuild(plan, target, [new MemoryBasis(seed)])).equals(target));
    }
    assert.ok(
      (counts[0] as number) > (counts[1] as number) && (counts[1] as number) > (counts[2] as number),
      `${counts}`,
    );
    assert.equal(counts[3], 1);
  });

  test('takes content that is in several seeds from where it continues a copy', async () => {
    const [part, early, late] = [8, 9, 10].map((seed) => pseudoRandom(30_000, seed)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const whole = Buffer.concat([early, part, late]);
    const plan = await planOf(whole, [part, whole]);
    assert.deepEqual([plan.stepCount, plan.stepSources[0], plan.stepOffsets[0]], [1, 1, 0]);
  });

  test('refuses seeds that are signed in another way', async () => {
    const bytes = pseudoRandom(2000, 11);
    const target = await sign(bytes, tinyChunks);
    const other = { ...target, basisBytes: bytes.length };
    for (const wrong of [
      { ...other, salt: new Uint8Array(8) },
      { ...other, hashBytes: 7 },
      { ...other, parameters: { ...tinyChunks, horizonBytes: 128 } },
      { ...other, parameters: { ...tinyChunks, chunkBytesMax: 1025 } },
    ]) {
      const seed = await createSignature([bytes], wrong);
      assert.throws(() => planNeeds(target, [seed]), RangeError);
    }
  });

  test('keeps the number of ranges within the limit, whatever the signatures', () => {
    // Every other chunk is at hand: half a million ranges, if gaps did not grow.
    const chunkCount = 2 * NEED_RANGES_MAX + 2;
    const chunkLengths = new Uint32Array(chunkCount).fill(2000);
    const chunkHashes = BigUint64Array.from({ length: chunkCount }, (_, index) => BigInt(index) * 0x9e3779b97f4a7c15n);
    const common = { parameters: { horizonBytes: 1024, chunkBytesMax: 16_384 }, salt: new Uint8Array(8), hashBytes: 8 };
    const treeHash = new Uint8Array(32);
    const target = { ...common, treeHash, bytes: chunkCount * 2000, chunkCount, chunkLengths, chunkHashes };
    const seed = {
      ...target,
      bytes: target.bytes / 2,
      chunkCount: chunkCount / 2,
      chunkLengths: chunkLengths.subarray(0, chunkCount / 2),
      chunkHashes: chunkHashes.filter((_, index) => index % 2 === 1),
    };
    const before = process.cpuUsage();
    const plan = planNeeds(target, [seed]);
    assert.ok(plan.needs.rangeCount <= NEED_RANGES_MAX);
    decodeNeeds(encodeNeeds(plan.needs));
    // All hashes in one slot, and all chunks alike: linear all the same.
    for (const hashes of [chunkHashes.map((_, index) => BigInt(index) << 32n), new BigUint64Array(chunkCount)]) {
      planNeeds({ ...target, chunkHashes: hashes }, [{ ...target, chunkHashes: hashes }]);
    }
    assert.ok(process.cpuUsage(before).user < 10e6);
  });
});

describe('rebuildTarget()', () => {
  const seed = pseudoRandom(50_000, 12);
  const target = applyEdits(seed, [{ place: 0.5, removedBytes: 0, inserted: pseudoRandom(500, 13) }]);
  const fetchFrom =
    (bytes: Uint8Array, tail = 0) =>
    (needs: NeedList) =>
      Array.from({ length: needs.rangeCount }, (_, index) => {
        const start = needs.starts[index] as number;
        return bytes.subarray(start, start + (needs.lengths[index] as number) + tail);
      });

  test('refuses what is not the target: another seed of the same size, or damage', async () => {
    const plan = await planOf(target, [seed]);
    const seeds = [new MemoryBasis(seed)];
    assert.ok((await collect(rebuildTarget(plan, { seeds, fetch: fetchFrom(target) }))).equals(target));
    const damaged = target.map((byte) => byte ^ 1);
    await rejectsWith(collect(rebuildTarget(plan, { seeds, fetch: fetchFrom(damaged) })), 'target-mismatch');
    const other = [new MemoryBasis(seed.map((byte) => byte ^ 1))];
    await rejectsWith(collect(rebuildTarget(plan, { seeds: other, fetch: fetchFrom(target) })), 'target-mismatch');
  });

  test('tells seeds that changed in size or end early, and an answer too short or too long', async () => {
    const plan = await planOf(target, [seed]);
    const fetch = fetchFrom(target);
    const shorter = [new MemoryBasis(seed.subarray(1))];
    await rejectsWith(collect(rebuildTarget(plan, { seeds: shorter, fetch })), 'basis-mismatch');
    const short = [{ bytes: seed.length, read: async () => 3 }];
    await rejectsWith(collect(rebuildTarget(plan, { seeds: short, fetch })), 'basis-short');
    const seeds = [new MemoryBasis(seed)];
    await rejectsWith(collect(rebuildTarget(plan, { seeds, fetch: fetchFrom(target, 1) })), 'answer-invalid');
    await rejectsWith(collect(rebuildTarget(plan, { seeds, fetch: fetchFrom(target, -1) })), 'answer-invalid');
    await assert.rejects(collect(rebuildTarget(plan, { seeds: [], fetch })), RangeError);
  });

  test('wants a reader of what is written for a plan with self-copies', async () => {
    const twice = Buffer.concat([seed, seed]);
    const plan = await planOf(twice, []);
    await assert.rejects(collect(rebuildTarget(plan, { seeds: [], fetch: fetchFrom(twice) })), RangeError);
  });

  test('closes an answer it does not finish', async () => {
    let isClosed = false;
    const fetch = async function* () {
      try {
        yield pseudoRandom(2_000_000, 14);
        yield pseudoRandom(2_000_000, 15);
      } finally {
        isClosed = true;
      }
    };
    const plan = await planOf(pseudoRandom(3_000_000, 14), []);
    for await (const piece of rebuildTarget(plan, { seeds: [], fetch })) {
      assert.equal(piece.length, 2 ** 20);
      break;
    }
    assert.ok(isClosed);
  });
});

describe('the answer', () => {
  test('is the needed ranges, in frames of 4 MiB, whatever the compressor', async () => {
    const target = Buffer.concat([textLike(5_000_000, 16), pseudoRandom(4_000_000, 17)]);
    const plan = await planOf(target, []);
    for (const options of [{}, { compress: storeRaw }]) {
      const answer = await collect(answerNeeds(new MemoryBasis(target), plan.needs, options));
      assert.ok((await collect(readAnswer([answer], plan.needs))).equals(target));
    }
  });

  test('reads near ranges in one go, and not much besides', async () => {
    const seed = pseudoRandom(2_000_000, 18);
    const edits = Array.from({ length: 1000 }, (_, index) => ({
      place: index / 1000,
      removedBytes: 1,
      inserted: Uint8Array.of(index % 251),
    }));
    const target = applyEdits(seed, edits);
    const { needs } = await planOf(target, [seed], { gapBytesMax: 0 });
    const reader = new MemoryBasis(target);
    await collect(answerNeeds(reader, needs));
    assert.ok(reader.readBytes <= 2 * needs.neededBytes + 4096 * needs.rangeCount, `${reader.readBytes} bytes`);
    assert.ok(reader.readCount < needs.rangeCount / 2, `${reader.readCount} reads for ${needs.rangeCount} ranges`);
  });

  test('is refused in every truncation, with a byte more, and about another target', async () => {
    const target = pseudoRandom(3000, 19);
    const { needs } = await planOf(target, []);
    const answer = await collect(answerNeeds(new MemoryBasis(target), needs));
    for (let bytes = 0; bytes < answer.length; bytes += 7) {
      await rejectsWith(collect(readAnswer([answer.subarray(0, bytes)], needs)), 'answer-invalid');
    }
    await rejectsWith(collect(readAnswer([answer, Uint8Array.of(0)], needs)), 'answer-invalid');
    await rejectsWith(collect(answerNeeds(new MemoryBasis(target.subarray(1)), needs)), 'basis-mismatch');
    await rejectsWith(collect(answerNeeds({ bytes: 3000, read: async () => 1 }, needs)), 'basis-short');
  });

  test('answers 2,000 mutations with an RdcError or as much as was needed', async (t) => {
    t.diagnostic(`seed ${testSeed}`);
    const random = randomIntegers(testSeed);
    const target = textLike(3000, 20);
    const { needs } = await planOf(target, []);
    const answer = await collect(answerNeeds(new MemoryBasis(target), needs));
    for (let round = 0; round < 2000; round++) {
      try {
        const read = await collect(readAnswer([mutate(answer, random)], needs));
        assert.equal(read.length, needs.neededBytes);
      } catch (error) {
        assert.ok(error instanceof RdcError && error.code === 'answer-invalid', `round ${round}: ${error}`);
      }
    }
  });
});

describe('decodeNeeds()', () => {
  const needsOf = (ranges: readonly (readonly [number, number])[], targetBytes = 1000): NeedList => ({
    targetBytes,
    targetTreeHash: new Uint8Array(32).fill(7),
    rangeCount: ranges.length,
    starts: Float64Array.from(ranges, ([start]) => start),
    lengths: Float64Array.from(ranges, ([, length]) => length),
    neededBytes: ranges.reduce((sum, [, length]) => sum + length, 0),
  });

  test('golden vector: other bytes are another format', () => {
    const encoded = encodeNeeds(
      needsOf([
        [0, 5],
        [10, 300],
        [999, 1],
      ]),
    );
    assert.equal(
      Buffer.from(encoded).toString('hex'),
      '4e465244434e45440100000003000000e8030000000000000707070707070707070707070707070707070707070707070707070707070707080000000005b10505ac0201b3d9d2866f2a2fe4',
    );
    // Another zstd may compress in another way; what one has written stays readable.
    const compressed = [
      'TkZSRENORUQBAQAAKAAAAAAAAACAAAAABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcTAAAAKLUv/SCfVQAAGADcCwEA',
      'mSg3BDdWGdtBlSi0',
    ].join('');
    const many = needsOf(
      Array.from({ length: 40 }, (_, index) => [index * 3000, 1500]),
      2 ** 39,
    );
    assert.deepEqual(decodeNeeds(Buffer.from(compressed, 'base64')), many);
  });

  test('undoes encodeNeeds(), up to the largest target', () => {
    for (const needs of [
      needsOf([]),
      needsOf([], 0),
      needsOf([[0, 1000]]),
      needsOf([
        [0, 1],
        [999, 1],
      ]),
      needsOf(
        [
          [0, 1],
          [2 ** 39 - 1, 1],
        ],
        2 ** 39,
      ),
      needsOf([[1, 2 ** 39 - 1]], 2 ** 39),
    ]) {
      assert.deepEqual(decodeNeeds(encodeNeeds(needs)), needs);
    }
  });

  test('refuses ranges that touch, overlap, are empty or leave the target, and sizes above the limits', () => {
    const invalid = { code: 'needs-invalid' };
    for (const ranges of [
      [
        [0, 5],
        [5, 5],
      ],
      [[0, 0]],
      [[0, 1001]],
      [[1000, 1]],
      [
        [0, 1],
        [1000, 1],
      ],
    ] as const) {
      assert.throws(() => decodeNeeds(encodeNeeds(needsOf(ranges))), invalid);
    }
    assert.throws(
      () =>
        decodeNeeds(
          encodeNeeds(
            needsOf(
              [
                [0, 1],
                [2 ** 52, 2 ** 52],
              ],
              2 ** 39,
            ),
          ),
        ),
      invalid,
    );
    assert.throws(() => decodeNeeds(encodeNeeds(needsOf([], 2 ** 39 + 1))), { code: 'limit-exceeded' });
    const many = Array.from({ length: NEED_RANGES_MAX + 1 }, (_, index) => [index * 2, 1] as const);
    assert.throws(() => decodeNeeds(encodeNeeds(needsOf(many, 2 ** 30))), { code: 'limit-exceeded' });
    assert.equal(decodeNeeds(encodeNeeds(needsOf(many.slice(1), 2 ** 30))).rangeCount, NEED_RANGES_MAX);
  });

  test('answers 10,000 mutations with an RdcError or a sound list', async (t) => {
    t.diagnostic(`seed ${testSeed}`);
    const random = randomIntegers(testSeed);
    const originals = [
      needsOf([]),
      needsOf([
        [3, 5],
        [10, 300],
        [999, 1],
      ]),
      needsOf(
        Array.from({ length: 300 }, (_, index) => [index * 3000, 1500 + index]),
        2 ** 30,
      ),
    ].map(encodeNeeds);
    let soundCount = 0;
    for (let round = 0; round < 10_000; round++) {
      let mutated = mutate(originals[round % 3] as Uint8Array, random);
      if (random(4) !== 0 && mutated.length >= 8) {
        mutated = Uint8Array.from(mutated);
        mutated.set(Buffer.from(sha256Hex(mutated.subarray(0, -8)), 'hex').subarray(0, 8), mutated.length - 8);
      }
      try {
        const needs = decodeNeeds(mutated);
        soundCount++;
        let end = -1;
        needs.starts.forEach((start, index) => {
          const length = needs.lengths[index] as number;
          assert.ok(start > end && length > 0 && Number.isSafeInteger(start + length));
          end = start + length;
        });
        assert.ok(end <= needs.targetBytes && needs.neededBytes <= needs.targetBytes);
      } catch (error) {
        const isTold = error instanceof RdcError && ['needs-invalid', 'limit-exceeded'].includes(error.code);
        assert.ok(isTold, `seed ${testSeed}, round ${round}: ${error}`);
      }
    }
    assert.ok(soundCount > 500, `${soundCount} sound`);
  });
});
