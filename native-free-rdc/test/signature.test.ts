import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { chunkCountMaxOf } from '../src/chunk/chunk-parameters.ts';
import {
  createDelta,
  createSignature,
  decodeSignature,
  encodeSignature,
  RdcError,
  type Signature,
} from '../src/index.ts';
import { CHUNK_COUNT_MAX } from '../src/limits.ts';
import { SIGNATURE_HEADER_BYTES } from '../src/signature/signature-header.ts';
import {
  basisArbitrary,
  collect,
  mutate,
  piecesOf,
  pseudoRandom,
  randomIntegers,
  rejectsWith,
  salt,
  sha256Hex,
  sign,
  testSeed,
  textLike,
  tinyChunks,
} from './material.ts';

/** Gives a tampered signature a check that matches, so that what lies behind the check is tested. */
function reseal(encoded: Uint8Array): Uint8Array {
  const sealed = Uint8Array.from(encoded);
  if (sealed.length < 8) return sealed;
  sealed.set(hash('sha256', sealed.subarray(0, -8), 'buffer').subarray(0, 8), sealed.length - 8);
  return sealed;
}

/** Everything `Signature` promises. */
function assertSound(signature: Signature): void {
  assert.equal(signature.chunkLengths.length, signature.chunkCount);
  assert.equal(signature.chunkHashes.length, signature.chunkCount);
  assert.equal(
    signature.chunkLengths.reduce((sum, length) => sum + length, 0),
    signature.bytes,
  );
  assert.equal(signature.salt.length, 8);
  assert.equal(signature.treeHash.length, 32);
  assert.ok(signature.chunkCount <= chunkCountMaxOf(signature.bytes, signature.parameters));
  assert.ok(signature.chunkHashes.every((chunkHash) => chunkHash < 2n ** BigInt(8 * signature.hashBytes)));
}

describe('golden vectors: another value is another format', () => {
  // Of the columns, not of the encoding: another zstd may compress the lengths in another way.
  for (const [name, basis, count, digest] of [
    ['pseudo-random bytes', pseudoRandom(200_000, 1), 99, '83b15ec32e8dff7d'],
    ['text', textLike(200_000, 1), 103, '208043ffc8105b0d'],
    ['nothing', new Uint8Array(0), 0, 'e3b0c44298fc1c14'],
  ] as const) {
    test(`createSignature() signs ${name} as it always did`, async () => {
      const { chunkCount, chunkLengths, chunkHashes } = await sign(basis);
      const columns = Buffer.concat([Buffer.from(chunkLengths.buffer), Buffer.from(chunkHashes.buffer)]);
      assert.deepEqual([chunkCount, sha256Hex(columns).slice(0, 16)], [count, digest]);
    });
  }

  test('decodeSignature() reads compressed lengths and hashes of 4 bytes as it always did', async () => {
    const encoded = [
      'TkZSRENTSUcCAgEEQAAAAAAEAAAVAAAAoA8AAAAAAAABAgMEBQYHCOUtm3szGTlz3yFuJfIvLvPUUc20/K0GAKCkYyGv4eyfFQAAAAEA',
      'AAAotS/9ICplAAAgrcgbAAIAgMYewAK/W+o7PgIhHT4CIR0+AiEdPgIhHT4CIR0+AiEdPgIhHT4CIR0+AiEdPgIhHT4CIR0+AiEdPgIh',
      'HT4CIR0+AiEdPgIhHT4CIR0+AiEdPgIhHXKkLr+UgRTnMAnX4g==',
    ].join('');
    const period = pseudoRandom(200, 3);
    const basis = Uint8Array.from({ length: 4000 }, (_, at) => period[at % 200] as number);
    const options = { basisBytes: 4000, salt, hashBytes: 4, parameters: tinyChunks };
    assert.deepEqual(decodeSignature(Buffer.from(encoded, 'base64')), await createSignature([basis], options));
  });

  test('encodeSignature() writes one byte as FORMAT.md shows', async () => {
    assert.equal(
      Buffer.from(encodeSignature(await sign(Uint8Array.of(0x41)))).toString('hex'),
      [
        '4e4652444353494702020108000400000040000001000000010000000000000001020304050607085dde1424cb868624fb76',
        '664325772671d61df24acdfe54628e0205c92b58edb702000000000000000100b6340a2ed085ef211804a3ac96c1c32f',
      ].join(''),
    );
  });
});

