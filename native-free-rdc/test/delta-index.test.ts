import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { loadDamageDetector } from '../src/chunk/chunk-hash.ts';
import { encodeDeltaHeader, encodeDeltaTrailer, SEGMENT_HEAD_BYTES, TRAILER_BYTES } from '../src/delta/delta-format.ts';
import { INDEXED_SEGMENTS_MAX } from '../src/delta/delta-index.ts';
import {
  applyDelta,
  type BasisReader,
  createDiff,
  DELTA_HEADER_BYTES,
  type DeltaIndex,
  diffSegment,
  RdcError,
  readDeltaIndex,
  rebuildRange,
  type TargetRange,
} from '../src/index.ts';
import {
  collect,
  deltaOf,
  MemoryBasis,
  mutate,
  pseudoRandom,
  randomIntegers,
  rejectsWith,
  sha256Hex,
  testSeed,
  textLike,
} from './material.ts';

const MIB = 1024 * 1024;
const detectDamage = await loadDamageDetector();

/** A delta of many small segments, each of its own size: copies, corrections, literals with and without a dictionary. */
function deltaInSmall(basis: Uint8Array, target: Uint8Array, seed: number): Buffer {
  const random = randomIntegers(seed);
  const extents = [{ start: 0, bytes: basis.length }];
  const parts: Uint8Array[] = [encodeDeltaHeader({ basisBytes: basis.length, basisId: new Uint8Array(32) })];
  for (let start = 0, bytes = 0; start < target.length; start += bytes) {
    bytes = Math.min(target.length - start, 1 + random(9_000));
    const part = target.subarray(start, start + bytes);
    parts.push(
      diffSegment({ target: part, window: basis, extents, level: 'default', targetHash: detectDamage(part) }).bytes,
    );
  }
  parts.push(encodeDeltaTrailer({ targetBytes: target.length, targetSha256: Buffer.from(sha256Hex(target), 'hex') }));
  return Buffer.concat(parts);
}

/** A delta that remembers which of its bytes were read. */
class WatchedDelta implements BasisReader {
  readonly bytes: number;
  readonly reads: { readonly start: number; readonly end: number }[] = [];
  readonly #content: MemoryBasis;

  constructor(content: Uint8Array) {
    this.bytes = content.length;
    this.#content = new MemoryBasis(content);
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    this.reads.push({ start: offset, end: offset + into.length });
    return await this.#content.read(offset, into);
  }
}

const basis = Buffer.concat([textLike(60_000, 1), pseudoRandom(60_000, 2)]);
const target = Buffer.concat([
  basis.subarray(70_000, 110_000),
  pseudoRandom(20_000, 3),
  textLike(30_000, 4),
  basis.subarray(0, 70_000).map((byte, at) => (at % 90 === 0 ? byte ^ 1 : byte)),
]);
const delta = deltaInSmall(basis, target, 5);

async function rangeOf(
  index: DeltaIndex,
  range: TargetRange,
  from: BasisReader = new MemoryBasis(delta),
): Promise<Buffer> {
  return await collect(rebuildRange({ basis: new MemoryBasis(basis), delta: from, index }, range));
}

