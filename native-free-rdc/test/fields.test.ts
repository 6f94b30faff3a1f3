import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Ops } from '../src/delta/delta-ops.ts';
import { SegmentRebuilder } from '../src/delta/field-kernel.ts';
import { KernelMemory } from '../src/wasm-kernel.ts';
import {
  changed,
  columnOf,
  correctedDelta,
  fieldSoup,
  forge,
  kernelCorrections,
  opsOf,
  piecesOfOps,
} from './delta-material.ts';
import { plainCorrections, plainExpected, plainRebuilt } from './fields-oracle.ts';
import { apply, pseudoRandom, randomIntegers, sha256Hex, testSeed } from './material.ts';

const isLong = process.env['SITEFERRY_TEST_LONG'] === '1';
const numRuns = isLong ? 20_000 : 1_500;

/** Copies of 1 byte to some blocks from anywhere in a basis of up to 512 GiB, literals between some of them. */
const opsArbitrary: fc.Arbitrary<Ops> = fc
  .array(
    fc.tuple(
      fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 700 }), fc.integer({ min: 4000, max: 9000 })),
      fc.oneof(
        fc.constant(-1),
        fc.nat(20_000),
        fc.integer({ min: 2 ** 32 - 5000, max: 2 ** 32 + 5000 }),
        fc.nat(2 ** 39 - 10_000),
      ),
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((each) => opsOf(...each));

/** Its key under the salt of narrow words is that of an empty slot, 2^32 - 1. */
const EMPTY_SLOT_WORD = ~0x3c6ef372;

const content: Readonly<Record<string, (bytes: number, seed: number) => Uint8Array>> = {
  'random bytes': pseudoRandom,
  'opcodes and words': fieldSoup,
  'aligned words': (bytes, seed) => {
    const random = randomIntegers(seed);
    const words = Uint32Array.from({ length: bytes / 4 + 1 }, () =>
      random(20) === 0 ? EMPTY_SLOT_WORD : random(50) * 0x1111 * random(3),
    );
    return new Uint8Array(words.buffer, 0, bytes);
  },
};

describe('the kernel does what FORMAT.md says, as the oracle understands it', () => {
  for (const [name, make] of Object.entries(content)) {
    test(`for ${name}, expecting, correcting and rebuilding`, (t) => {
      t.diagnostic(`seed ${testSeed}`);
      const rebuilder = new SegmentRebuilder(new KernelMemory());
      let foretold = 0;
      fc.assert(
        fc.property(
          opsArbitrary,
          fc.integer({ min: 1 }),
          fc.uint8Array({ max: 3, maxLength: 3 }),
          fc.nat(3),
          (ops, seed, someKinds, kind) => {
            const bytes = ops.lengths.reduce((sum, length) => sum + length, 0);
            const blockCount = Math.ceil(bytes / 4096);
            const kinds = Uint8Array.from({ length: blockCount }, (_, block) => someKinds[block] ?? kind);
            const old = make(bytes, seed);
            const pieces = piecesOfOps(ops);
            const target = changed(old, randomIntegers(seed));
            // Literals are there before the walk; it neither reads nor changes them.
            let at = 0;
            ops.lengths.forEach((length, index) => {
              if (ops.starts[index] === -1) old.set(target.subarray(at, at + length), at);
              at += length;
            });
            const made = kernelCorrections(old, target, pieces, kinds);
            const expected = plainExpected(old, target, pieces, kinds);
            assert.deepEqual(made.expected, expected);
            assert.deepEqual({ gaps: made.gaps, values: made.values }, plainCorrections(expected, target, pieces));
            const segment = Uint8Array.from(old);
            assert.ok(rebuilder.rebuild(segment, ops, made));
            assert.deepEqual(segment, target);
            assert.deepEqual(plainRebuilt(old, pieces, made), target);
            if (made.expected.some((byte, place) => byte !== old[place])) foretold++;

            // Whatever the columns are, both refuse them or both make the same of them.
            const random = randomIntegers(seed ^ 0x5eed);
            const damaged = { ...made, gaps: Uint8Array.from(made.gaps), values: Uint8Array.from(made.values) };
            const column = random(2) === 0 ? damaged.gaps : damaged.values;
            if (column.length > 0) column[random(column.length)] = random(4) === 0 ? 0x80 | random(128) : random(256);
            const cut = random(5) === 0 ? { ...damaged, values: damaged.values.subarray(1) } : damaged;
            const other = Uint8Array.from(old);
            const isRebuilt = rebuilder.rebuild(other, ops, cut);
            assert.deepEqual(isRebuilt ? other : undefined, plainRebuilt(old, pieces, cut));
          },
        ),
        { seed: testSeed, numRuns },
      );
      assert.ok(foretold > 0, 'something was foretold');
    });
  }
});

describe('golden vectors: another value is another format', () => {
  test('three calls of one function, which moved by 32 bytes while they moved by 16, need one correction', async () => {
    // e8 rel32 three times, padded; each names 0x1010, and then 0x1030.
    const calls = (at: number, callee: number): Buffer => {
      const code = Buffer.alloc(24, 0x90);
      for (const call of [0, 5, 10]) {
        code[call] = 0xe8;
        code.writeInt32LE(callee - (at + call + 5), call + 1);
      }
      return code;
    };
    const basis = calls(0, 0x1010);
    const target = Buffer.concat([Buffer.alloc(16, 0xcc), calls(16, 0x1030)]);
    const ops = opsOf([16, -1], [24, 0]);
    const old = Buffer.concat([target.subarray(0, 16), basis]);
    const { gaps, values } = kernelCorrections(old, target, piecesOfOps(ops), Uint8Array.of(1));
    assert.deepEqual([...gaps, ...values], [1, 0x10]);
    const columns = { ops: columnOf(ops), kinds: Uint8Array.of(1), gaps, values, literals: target.subarray(0, 16) };
    const delta = forge(basis, target, columns);
    assert.equal(
      delta.toString('hex'),
      [
        '4e46524443444c5402000000000040001800000000000000da7e66e1c0f0c5f3868b1963ad06e6b97fa783e65a6d39206a4d',
        '85600ae6edc20100000028000000ea73b213c22a20c803000000030000000100000001000000010000000100000001000000',
        '0100000010000000100000000000000000000000000000000000000040611f010110cccccccccccccccccccccccccccccccc',
        '020000002800000000000000f469a440b072200084833727507e0f12194c37141eaeb6a61745628fedc24404',
      ].join(''),
    );
    assert.deepEqual(await apply(basis, delta), target);
  });

  test('a segment of all kinds, in pieces, over several blocks', async () => {
    const basis = fieldSoup(30_000, 7);
    const ops = opsOf([5000, 11], [100, -1], [9000, 12_001], [3, 0], [8000, 22_000], [4000, 6002]);
    const made = correctedDelta(basis, ops, Uint8Array.of(1, 2, 3, 0, 1, 2, 3), 8);
    const { gaps, values, target, delta } = made;
    assert.deepEqual(
      [gaps.length, values.length, ...[gaps, values, target, delta].map((bytes) => sha256Hex(bytes).slice(0, 16))],
      [1877, 1877, '9074e8f4573db9a1', '1ab7822bda437863', 'e8109e208a4fc0e3', '7bdab2d25b462126'],
    );
    assert.deepEqual(await apply(basis, delta), Buffer.from(target));
  });
});