describe('createSignature()', () => {
  test('gives the same signature however the basis is divided', async () => {
    await fc.assert(
      fc.asyncProperty(basisArbitrary, fc.integer({ min: 1, max: 3000 }), async (basis, pieceBytes) => {
        const options = { basisBytes: basis.length, salt, parameters: tinyChunks };
        const divided = await createSignature(piecesOf(basis, pieceBytes), options);
        assert.deepEqual(divided, await sign(basis, tinyChunks));
        assertSound(divided);
      }),
    );
  });

  test('gives other hashes and the same chunks under another salt', async () => {
    const basis = pseudoRandom(5000, 4);
    const one = await sign(basis, tinyChunks);
    const other = await createSignature([basis], { basisBytes: 5000, salt: new Uint8Array(8), parameters: tinyChunks });
    assert.deepEqual(one.chunkLengths, other.chunkLengths);
    assert.ok(one.chunkHashes.every((chunkHash, index) => chunkHash !== other.chunkHashes[index]));
  });

  test('tells a basis shorter or longer than declared', async () => {
    const basis = pseudoRandom(5000, 4);
    await rejectsWith(createSignature([basis], { basisBytes: 5001, salt }), 'basis-short');
    await rejectsWith(createSignature([basis], { basisBytes: 4999, salt }), 'basis-mismatch');
    await rejectsWith(createSignature([], { basisBytes: 2 ** 50, salt }), 'limit-exceeded');
    await rejectsWith(createSignature([], { basisBytes: 2 ** 50, salt, parameters: tinyChunks }), 'limit-exceeded');
  });

  test('refuses a salt that is not 8 bytes', async () => {
    for (const bytes of [0, 7, 9]) {
      await assert.rejects(createSignature([], { basisBytes: 0, salt: new Uint8Array(bytes) }), RangeError);
    }
  });

  test('keeps as many bytes of each hash as it is told, 4 to 8', async () => {
    const basis = pseudoRandom(20_000, 8);
    const whole = await sign(basis);
    for (const hashBytes of [4, 5, 6, 7, 8]) {
      const signature = await createSignature([basis], { basisBytes: basis.length, salt, hashBytes });
      assertSound(signature);
      whole.chunkHashes.forEach((chunkHash, index) => {
        assert.equal(signature.chunkHashes[index], BigInt.asUintN(8 * hashBytes, chunkHash));
      });
      assert.deepEqual(decodeSignature(encodeSignature(signature)), signature);
      const delta = await collect(createDelta(signature, [basis]));
      assert.ok(delta.length < 200, `${delta.length} bytes of delta`);
    }
    for (const hashBytes of [0, 3, 9, 4.5, Number.NaN]) {
      await assert.rejects(createSignature([], { basisBytes: 0, salt, hashBytes }), RangeError);
    }
  });

  test('grows with a basis that is cut far finer than expected', async () => {
    // A period of a horizon and a byte has its maximum once in each: twice the expected chunks.
    const period = pseudoRandom(tinyChunks.horizonBytes + 1, 9);
    const basis = Uint8Array.from({ length: 200_000 }, (_, at) => period[at % period.length] as number);
    const signature = await sign(basis, tinyChunks);
    assert.ok(signature.chunkCount > 200_000 / 66, `${signature.chunkCount} chunks`);
    assertSound(signature);
    assert.deepEqual(decodeSignature(encodeSignature(signature)), signature);
  });
});

