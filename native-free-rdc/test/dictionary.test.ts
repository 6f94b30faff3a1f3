/** Segments that are written with old bytes as a dictionary, or with fewer copies than could be made. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { loadDamageDetector } from '../src/chunk/chunk-hash.ts';
import {
  decodeSegmentHead,
  encodeDeltaHeader,
  encodeDeltaTrailer,
  SEGMENT_HEAD_BYTES,
  type SegmentHead,
} from '../src/delta/delta-format.ts';
import type { Ops } from '../src/delta/delta-ops.ts';
import { withoutDenseCopies } from '../src/delta/dense-copies.ts';
import { PlacedLiterals } from '../src/delta/literal-places.ts';
import { type CompressPrimed, LiteralPrimer } from '../src/delta/primed-literals.ts';
import {
  applyDelta,
  createDiff,
  DELTA_HEADER_BYTES,
  type DiffLevel,
  diffSegment,
  type Extent,
  readDeltaHeader,
} from '../src/index.ts';
import { ByteWriter } from '../src/varint.ts';
import { opsOf } from './delta-material.ts';
import { apply, collect, MemoryBasis, pseudoRandom, randomIntegers, sha256Hex, testSeed } from './material.ts';

const MIB = 1024 * 1024;
const TRAINED_MAGIC = Buffer.from('37a430ec', 'hex');

/** Eight random letters and a space, again and again: nothing of it is worth compressing, nor copying one by one. */
function words(count: number, seed: number): string[] {
  const random = randomIntegers(seed);
  const letters = (): string => random(0x7fffffff).toString(36);
  return Array.from({ length: count }, () => `${letters()}${letters()}`.slice(0, 8));
}

/** Every word is still there, but no longer where it was. */
function shuffled(list: readonly string[], seed: number): string[] {
  const random = randomIntegers(seed);
  const moved: string[] = [];
  for (let start = 0; start < list.length; start += 16) {
    const group = list.slice(start, start + 16);
    while (group.length > 0) moved.push(...group.splice(random(group.length), 1));
  }
  return moved;
}

function textOf(list: readonly string[]): Buffer {
  return Buffer.from(list.join(' '), 'latin1');
}

/** Digits, of which the first 28 of each 64 are those of `old`. */
function digits(bytes: number, seed: number, old: Uint8Array = new Uint8Array(0)): Uint8Array {
  const random = randomIntegers(seed);
  return Uint8Array.from({ length: bytes }, (_, index) => (index % 64 < 28 && old[index]) || 48 + random(10));
}

function diff(basis: Uint8Array, target: Uint8Array, level: DiffLevel): Promise<Buffer> {
  return collect(createDiff(new MemoryBasis(basis), [target], { level }));
}

/** The head of the first segment. */
function headOf(delta: Uint8Array): SegmentHead {
  const head = delta.subarray(DELTA_HEADER_BYTES, DELTA_HEADER_BYTES + SEGMENT_HEAD_BYTES);
  return decodeSegmentHead(head, readDeltaHeader(delta));
}

