import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyDelta, combineSignatures, concatenatedBasis, createDelta } from '../src/index.ts';
import {
  basisArbitrary,
  collect,
  MemoryBasis,
  pairArbitrary,
  pseudoRandom,
  rejectsWith,
  salt,
  sign,
  testSeed,
  tinyChunks,
} from './material.ts';

test('a delta against several bases is applied to them one behind the other', async (t) => {
  t.diagnostic(`seed ${testSeed}`);
  await fc.assert(
    fc.asyncProperty(pairArbitrary, fc.array(basisArbitrary, { maxLength: 3 }), async ([basis, target], more) => {
      const bases = [...more, basis];
      const signature = combineSignatures(await Promise.all(bases.map((bytes) => sign(bytes, tinyChunks))));
      const whole = Buffer.concat(bases);
      assert.equal(signature.bytes, whole.length);
      const reader = concatenatedBasis(bases.map((bytes) => new MemoryBasis(bytes)));
      const delta = await collect(createDelta(signature, [target]));
      assert.ok((await collect(applyDelta(reader, [delta]))).equals(target));
      assert.ok((await collect(applyDelta(new MemoryBasis(whole), [delta]))).equals(target));
    }),
    { seed: testSeed, numRuns: 100 },
  );
});

test('combineSignatures() finds content of each basis', async () => {
  const bases = [1, 2, 3].map((seed) => pseudoRandom(100_000, seed));
  const target = Buffer.concat([...bases].reverse());
  const signature = combineSignatures(await Promise.all(bases.map((bytes) => sign(bytes, tinyChunks))));
  const delta = await collect(createDelta(signature, [target]));
  assert.ok(delta.length < 4000, `${delta.length} bytes`);
});

test('combineSignatures() names each combination, and a single one as itself', async () => {
  const [one, two] = await Promise.all([1, 2].map((seed) => sign(pseudoRandom(1000, seed), tinyChunks)));
  assert.ok(one && two);
  assert.equal(combineSignatures([one]), one);
  const names = [
    [one, two],
    [two, one],
    [one, one],
    [one, two, two],
  ].map((signatures) => Buffer.from(combineSignatures(signatures).treeHash).toString('hex'));
  assert.equal(new Set([...names, Buffer.from(one.treeHash).toString('hex')]).size, 5);
  assert.equal(names[0]?.slice(0, 16), 'fe65f7540becfcb9');
});

test('combineSignatures() refuses none, different kinds, and too much together', async () => {
  const one = await sign(pseudoRandom(1000, 1), tinyChunks);
  assert.throws(() => combineSignatures([]), RangeError);
  assert.throws(() => combineSignatures([one, { ...one, salt: salt.map((byte) => byte + 1) }]), RangeError);
  assert.throws(() => combineSignatures([one, { ...one, hashBytes: 7 }]), RangeError);
  const large = { ...one, bytes: 2 ** 39 };
  assert.throws(() => combineSignatures([large, one]), { code: 'limit-exceeded' });
});

test('concatenatedBasis() reads across bases, empty ones too, and tells where they end', async () => {
  const parts = [0, 5, 0, 3, 1, 0].map((bytes, index) => pseudoRandom(bytes, index + 1));
  const whole = Buffer.concat(parts);
  const basis = concatenatedBasis(parts.map((bytes) => new MemoryBasis(bytes)));
  assert.equal(basis.bytes, 9);
  for (let start = 0; start <= 9; start++) {
    for (let bytes = 0; bytes <= 9 - start; bytes++) {
      const into = new Uint8Array(bytes);
      assert.equal(await basis.read(start, into), bytes);
      assert.ok(whole.subarray(start, start + bytes).equals(into));
    }
  }
  assert.equal(await basis.read(7, new Uint8Array(5)), 2);
  const short = concatenatedBasis([{ bytes: 5, read: async () => 2 }, new MemoryBasis(whole)]);
  assert.equal(await short.read(0, new Uint8Array(9)), 2);
  await rejectsWith(
    collect(applyDelta(short, [await collect(createDelta(await sign(pseudoRandom(14, 9)), [pseudoRandom(14, 9)]))])),
    'basis-short',
  );
});
