import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  completeSignature,
  createSignature,
  decodeNeeds,
  decodeOutline,
  encodeNeeds,
  encodeOutline,
  encodeRecords,
  encodeSignature,
  outlineOf,
  outlinePays,
  RdcError,
  recordNeedsOf,
  type Signature,
} from '../src/index.ts';
import {
  applyEdits,
  mutate,
  pairArbitrary,
  pseudoRandom,
  randomIntegers,
  salt,
  sha256Hex,
  sign,
  testSeed,
  tinyChunks,
} from './material.ts';

/** Gives tampered bytes a check that matches. */
function reseal(encoded: Uint8Array): Uint8Array {
  const sealed = Uint8Array.from(encoded);
  if (sealed.length < 8) return sealed;
  sealed.set(Buffer.from(sha256Hex(sealed.subarray(0, -8)), 'hex').subarray(0, 8), sealed.length - 8);
  return sealed;
}

/** The whole exchange; returns the signature and the bytes that travelled. */
function exchange(
  signature: Signature,
  known: readonly Signature[],
): { readonly done: Signature; readonly bytes: number } {
  const encoded = encodeOutline(outlineOf(signature));
  const outline = decodeOutline(encoded);
  assert.deepEqual(outline, outlineOf(signature));
  const question = encodeNeeds(recordNeedsOf(outline, known));
  const records = encodeRecords(signature, decodeNeeds(question));
  const done = completeSignature(outline, known, records);
  return { done, bytes: encoded.length + question.length + records.length };
}

describe('completeSignature() gives the outlined signature', () => {
  test('from any earlier one, for any edits', async (t) => {
    t.diagnostic(`seed ${testSeed}`);
    await fc.assert(
      fc.asyncProperty(pairArbitrary, fc.integer({ min: 4, max: 8 }), async ([basis, target], hashBytes) => {
        const kind = { salt, hashBytes, parameters: tinyChunks };
        const early = await createSignature([basis], { ...kind, basisBytes: basis.length });
        const late = await createSignature([target], { ...kind, basisBytes: target.length });
        for (const known of [[], [early], [late, early]]) assert.deepEqual(exchange(late, known).done, late);
      }),
      { seed: testSeed, numRuns: 100 },
    );
  });

  test('from an earlier one by a fraction of its bytes', async () => {
    const basis = pseudoRandom(2_000_000, 1);
    const edits = [0.1, 0.5, 0.52, 0.9].map((place) => ({ place, removedBytes: 5, inserted: pseudoRandom(9, 2) }));
    const target = applyEdits(basis, edits);
    const early = await sign(basis, tinyChunks);
    const late = await sign(target, tinyChunks);
    const { done, bytes } = exchange(late, [early]);
    assert.deepEqual(done, late);
    const whole = encodeSignature(late).length;
    assert.ok(bytes < whole / 12, `${bytes} bytes instead of ${whole}`);
    // All known: the outline alone, and two empty messages.
    assert.equal(recordNeedsOf(outlineOf(late), [late]).neededBytes, 0);
    assert.equal(recordNeedsOf(outlineOf(late), []).neededBytes, late.chunkCount);
  });

  test('for zeros, whose records are all alike', async () => {
    const late = await sign(new Uint8Array(2_000_000), tinyChunks);
    assert.ok(outlineOf(late).groups.recordCounts.every((count) => count <= 256));
    assert.deepEqual(exchange(late, [await sign(new Uint8Array(1_500_000), tinyChunks)]).done, late);
  });
});

test('golden vector: other groups are another format', async () => {
  const { groups } = outlineOf(await sign(pseudoRandom(200_000, 3), tinyChunks));
  assert.deepEqual(
    [[...groups.recordCounts.subarray(0, 5)], sha256Hex(groups.ids).slice(0, 16)],
    [[66, 20, 20, 20, 26], 'd2c3dedafb1d1c83'],
  );
});

test('outlinePays() for large signatures of which little has changed', () => {
  const pays = (chunkCount: number, changedFraction: number, roundTripBytes = 0) =>
    outlinePays({ chunkCount, hashBytes: 8 }, { changedFraction, roundTripBytes });
  assert.deepEqual([pays(6900, 0), pays(7000, 0), pays(7000, 0.93), pays(7000, 0.95)], [false, true, true, false]);
  assert.deepEqual([pays(1e6, 0.5, 4e6), pays(1e6, 0.5, 5e6)], [true, false]);
});

describe('outlines and records from outside', () => {
  test('are refused if of another kind, or about another signature', async () => {
    const bytes = pseudoRandom(50_000, 4);
    const signature = await sign(bytes, tinyChunks);
    const outline = outlineOf(signature);
    const other = await createSignature([bytes], { ...signature, basisBytes: bytes.length, salt: new Uint8Array(8) });
    assert.throws(() => recordNeedsOf(outline, [other]), RangeError);
    const longer = await sign(pseudoRandom(50_001, 4), tinyChunks);
    assert.throws(() => encodeRecords(longer, recordNeedsOf(outline, [])), { code: 'basis-mismatch' });
    const invalid = { code: 'answer-invalid' };
    const records = encodeRecords(signature, recordNeedsOf(outline, []));
    for (const wrong of [records.subarray(1), records.subarray(0, -1), records.subarray(0, 3)]) {
      assert.throws(() => completeSignature(outline, [], wrong), invalid);
    }
    const damaged = Uint8Array.from(records);
    damaged[records.length - 1] = (damaged[records.length - 1] as number) ^ 1;
    assert.throws(() => completeSignature(outline, [], damaged), invalid);
  });

  test('answer 5,000 mutations with an RdcError or the right signature', async (t) => {
    t.diagnostic(`seed ${testSeed}`);
    const random = randomIntegers(testSeed);
    const early = await sign(pseudoRandom(40_000, 5), tinyChunks);
    const late = await sign(
      applyEdits(pseudoRandom(40_000, 5), [{ place: 0.5, removedBytes: 9, inserted: Uint8Array.of(1) }]),
      tinyChunks,
    );
    const encoded = encodeOutline(outlineOf(late));
    const records = encodeRecords(late, recordNeedsOf(outlineOf(late), [early]));
    let doneCount = 0;
    for (let round = 0; round < 5000; round++) {
      const isOutline = round % 2 === 0;
      try {
        const outline = isOutline ? decodeOutline(reseal(mutate(encoded, random))) : outlineOf(late);
        const done = completeSignature(outline, [early], isOutline ? records : mutate(records, random));
        doneCount++;
        // Salt, hash and sizes of the head are believed; the records are not.
        assert.deepEqual([done.chunkLengths, done.chunkHashes], [late.chunkLengths, late.chunkHashes]);
      } catch (error) {
        const isTold = error instanceof RdcError || error instanceof RangeError;
        assert.ok(isTold && !(error instanceof assert.AssertionError), `seed ${testSeed}, round ${round}: ${error}`);
      }
    }
    assert.ok(doneCount > 50, `${doneCount} completed`);
  });

  test('are refused in every truncation', async () => {
    const encoded = encodeOutline(outlineOf(await sign(pseudoRandom(9000, 6), tinyChunks)));
    for (let bytes = 0; bytes < encoded.length; bytes++) {
      assert.throws(() => decodeOutline(encoded.subarray(0, bytes)), { code: 'signature-invalid' });
    }
  });
});