describe('decodeSignature()', () => {
  test('undoes encodeSignature()', async () => {
    await fc.assert(
      fc.asyncProperty(basisArbitrary, async (basis) => {
        const signature = await sign(basis, tinyChunks);
        const encoded = encodeSignature(signature);
        assert.deepEqual(decodeSignature(encoded), signature);
        // Embedded in a larger buffer, at an odd place, too.
        const framed = Buffer.concat([Uint8Array.of(9, 9, 9), encoded, Uint8Array.of(9)]);
        assert.deepEqual(decodeSignature(framed.subarray(3, -1)), signature);
      }),
    );
  });

  test('refuses every truncation and one byte more', async () => {
    const encoded = encodeSignature(await sign(pseudoRandom(3000, 5), tinyChunks));
    for (let bytes = 0; bytes < encoded.length; bytes++) {
      assert.throws(() => decodeSignature(encoded.subarray(0, bytes)), { code: 'signature-invalid' });
    }
    assert.throws(() => decodeSignature(Buffer.concat([encoded, Uint8Array.of(0)])), { code: 'signature-invalid' });
  });

  test('tells sizes above the limits from damage, before allocating', async () => {
    const encoded = encodeSignature(await sign(new Uint8Array(0)));
    const tampered = (at: number, value: bigint, bytes: 4 | 8) => {
      const tamperedBytes = Uint8Array.from(encoded);
      const view = new DataView(tamperedBytes.buffer);
      if (bytes === 4) view.setUint32(at, Number(value), true);
      else view.setBigUint64(at, value, true);
      return () => decodeSignature(reseal(tamperedBytes));
    };
    assert.throws(tampered(20, BigInt(CHUNK_COUNT_MAX), 4), { code: 'signature-invalid' });
    assert.throws(tampered(20, BigInt(CHUNK_COUNT_MAX + 1), 4), { code: 'limit-exceeded' });
    assert.throws(tampered(24, 2n ** 39n, 8), { code: 'signature-invalid' });
    assert.throws(tampered(24, 2n ** 39n + 1n, 8), { code: 'limit-exceeded' });
    assert.throws(tampered(24, 2n ** 64n - 1n, 8), { code: 'limit-exceeded' });
    for (const [at, value] of [
      [8, 1n],
      [9, 1n],
      [10, 0n],
      [11, 3n],
      [11, 9n],
      [12, 0n],
      [12, 65n],
      [12, 65_600n],
      [16, 4095n],
      [16, 4194305n],
      [76, 2n],
      [77, 1n],
      [79, 1n],
    ] as const) {
      const wide = at === 12 || at === 16;
      const whole = new DataView(encoded.buffer).getUint32(at & ~3, true);
      const shift = 8 * (at & 3);
      const word = wide ? Number(value) : (whole & ~(0xff << shift)) | (Number(value) << shift);
      assert.throws(tampered(at & ~3, BigInt(word >>> 0), 4), { code: 'signature-invalid' }, `${value} at ${at}`);
    }
  });

  test('refuses a length column that unpacks to more than its chunks can need, and allocates little', async () => {
    const signature = await sign(pseudoRandom(60_000, 10), tinyChunks);
    const bomb = zstdCompressSync(new Uint8Array(50_000_000));
    const encoded = encodeSignature(signature);
    const oldColumnBytes = new DataView(encoded.buffer).getUint32(72, true);
    const forged = Buffer.concat([
      encoded.subarray(0, SIGNATURE_HEADER_BYTES),
      bomb,
      encoded.subarray(SIGNATURE_HEADER_BYTES + oldColumnBytes),
    ]);
    forged.writeUInt32LE(bomb.length, 72);
    forged[76] = 1;
    const before = process.memoryUsage.rss();
    assert.throws(() => decodeSignature(reseal(forged)), { code: 'signature-invalid' });
    assert.ok(process.memoryUsage.rss() - before < 20_000_000);
  });

  test('answers 10,000 mutations with an RdcError or a sound signature', async (t) => {
    t.diagnostic(`seed ${testSeed}`);
    const random = randomIntegers(testSeed);
    const originals = await Promise.all(
      [pseudoRandom(6000, 6), textLike(3000, 6), new Uint8Array(0)].map(async (basis) =>
        encodeSignature(await sign(basis, tinyChunks)),
      ),
    );
    let soundCount = 0;
    for (let round = 0; round < 10_000; round++) {
      const original = originals[round % originals.length] as Uint8Array;
      let mutated = mutate(original, random);
      if (random(4) !== 0) mutated = reseal(mutated);
      try {
        assertSound(decodeSignature(mutated));
        soundCount++;
      } catch (error) {
        const isTold = error instanceof RdcError && ['signature-invalid', 'limit-exceeded'].includes(error.code);
        assert.ok(isTold, `seed ${testSeed}, round ${round}: ${error}`);
      }
    }
    // Resealed salts and hashes are believed: the mutations reach that deep.
    assert.ok(soundCount > 500, `${soundCount} sound`);
  });

  test('refuses lengths that do not add up, or lie outside the parameters', async () => {
    const signature = await sign(pseudoRandom(3000, 7), tinyChunks);
    const withLength = (index: number, length: number, bytes: number) => {
      const chunkLengths = Uint32Array.from(signature.chunkLengths);
      chunkLengths[index] = length;
      return () => decodeSignature(encodeSignature({ ...signature, chunkLengths, bytes }));
    };
    const [first, second] = signature.chunkLengths as unknown as [number, number];
    const rest = signature.bytes - first;
    const refused = { code: 'signature-invalid' };
    assert.doesNotThrow(withLength(0, 65, rest + 65));
    assert.throws(withLength(0, 64, rest + 64), refused);
    assert.doesNotThrow(withLength(0, 1024, rest + 1024));
    assert.throws(withLength(0, 1025, rest + 1025), refused);
    assert.throws(withLength(0, first + 1, signature.bytes), refused);
    assert.throws(withLength(signature.chunkCount - 1, 0, rest), refused);
    // What is left over behind a greatest chunk may be short.
    const chunkLengths = Uint32Array.from(signature.chunkLengths);
    chunkLengths[0] = 1024;
    chunkLengths[1] = 1;
    const bytes = signature.bytes - first - second + 1025;
    assert.doesNotThrow(() => decodeSignature(encodeSignature({ ...signature, chunkLengths, bytes })));
  });
});
