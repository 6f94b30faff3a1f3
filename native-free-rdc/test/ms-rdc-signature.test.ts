import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  createMsRdcSignatures,
  MS_RDC_HEADER_BYTES,
  MS_RDC_RECORD_BYTES,
  type MsRdcParameters,
  type MsRdcSignature,
  MsRdcSigner,
  msRdcLevelCountFor,
  msRdcLevels,
  msRdcNeeds,
  RdcError,
  readMsRdcSignature,
} from '../src/index.ts';
import { MS_RDC_CHUNK_COUNT_MAX } from '../src/limits.ts';
import { applyEdits, mutate, piecesOf, pseudoRandom, randomIntegers, testSeed, textLike } from './material.ts';
import {
  contentArbitrary,
  readSigned,
  rebuild,
  signatureOf,
  sourceBytesOf,
  spoilt,
  throwsCode,
  tiny,
  vectorFile,
  vectorParameters,
} from './ms-rdc-material.ts';

describe('readMsRdcSignature()', () => {
  const encoded = signatureOf(vectorFile, vectorParameters);

  /** A copy with one 32-bit field changed. */
  function withField(at: number, value: number): Buffer {
    const changed = Buffer.from(encoded);
    changed.writeUInt32LE(value, at);
    return changed;
  }

  test('reads a signature of nothing, of one byte, and from an odd address', () => {
    const empty = readMsRdcSignature(signatureOf(new Uint8Array(0), tiny), { fileBytes: 0 });
    assert.deepEqual([empty.chunkCount, empty.bytes], [0, 0]);
    assert.deepEqual([...readSigned(Uint8Array.of(65)).lengths], [1]);
    const room = Buffer.alloc(encoded.length + 1);
    encoded.copy(room, 1);
    assert.deepEqual(readMsRdcSignature(room.subarray(1)), readMsRdcSignature(encoded));
  });

  test('refuses a file cut short anywhere, after a whole record if the size of the signed file is known', () => {
    for (let length = 0; length < encoded.length; length++) {
      const cut = encoded.subarray(0, length);
      throwsCode(() => readMsRdcSignature(cut, { fileBytes: vectorFile.length }), 'signature-invalid', `${length}`);
      if (length < MS_RDC_HEADER_BYTES || (length - MS_RDC_HEADER_BYTES) % MS_RDC_RECORD_BYTES !== 0) {
        throwsCode(() => readMsRdcSignature(cut), 'signature-invalid', `${length}`);
      }
    }
  });

  test('refuses trailing bytes, a lying header, another version and another type', () => {
    throwsCode(() => readMsRdcSignature(Buffer.concat([encoded, Buffer.of(0)])), 'signature-invalid');
    for (const headerBytes of [0, 23, 25, 42, 0x80000018, 0xffffffff]) {
      throwsCode(() => readMsRdcSignature(withField(0, headerBytes)), 'signature-invalid');
    }
    for (const at of [4, 8]) throwsCode(() => readMsRdcSignature(withField(at, 0x00020001)), 'signature-invalid');
    throwsCode(() => readMsRdcSignature(withField(16, 2)), 'signature-invalid');
    throwsCode(() => readMsRdcSignature(withField(20, 1)), 'signature-invalid');
  });

  test('ignores the padding, as 2.2.1.2 demands', () => {
    assert.deepEqual(readMsRdcSignature(withField(12, 0xffffffff)), readMsRdcSignature(encoded));
  });

  test('refuses a chunk of no bytes', () => {
    const changed = Buffer.from(encoded);
    changed.writeUInt16LE(0, MS_RDC_HEADER_BYTES + 2 * MS_RDC_RECORD_BYTES - 2);
    throwsCode(() => readMsRdcSignature(changed), 'signature-invalid');
  });

  test('refuses more chunks than the limit before it allocates for them', () => {
    const long = new Uint8Array(MS_RDC_HEADER_BYTES + (MS_RDC_CHUNK_COUNT_MAX + 1) * MS_RDC_RECORD_BYTES);
    long.set(encoded.subarray(0, MS_RDC_HEADER_BYTES));
    throwsCode(() => readMsRdcSignature(long), 'limit-exceeded');
  });

  test('reads a mutated signature or refuses it, and never believes more than it was given', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    const random = randomIntegers(testSeed);
    const seed = readMsRdcSignature(encoded);
    let refusedCount = 0;
    for (let round = 0; round < 5000; round++) {
      const where = `seed ${testSeed}, round ${round}`;
      const mutated = mutate(encoded, random);
      let signature: MsRdcSignature;
      try {
        signature = readMsRdcSignature(mutated);
      } catch (error) {
        assert.ok(error instanceof RdcError && error.code === 'signature-invalid', where);
        refusedCount++;
        continue;
      }
      assert.ok(signature.hashes.length + signature.lengths.byteLength <= mutated.length, where);
      let neededBytes = 0;
      for (const need of msRdcNeeds(signature, [seed])) {
        neededBytes += need.length;
        assert.ok(need.offset + need.length <= (need.from === 'seed' ? seed : signature).bytes, where);
      }
      assert.equal(neededBytes, signature.bytes, where);
    }
    assert.ok(refusedCount > 1000 && refusedCount < 4500, `${refusedCount} of 5000 refused`);
  });
});