describe('a dictionary of old bytes', () => {
  const list = words(6_000, 5);
  const basis = textOf(list);
  const target = textOf(shuffled(list, 6));

  for (const level of ['default', 'best'] as const) {
    test(`makes two fifths of words that were shuffled, at level ${level}`, async () => {
      const delta = await diff(basis, target, level);
      assert.deepEqual(await apply(basis, delta), target);
      assert.equal(headOf(delta).columns.literals.coding, 'dictionary');
      assert.ok(delta.length * 5 < (await diff(basis, target, 'fast')).length * 2, `${delta.length} bytes`);
      assert.ok((await diff(basis, target, level)).equals(delta), 'made again');
    });
  }

  test('is no work for level fast', async () => {
    assert.notEqual(headOf(await diff(basis, target, 'fast')).columns.literals.coding, 'dictionary');
  });

  test('never begins like one that was trained', async () => {
    const marked = Buffer.concat([TRAINED_MAGIC, basis]);
    for (const level of ['default', 'best'] as const) {
      const delta = await diff(marked, target, level);
      assert.equal(headOf(delta).dictionaryStart, 1);
      assert.deepEqual(await apply(marked, delta), target);
    }
  });

  test('lies within one extent, wherever that lies in the basis', async () => {
    const detectDamage = await loadDamageDetector();
    const start = 3 * MIB + 5;
    const whole = Buffer.concat([pseudoRandom(start, 7), basis, pseudoRandom(MIB, 8)]);
    const extents: Extent[] = [
      { start: MIB, bytes: 40_000 },
      { start, bytes: basis.length },
      { start: start + basis.length + 100, bytes: 70_000 },
    ];
    const window = Buffer.concat(extents.map((extent) => whole.subarray(extent.start, extent.start + extent.bytes)));
    const input = { target, window, extents, level: 'best', targetHash: detectDamage(target) } as const;
    const delta = Buffer.concat([
      encodeDeltaHeader({ basisBytes: whole.length, basisId: new Uint8Array(32) }),
      diffSegment(input).bytes,
      encodeDeltaTrailer({ targetBytes: target.length, targetSha256: Buffer.from(sha256Hex(target), 'hex') }),
    ]);
    const { dictionaryStart, dictionaryBytes } = headOf(delta);
    assert.ok(dictionaryBytes > basis.length / 2, `${dictionaryBytes} bytes`);
    assert.ok(
      extents.some((at) => dictionaryStart >= at.start && dictionaryStart + dictionaryBytes <= at.start + at.bytes),
    );
    assert.deepEqual(await apply(whole, delta), target);
  });

  test('lets no delta grow more than 0.1 % larger than its target', async () => {
    for (const bytes of [1, 100, 100_000, 5 * MIB]) {
      for (const basisBytes of [0, 1, 7, 8, 6 * MIB]) {
        const delta = await diff(pseudoRandom(basisBytes, 31), pseudoRandom(bytes, 32), 'best');
        assert.ok(delta.length <= bytes * 1.001 + 200, `${delta.length} for ${bytes} against ${basisBytes}`);
      }
    }
  });

  test('is at most twice the target, as the format wants it', async () => {
    const few = target.subarray(20_000, 26_000);
    const delta = await diff(basis, few, 'best');
    assert.ok(headOf(delta).dictionaryBytes <= few.length * 2);
    assert.deepEqual(await apply(basis, delta), few);
  });
});

describe('LiteralPrimer', () => {
  const goal = { plainBytes: 4 * MIB, savingBytes: 64 * 1024, dictionaryBytesMax: 8 * MIB, zstdLevel: 3 };

  /** What compression costs: bytes looked at, and old bytes loaded before. */
  function counting(honours = true): {
    readonly compress: CompressPrimed;
    readonly spent: { bytes: number; calls: number };
  } {
    const spent = { bytes: 0, calls: 0 };
    const compress: CompressPrimed = (bytes, _level, dictionary) => {
      spent.bytes += bytes.length + (dictionary?.length ?? 0);
      spent.calls++;
      return zstdCompressSync(bytes, dictionary === undefined || !honours ? {} : { dictionary });
    };
    return { compress, spent };
  }

  test('looks at a tenth of incompressible literals at most, old bytes included', () => {
    const { compress, spent } = counting();
    const window = pseudoRandom(8 * MIB, 41);
    const literals = PlacedLiterals.evenly(pseudoRandom(4 * MIB, 42), window.length);
    const made = new LiteralPrimer(compress).prime(literals, { window, extentEnds: [window.length] }, goal);
    assert.equal(made, undefined);
    assert.ok(spent.bytes <= (4 * MIB) / 10, `${spent.bytes} bytes`);
  });

  test('does without where dictionaries are ignored, and asks but once', () => {
    const { compress, spent } = counting(false);
    const primer = new LiteralPrimer(compress);
    const window = textOf(words(5_000, 43));
    const literals = PlacedLiterals.evenly(window, window.length);
    for (let time = 0; time < 3; time++) {
      assert.equal(primer.prime(literals, { window, extentEnds: [window.length] }, goal), undefined);
    }
    assert.equal(spent.calls, 1);
  });

  test('does without where a dictionary cannot be undone', () => {
    const garbled: CompressPrimed = (bytes, _level, dictionary) => {
      return zstdCompressSync(bytes, dictionary === undefined ? {} : { dictionary }).fill(0, 4);
    };
    const window = textOf(words(5_000, 44));
    const literals = PlacedLiterals.evenly(window, window.length);
    assert.equal(new LiteralPrimer(garbled).prime(literals, { window, extentEnds: [window.length] }, goal), undefined);
  });
});

