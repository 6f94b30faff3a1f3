import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createSignature, decodeSignature, encodeSignature, RdcError, type Signature } from '../src/index.ts';
import { CHUNK_COUNT_MAX } from '../src/limits.ts';
import {
  basisArbitrary,
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

const HEADER_BYTES = 80;

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
  assert.equal(signature.sha256.length, 32);
}

describe('golden vectors: another value is another format', () => {
  for (const [name, basis, bytes, digest] of [
    ['pseudo-random bytes', pseudoRandom(200_000, 1), 1038, '4998b88b2462340b'],
    ['text', textLike(200_000, 1), 1068, '4019c4f4a6d1c296'],
    ['nothing', new Uint8Array(0), 88, 'f811a5f332657527'],
  ] as const) {
    test(`encodeSignature() writes ${name} as it always did`, async () => {
      const encoded = encodeSignature(await sign(basis));
      assert.deepEqual({ bytes: encoded.length, digest: sha256Hex(encoded).slice(0, 16) }, { bytes, digest });
    });
  }

  test('encodeSignature() writes one byte as FORMAT.md shows', async () => {
    assert.equal(
      Buffer.from(encodeSignature(await sign(Uint8Array.of(0x41)))).toString('hex'),
      [
        '4e465244435349470101010000020000000800000040000001000000000000000102030405060708559aead08264d5795d39',
        '09718cdd05abd49572e84fe55590eef31a88a08fdffd010000000100000001b6340a2ed085ef21dd42bf3bd74144bf',
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

  test('grows with a basis that is cut far finer than expected', async () => {
    // A byte whose run hashes below the bound is cut at the minimum each time: 4 × the expected chunks.
    const finest = Array.from({ length: 256 }, (_, byte) => new Uint8Array(64 * 1024).fill(byte));
    const signatures = await Promise.all(finest.map((basis) => sign(basis)));
    assert.equal(Math.max(...signatures.map((signature) => signature.chunkCount)), 128);
    for (const signature of signatures) assert.deepEqual(decodeSignature(encodeSignature(signature)), signature);
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
    const tampered = (at: number, value: bigint) => {
      const bytes = Uint8Array.from(encoded);
      new DataView(bytes.buffer).setBigUint64(at, value, true);
      return () => decodeSignature(reseal(bytes));
    };
    assert.throws(tampered(72, BigInt(CHUNK_COUNT_MAX)), { code: 'signature-invalid' });
    assert.throws(tampered(72, BigInt(CHUNK_COUNT_MAX + 1)), { code: 'limit-exceeded' });
    assert.throws(tampered(24, 2n ** 39n), { code: 'signature-invalid' });
    assert.throws(tampered(24, 2n ** 39n + 1n), { code: 'limit-exceeded' });
    assert.throws(tampered(24, 2n ** 64n - 1n), { code: 'limit-exceeded' });
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
    const [first] = signature.chunkLengths as unknown as [number];
    const rest = signature.bytes - first;
    const refused = { code: 'signature-invalid' };
    assert.doesNotThrow(withLength(0, 32, rest + 32));
    assert.throws(withLength(0, 31, rest + 31), refused);
    assert.doesNotThrow(withLength(0, 1024, rest + 1024));
    assert.throws(withLength(0, 1025, rest + 1025), refused);
    assert.throws(withLength(0, first + 1, signature.bytes), refused);
    assert.throws(withLength(signature.chunkCount - 1, 0, rest), refused);
    assert.equal(encodeSignature(signature)[HEADER_BYTES], (first & 0x7f) | (first > 127 ? 0x80 : 0));
  });
});