describe('MsRdcSigner', () => {
  test('writes the same file however the stream is divided, and keeps nothing of its buffers', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    fc.assert(
      fc.property(contentArbitrary, fc.integer({ min: 1, max: 3000 }), (bytes, pieceBytes) => {
        const signer = new MsRdcSigner(tiny);
        const parts = Array.from(spoilt(piecesOf(bytes, pieceBytes)), (piece) => signer.push(piece));
        assert.ok(Buffer.concat([...parts, signer.finish()]).equals(signatureOf(bytes, tiny)));
      }),
      { seed: testSeed },
    );
  });

  test('writes the same file of more than its buffer holds, with the longest chunks', () => {
    const bytes = Buffer.concat([pseudoRandom(250_000, 8), new Uint8Array(300_000), textLike(250_000, 8)]);
    const wide: MsRdcParameters = { windowBytes: 96, horizonBytes: 16_384 };
    const wanted = signatureOf(bytes, wide);
    assert.equal(readMsRdcSignature(wanted).bytes, bytes.length);
    for (const pieceBytes of [1021, 65_536, 262_144]) {
      const signer = new MsRdcSigner(wide);
      const parts = Array.from(piecesOf(bytes, pieceBytes), (piece) => signer.push(piece));
      assert.ok(Buffer.concat([...parts, signer.finish()]).equals(wanted), `pieces of ${pieceBytes}`);
    }
  });
});

describe('recursion', () => {
  test('goes as deep as [MS-FRS2] note 35 says', () => {
    const depths: readonly (readonly [number, number])[] = [
      [0, 0],
      [65_536, 0],
      [65_537, 1],
      [1_862_769, 1],
      [1_862_770, 2],
      [52_984_086, 2],
      [52_984_087, 3],
      [9e9, 4],
      [Number.MAX_SAFE_INTEGER, 8],
    ];
    for (const [fileBytes, levelCount] of depths)
      assert.equal(msRdcLevelCountFor(fileBytes), levelCount, `${fileBytes}`);
    for (const fileBytes of [-1, 0.5, 2 ** 53]) assert.throws(() => msRdcLevelCountFor(fileBytes), RangeError);
  });

  test('uses the parameters of [MS-FRS2] note 30', () => {
    assert.deepEqual(msRdcLevels(0), []);
    assert.deepEqual(msRdcLevels(3), [
      { windowBytes: 48, horizonBytes: 1024 },
      { windowBytes: 2, horizonBytes: 128 },
      { windowBytes: 2, horizonBytes: 128 },
    ]);
    for (const levelCount of [-1, 1.5, 9]) assert.throws(() => msRdcLevels(levelCount), RangeError);
  });

  test('signs each level by the one before, eight at most', async () => {
    const file = textLike(60_000, 3);
    const levels = Array.from({ length: 8 }, () => tiny);
    for (const pieceBytes of [1000, 60_000]) {
      const signatures = await createMsRdcSignatures(piecesOf(file, pieceBytes), levels);
      let below: Uint8Array = file;
      for (const signature of signatures) {
        assert.ok(signatureOf(below, tiny).equals(signature));
        below = signature;
      }
    }
    assert.deepEqual(await createMsRdcSignatures([file], []), []);
    await assert.rejects(createMsRdcSignatures([file], [...levels, tiny]), RangeError);
  });

  test('rebuilds from the top level down, moving less than one level would ([MS-RDC] 4.4)', async () => {
    const seed = pseudoRandom(1_000_000, 11);
    const source = applyEdits(seed, [{ place: 0.4, removedBytes: 100, inserted: pseudoRandom(150, 12) }]);
    const levels = [tiny, ...msRdcLevels(3).slice(1)];
    const sourceFiles = [source, ...(await createMsRdcSignatures([source], levels))];
    const seedFiles = [seed, ...(await createMsRdcSignatures([seed], levels))];
    let known = sourceFiles[levels.length] as Uint8Array;
    let movedBytes = known.length;
    for (let level = levels.length; level > 0; level--) {
      const seedSignature = readMsRdcSignature(seedFiles[level] as Uint8Array);
      const needs = [...msRdcNeeds(readMsRdcSignature(known), [seedSignature])];
      movedBytes += sourceBytesOf(needs);
      known = rebuild(needs, sourceFiles[level - 1] as Uint8Array, [seedFiles[level - 1] as Uint8Array]);
      assert.ok(Buffer.from(sourceFiles[level - 1] as Uint8Array).equals(known));
    }
    const levelOneBytes = (sourceFiles[1] as Uint8Array).length;
    assert.ok(movedBytes < levelOneBytes / 10, `${movedBytes} bytes moved, level 1 has ${levelOneBytes}`);
  });
});