describe('PlacedLiterals', () => {
  const window = new Uint8Array(300_000);
  const ops = opsOf([1000, 50_000], [200, -1], [1000, 220_000], [9_000, -1], [100, 10]);
  const placed = { ops, windowStarts: [50_000, -1, 220_000, -1, 10] };
  const literals = PlacedLiterals.among(new Uint8Array(9_200), placed, { isWhole: false });

  test('expects literals behind the copy before them', () => {
    const found = literals.nearest({ start: 0, bytes: 9_200 }, { window, extentEnds: [300_000] }, 8_192);
    assert.ok(found !== undefined && found.start <= 221_000 && found.start + found.bytes > 221_000);
    const first = literals.nearest({ start: 0, bytes: 200 }, { window, extentEnds: [300_000] }, 8_192);
    assert.ok(first !== undefined && first.start <= 51_000 && first.start + first.bytes > 51_000);
  });

  test('keeps within an extent and the bytes wanted', () => {
    const seed = testSeed;
    const ends = fc.array(fc.integer({ min: 1, max: 300_000 }), { maxLength: 5 });
    const property = fc.property(ends, fc.integer({ min: 1, max: 400_000 }), (some, bytesMax) => {
      const extentEnds = [...new Set([...some, 300_000])].sort((left, right) => left - right);
      const found = literals.nearest({ start: 0, bytes: 9_200 }, { window, extentEnds }, bytesMax);
      assert.ok(found !== undefined && found.bytes > 0 && found.bytes <= bytesMax);
      const extent = extentEnds.findIndex((end) => end > found.start);
      assert.ok(found.start >= (extentEnds[extent - 1] ?? 0));
      assert.ok(found.start + found.bytes <= (extentEnds[extent] as number));
    });
    fc.assert(property, { seed, numRuns: 300 });
  });

  test('finds nothing in no window', () => {
    const none = { window: new Uint8Array(0), extentEnds: [] };
    assert.equal(literals.nearest({ start: 0, bytes: 9_200 }, none, 8_192), undefined);
  });
});

describe('copies that are corrected all over', () => {
  test('become literals, and only those', () => {
    const placed = { ops: opsOf([4096, 700], [50, -1], [100, 90_000]), windowStarts: [700, -1, 90_000] };
    // Every third byte of the second KiB; three bytes of the rest.
    const corrected = Array.from({ length: 341 }, (_, index) => 1024 + index * 3);
    const sparse = withoutDenseCopies(placed, gapsOf([5, ...corrected, 3000, 4100]));
    assert.deepEqual(sparse.ops, opsOf([1024, 700], [1024, -1], [2048, 2748], [50, -1], [100, 90_000]));
    assert.deepEqual(sparse.windowStarts, [700, -1, 2748, -1, 90_000]);
    assert.equal(sparse.correctionsLess, 341);
  });

  test('are the same target in all', () => {
    const seed = testSeed;
    const op = fc.record({ bytes: fc.integer({ min: 1, max: 5_000 }), isCopy: fc.boolean(), gap: fc.nat(9) });
    const property = fc.property(fc.array(op, { maxLength: 30 }), (list) => {
      let start = 0;
      const each = list.map(({ bytes, isCopy, gap }) => {
        start += gap + bytes;
        return [bytes, isCopy ? start : -1] as const;
      });
      const ops = opsOf(...each);
      const copied = each.reduce((sum, [bytes, at]) => sum + (at < 0 ? 0 : bytes), 0);
      const gaps = gapsOf(Array.from({ length: copied }, (_, at) => at).filter((at) => at % 7919 < 2000));
      const sparse = withoutDenseCopies({ ops, windowStarts: ops.starts }, gaps);
      assert.deepEqual(sparse.windowStarts, sparse.ops.starts);
      const before = sourcesOf(ops);
      const after = sourcesOf(sparse.ops);
      assert.equal(after.length, before.length);
      assert.ok(after.every((source, at) => source === -1 || source === before[at]));
    });
    fc.assert(property, { seed, numRuns: 200 });
  });

  test('are worth it where a third of the bytes is another one', async () => {
    const basis = digits(150_000, 1);
    const target = digits(150_000, 2, basis);
    const delta = await diff(basis, target, 'best');
    assert.deepEqual(await collect(applyDelta(new MemoryBasis(basis), [delta])), Buffer.from(target));
    const { values, literals } = headOf(delta).columns;
    assert.ok(
      values.rawBytes * 20 < literals.rawBytes,
      `${values.rawBytes} corrections, ${literals.rawBytes} literals`,
    );
    assert.ok(delta.length * 6 < (await diff(basis, target, 'fast')).length * 5);
  });
});

/** Where each byte of a target is from; −1 for literals. */
function sourcesOf(ops: Ops): number[] {
  return ops.lengths.flatMap((bytes, index) => {
    const start = ops.starts[index] as number;
    return Array.from({ length: bytes }, (_, at) => (start < 0 ? -1 : start + at));
  });
}

/** The column of corrections at these copied bytes. */
function gapsOf(corrected: readonly number[]): Uint8Array {
  const column = new ByteWriter(64);
  corrected.forEach((at, index) => {
    column.varint(at - (corrected[index - 1] ?? -1) - 1);
  });
  return Uint8Array.from(column.view());
}