describe('readDeltaIndex()', () => {
  test('tells where each segment lies, from its head alone', async () => {
    const watched = new WatchedDelta(delta);
    const index = await readDeltaIndex(watched);
    assert.ok(index.segmentCount > 20);
    const heads: { start: number; end: number }[] = [];
    let targetStart = 0;
    let deltaStart = DELTA_HEADER_BYTES;
    for (let segment = 0; segment < index.segmentCount; segment++) {
      const place = index.segmentAt(segment);
      assert.equal(place.targetStart, targetStart);
      assert.equal(place.deltaStart, deltaStart);
      heads.push({ start: deltaStart, end: deltaStart + SEGMENT_HEAD_BYTES });
      targetStart += place.targetBytes;
      deltaStart += place.deltaBytes;
    }
    assert.equal(targetStart, target.length);
    assert.equal(deltaStart + TRAILER_BYTES, delta.length);
    const ends = [
      { start: 0, end: DELTA_HEADER_BYTES },
      { start: deltaStart, end: delta.length },
    ] as const;
    assert.deepEqual(watched.reads, [ends[0], ...heads, ends[1]]);
    assert.equal(index.targetBytes, target.length);
    assert.equal(Buffer.from(index.targetSha256).toString('hex'), sha256Hex(target));
    assert.equal(index.header.basisBytes, basis.length);
  });

  test('has no place for a segment that is not there', async () => {
    const index = await readDeltaIndex(new MemoryBasis(delta));
    for (const segment of [-1, index.segmentCount, 0.5, Number.NaN]) {
      assert.throws(() => index.segmentAt(segment), RangeError);
    }
  });

  test('takes the delta of an empty target, which has no segment', async () => {
    const empty = await deltaOf(basis, new Uint8Array(0));
    const index = await readDeltaIndex(new MemoryBasis(empty));
    assert.equal(index.segmentCount, 0);
    assert.deepEqual(await rangeOf(index, { startByte: 0, endByte: 0 }, new MemoryBasis(empty)), Buffer.alloc(0));
    await assert.rejects(rangeOf(index, { startByte: 0, endByte: 1 }, new MemoryBasis(empty)), RangeError);
  });

  test('refuses a delta cut short anywhere', async () => {
    const { segmentCount, segmentAt } = await readDeltaIndex(new MemoryBasis(delta));
    const lengths = [0, 1, 7, 8, DELTA_HEADER_BYTES - 1, DELTA_HEADER_BYTES];
    for (const segment of [0, 1, segmentCount - 1]) {
      const { deltaStart, deltaBytes } = segmentAt(segment);
      for (const at of [1, TRAILER_BYTES, TRAILER_BYTES + 1, SEGMENT_HEAD_BYTES, deltaBytes - 1, deltaBytes]) {
        lengths.push(deltaStart + at);
      }
    }
    lengths.push(delta.length - 1);
    for (const length of lengths) {
      await rejectsWith(readDeltaIndex(new MemoryBasis(delta.subarray(0, length))), 'delta-truncated');
    }
  });

  test('refuses what goes on, has another sum, or another tag', async () => {
    for (const more of [1, TRAILER_BYTES, 1000]) {
      await rejectsWith(readDeltaIndex(new MemoryBasis(Buffer.concat([delta, Buffer.alloc(more)]))), 'delta-invalid');
    }
    for (const at of [DELTA_HEADER_BYTES, delta.length - TRAILER_BYTES, delta.length - TRAILER_BYTES + 4]) {
      const forged = Buffer.from(delta);
      forged[at] = (forged[at] as number) ^ 4;
      await rejectsWith(readDeltaIndex(new MemoryBasis(forged)), 'delta-invalid');
    }
  });

  test('refuses a reader that gives less than it said', async () => {
    const short = { bytes: delta.length, read: async () => 3 };
    await rejectsWith(readDeltaIndex(short), 'delta-truncated');
  });

  test('remembers a bounded number of segments, however long a delta says it is', async () => {
    const one = deltaInSmall(basis, target.subarray(0, 1), 6);
    const segment = one.subarray(DELTA_HEADER_BYTES, one.length - TRAILER_BYTES);
    let readCount = 0;
    const endless = {
      bytes: Number.MAX_SAFE_INTEGER,
      read: async (offset: number, into: Uint8Array) => {
        readCount++;
        into.set((offset === 0 ? one : segment).subarray(0, into.length));
        return into.length;
      },
    };
    await rejectsWith(readDeltaIndex(endless), 'limit-exceeded');
    assert.equal(readCount, INDEXED_SEGMENTS_MAX + 2);
  });

  test('answers 3,000 mutations with an RdcError or an index that rebuilds no other bytes', async () => {
    const random = randomIntegers(testSeed);
    console.log(`seed ${testSeed}`);
    let readCount = 0;
    for (let time = 0; time < 3000; time++) {
      const forged = mutate(delta, random);
      const from = new MemoryBasis(forged);
      try {
        const index = await readDeltaIndex(from);
        readCount++;
        const startByte = random(index.targetBytes + 1);
        const endByte = Math.min(index.targetBytes, startByte + random(20_000));
        const rebuilt = await rangeOf(index, { startByte, endByte }, from);
        assert.ok(rebuilt.equals(target.subarray(startByte, endByte)));
      } catch (error) {
        assert.ok(error instanceof RdcError, `${error}`);
      }
    }
    assert.ok(readCount > 100, `${readCount} were indexed`);
  });
});

describe('rebuildRange()', () => {
  test('is that part of the target, of reads of the segments that make it', async () => {
    const index = await readDeltaIndex(new MemoryBasis(delta));
    const place = fc.nat(target.length);
    const property = fc.asyncProperty(place, place, async (one, other) => {
      const [startByte, endByte] = [Math.min(one, other), Math.max(one, other)];
      const watched = new WatchedDelta(delta);
      const rebuilt = await rangeOf(index, { startByte, endByte }, watched);
      assert.ok(rebuilt.equals(target.subarray(startByte, endByte)));
      const places = Array.from({ length: index.segmentCount }, (_, segment) => index.segmentAt(segment)).filter(
        ({ targetStart, targetBytes }) => targetStart < endByte && targetStart + targetBytes > startByte,
      );
      const read = watched.reads.reduce((sum, { start, end }) => sum + end - start, 0);
      if (startByte === endByte) assert.equal(read, 0);
      else
        assert.equal(
          read,
          places.reduce((sum, { deltaBytes }) => sum + deltaBytes, 0),
        );
    });
    await fc.assert(property, { seed: testSeed, numRuns: 200 });
  });

  test('takes and gives single bytes at the borders of segments', async () => {
    const index = await readDeltaIndex(new MemoryBasis(delta));
    for (let segment = 0; segment < index.segmentCount; segment++) {
      const { targetStart, targetBytes } = index.segmentAt(segment);
      for (const startByte of [targetStart, targetStart + targetBytes - 1]) {
        const watched = new WatchedDelta(delta);
        const [byte] = await rangeOf(index, { startByte, endByte: startByte + 1 }, watched);
        assert.equal(byte, target[startByte]);
        assert.equal(watched.reads.length, 1);
      }
    }
  });

  test('works on the delta of a large file as createDiff() makes it, several at once, in lent pieces', async () => {
    const old = pseudoRandom(14 * MIB, 11);
    const wanted = Buffer.concat([old.subarray(9 * MIB), textLike(300_000, 12), old.subarray(0, 9 * MIB)]);
    const made = await collect(createDiff(new MemoryBasis(old), [wanted]));
    const index = await readDeltaIndex(new MemoryBasis(made));
    assert.equal(index.segmentCount, 4);
    const sources = { basis: new MemoryBasis(old), delta: new MemoryBasis(made), index };
    const range = { startByte: 4 * MIB - 7, endByte: 12 * MIB + 11 };
    const lent: Buffer[] = [];
    for await (const piece of rebuildRange(sources, range, { isLent: true })) lent.push(Buffer.from(piece));
    assert.ok(Buffer.concat(lent).equals(wanted.subarray(range.startByte, range.endByte)));
    const tail = { startByte: 12 * MIB, endByte: wanted.length };
    const [both, last] = await Promise.all([
      collect(rebuildRange(sources, range)),
      collect(rebuildRange(sources, tail)),
    ]);
    assert.ok(both.equals(wanted.subarray(range.startByte, range.endByte)));
    assert.ok(last.equals(wanted.subarray(tail.startByte)));
    assert.ok((await collect(applyDelta(new MemoryBasis(old), [made]))).equals(wanted));
  });

  test('refuses ranges outside the target', async () => {
    const index = await readDeltaIndex(new MemoryBasis(delta));
    const { length } = target;
    for (const [startByte, endByte] of [
      [-1, 5],
      [5, 4],
      [0, length + 1],
      [0.5, 3],
      [0, Number.NaN],
    ] as const) {
      await assert.rejects(rangeOf(index, { startByte, endByte }), RangeError);
    }
  });

  test('tells a damaged segment, a delta that changed since, and another basis', async () => {
    const index = await readDeltaIndex(new MemoryBasis(delta));
    const whole = { startByte: 0, endByte: target.length };
    const damaged = Buffer.from(delta);
    const at = index.segmentAt(3).deltaStart + SEGMENT_HEAD_BYTES + index.segmentAt(3).deltaBytes - 80;
    damaged[at] = (damaged[at] as number) ^ 1;
    await assert.rejects(rangeOf(index, whole, new MemoryBasis(damaged)), RdcError);
    const others = deltaInSmall(basis, target, 7);
    await assert.rejects(rangeOf(index, whole, new MemoryBasis(others.subarray(0, delta.length))), RdcError);
    const sources = { delta: new MemoryBasis(delta), index };
    const shorter = new MemoryBasis(basis.subarray(1));
    await rejectsWith(collect(rebuildRange({ ...sources, basis: shorter }, whole)), 'basis-mismatch');
    const another = new MemoryBasis(basis.map((byte) => byte ^ 1));
    await assert.rejects(collect(rebuildRange({ ...sources, basis: another }, whole)), RdcError);
  });
});
