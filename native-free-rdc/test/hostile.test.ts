import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { loadDamageDetector } from '../src/chunk/chunk-hash.ts';
import {
  encodeDeltaHeader,
  encodeDeltaTrailer,
  encodeSegmentHead,
  type SegmentHead,
} from '../src/delta/delta-format.ts';
import { decodeOps, OpWriter } from '../src/delta/delta-ops.ts';
import { applyDelta, createDelta, createSignature, RdcError, SEGMENT_BYTES_MAX, type Signature } from '../src/index.ts';
import {
  CANDIDATES_PER_HASH_MAX,
  PROBES_MAX,
  SEGMENT_OPS_MAX,
  VARINT_MAX,
  ZSTD_WINDOW_LOG_MAX,
} from '../src/limits.ts';
import { MatchIndex } from '../src/signature/match.ts';
import { ByteWriter, unzigzag, VarintReader, zigzag } from '../src/varint.ts';
import {
  apply,
  collect,
  deltaOf,
  MemoryBasis,
  mutate,
  pseudoRandom,
  randomIntegers,
  rejectsWith,
  salt,
  sha256Hex,
  sign,
  storeRaw,
  testSeed,
  textLike,
  tinyChunks,
} from './material.ts';

const detectDamage = await loadDamageDetector();

/** A run of this byte hashes below the bound, by chance of the gear table: it is cut at the minimum each time. */
const FINEST_BYTE = 94;

interface Forgery {
  readonly ops: Uint8Array;
  readonly literals: Uint8Array;
  /** What the segment's head says instead of the truth. */
  readonly claims?: Partial<SegmentHead>;
}

/** A delta of one segment, with whatever its maker wants to claim. */
function forge(basis: Uint8Array, target: Uint8Array, { ops, literals, claims }: Forgery): Buffer {
  return Buffer.concat([
    encodeDeltaHeader({ basisBytes: basis.length, basisSha256: Buffer.from(sha256Hex(basis), 'hex') }),
    encodeSegmentHead({
      targetBytes: target.length,
      ops: { coding: 'raw', rawBytes: ops.length, encodedBytes: ops.length },
      literals: { coding: 'raw', rawBytes: literals.length, encodedBytes: literals.length },
      targetHash: detectDamage(target),
      ...claims,
    }),
    ops,
    literals,
    encodeDeltaTrailer({ targetBytes: target.length, targetSha256: Buffer.from(sha256Hex(target), 'hex') }),
  ]);
}

describe('applyDelta() on forged deltas', () => {
  const basis = pseudoRandom(2000, 1);
  const target = Buffer.concat([Buffer.from('new'), basis.subarray(100, 600)]);
  const literals = Buffer.from('new');
  const opsOf = (...values: number[]) => {
    const writer = new ByteWriter(64);
    for (const value of values) writer.varint(value);
    return Uint8Array.from(writer.view());
  };
  /** LITERAL 3, COPY 500 from 100: the expected position is 3 by then. */
  const honest = opsOf(3 * 4, 500 * 4 + 1, zigzag(100 - 3));

  test('the honest forgery applies', async () => {
    assert.deepEqual(await apply(basis, forge(basis, target, { ops: honest, literals })), target);
  });

  for (const [name, ops] of [
    ['a copy from before the basis', opsOf(12, 2001, zigzag(-4))],
    ['a copy that ends one byte behind the basis', opsOf(12, 2001, zigzag(1501 - 3))],
    ['a displacement of 2^53 - 1', opsOf(12, 2001, VARINT_MAX)],
    ['an operation of no bytes', opsOf(0, 12, 2001, zigzag(97))],
    ['the reserved kind ADD', opsOf(12, 2002, zigzag(97))],
    ['the reserved kind 3', opsOf(12, 2003)],
    ['operations that make one byte more', opsOf(12, 2005, zigzag(97))],
    ['operations that make one byte less', opsOf(12, 1997, zigzag(97))],
    ['more literals than there are', opsOf(16, 1997, zigzag(97))],
    ['a length of 2^53 - 1', opsOf(VARINT_MAX)],
    ['no operations', new Uint8Array(0)],
    ['a copy without a displacement', opsOf(12, 2001)],
    ['a varint that never ends', new Uint8Array(64).fill(0x80)],
    ['a varint with a needless last byte', Uint8Array.of(0x8c, 0x00, ...honest.subarray(1))],
    ['a varint of nine bytes', Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 1)],
  ] as const) {
    test(`refuses ${name}`, () => rejectsWith(apply(basis, forge(basis, target, { ops, literals })), 'delta-invalid'));
  }

  test('refuses more operations than a segment may have, and takes exactly as many', () => {
    const expected = { literalBytes: 0, basisBytes: 10 };
    const copies = new Uint8Array((SEGMENT_OPS_MAX + 1) * 2);
    // COPY 1 from 0, then COPY 1 from one before where the last one ended, again from 0.
    for (let at = 0; at < copies.length; at += 2) copies.set([5, at === 0 ? 0 : zigzag(-1)], at);
    const most = decodeOps(copies.subarray(0, -2), { ...expected, targetBytes: SEGMENT_OPS_MAX });
    assert.equal(most.count, SEGMENT_OPS_MAX);
    assert.throws(() => decodeOps(copies, { ...expected, targetBytes: SEGMENT_OPS_MAX + 1 }), {
      code: 'delta-invalid',
    });
  });

  for (const [name, claims] of [
    ['a segment of nothing', { targetBytes: 0 }],
    ['a segment above the limit', { targetBytes: SEGMENT_BYTES_MAX + 1 }],
    ['more literals than the segment has bytes', { literals: { coding: 'raw', rawBytes: 504, encodedBytes: 504 } }],
    ['a raw column of two sizes', { literals: { coding: 'raw', rawBytes: 3, encodedBytes: 2 } }],
    ['a compressed column that did not shrink', { literals: { coding: 'zstd', rawBytes: 3, encodedBytes: 3 } }],
    ['a compressed column of nothing', { literals: { coding: 'zstd', rawBytes: 3, encodedBytes: 0 } }],
    ['operations above the limit', { ops: { coding: 'zstd', rawBytes: 0xffffffff, encodedBytes: 5 } }],
  ] as const satisfies [string, Partial<SegmentHead>][]) {
    test(`refuses ${name}`, () =>
      rejectsWith(apply(basis, forge(basis, target, { ops: honest, literals, claims })), 'delta-invalid'));
  }

  test('tells a segment or a trailer of another target', async () => {
    const wrongHash = forge(basis, target, { ops: honest, literals, claims: { targetHash: 1n } });
    await rejectsWith(apply(basis, wrongHash), 'target-mismatch');
    const wrongTrailer = forge(basis, target, { ops: honest, literals });
    wrongTrailer[wrongTrailer.length - 1] = (wrongTrailer.at(-1) as number) ^ 1;
    await rejectsWith(apply(basis, wrongTrailer), 'target-mismatch');
  });

  test('refuses a zstd frame that is longer than declared, asks for a vast window, or is none', async () => {
    const zeros = new Uint8Array(5000);
    const ops = new OpWriter();
    ops.literal(zeros.length);
    const column = Uint8Array.from(ops.finish());
    const forged = (frame: Uint8Array) => {
      const literals = { coding: 'zstd', rawBytes: zeros.length, encodedBytes: frame.length } as const;
      return apply(basis, forge(basis, zeros, { ops: column, literals: frame, claims: { literals } }));
    };
    assert.deepEqual(await forged(zstdCompressSync(zeros)), Buffer.from(zeros));
    await rejectsWith(forged(zstdCompressSync(new Uint8Array(5001))), 'delta-invalid');
    await rejectsWith(forged(zstdCompressSync(new Uint8Array(4999))), 'delta-invalid');
    await rejectsWith(forged(zstdCompressSync(new Uint8Array(1 << 26))), 'delta-invalid');
    await rejectsWith(forged(pseudoRandom(100, 1)), 'delta-invalid');
    // By hand (RFC 8878, section 3.1.1): a window of 2^(10 + exponent) bytes, one last RLE block of 5000 zeros.
    const frameWithWindow = (windowLog: number) =>
      Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3, 0x43, 0x9c, 0, 0);
    assert.deepEqual(await forged(frameWithWindow(ZSTD_WINDOW_LOG_MAX)), Buffer.from(zeros));
    await rejectsWith(forged(frameWithWindow(ZSTD_WINDOW_LOG_MAX + 1)), 'delta-invalid');
  });

  test('rebuilds from any operations, finer than createDelta() writes', async () => {
    const pieceArbitrary = fc.oneof(
      fc.record({ start: fc.nat(1999), bytes: fc.integer({ min: 1, max: 300 }) }),
      fc.uint8Array({ minLength: 1, maxLength: 20 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(pieceArbitrary, { minLength: 1, maxLength: 60 }), async (pieces) => {
        const ops = new OpWriter();
        const made: Uint8Array[] = [];
        const written: Uint8Array[] = [];
        for (const piece of pieces) {
          if (piece instanceof Uint8Array) {
            ops.literal(piece.length);
            written.push(piece);
            made.push(piece);
          } else {
            const copied = basis.subarray(piece.start, piece.start + piece.bytes);
            ops.copy(piece.start, copied.length);
            made.push(copied);
          }
        }
        const wanted = Buffer.concat(made);
        const delta = forge(basis, wanted, { ops: Uint8Array.from(ops.finish()), literals: Buffer.concat(written) });
        const reader = new MemoryBasis(basis);
        assert.deepEqual(await collect(applyDelta(reader, [delta])), wanted);
        assert.ok(reader.readBytes <= 2 * wanted.length);
      }),
      { numRuns: 300 },
    );
  });
});

describe('varints', () => {
  test('survive a round trip at every size', () => {
    const numbers = fc.oneof(
      fc.maxSafeNat(),
      fc.nat(70_000),
      fc.integer({ min: 0, max: 52 }).map((power) => 2 ** power),
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(numbers, fc.constant(VARINT_MAX))), (values) => {
        const writer = new ByteWriter(0);
        for (const value of values) writer.varint(value);
        const reader = new VarintReader(writer.view());
        assert.deepEqual(
          values.map(() => reader.read()),
          values,
        );
        assert.ok(reader.isAtEnd);
        assert.equal(reader.read(), -1);
      }),
    );
    fc.assert(fc.property(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), (value) => unzigzag(zigzag(value)) === value));
    assert.throws(() => new ByteWriter(0).varint(VARINT_MAX + 1), RangeError);
    assert.throws(() => new ByteWriter(0).varint(-1), RangeError);
  });
});

test('applyDelta() answers 12,000 mutations with an RdcError or the right target', async (t) => {
  t.diagnostic(`seed ${testSeed}`);
  const random = randomIntegers(testSeed);
  const pairs = await Promise.all(
    [pseudoRandom, textLike].flatMap((make) =>
      [storeRaw, undefined].map(async (compress) => {
        const basis = make(3000, 14);
        const target = Buffer.concat([basis.subarray(1000, 2500), make(200, 15), basis.subarray(0, 1200)]);
        const delta = await deltaOf(basis, target, { parameters: tinyChunks, ...(compress && { compress }) });
        return { basis, target, delta };
      }),
    ),
  );
  const told = new Map<string, number>();
  for (let round = 0; round < 12_000; round++) {
    const { basis, target, delta } = pairs[round % pairs.length] as (typeof pairs)[number];
    const mutated = mutate(delta, random);
    const reader = new MemoryBasis(basis);
    const where = `seed ${testSeed}, round ${round}`;
    let rebuiltBytes = 0;
    try {
      const parts: Uint8Array[] = [];
      for await (const part of applyDelta(reader, [mutated])) {
        rebuiltBytes += part.length;
        parts.push(part);
      }
      assert.ok(Buffer.concat(parts).equals(target), `${where}: a wrong target passed as right`);
      told.set('right', (told.get('right') ?? 0) + 1);
    } catch (error) {
      assert.ok(error instanceof RdcError, `${where}: ${error}`);
      told.set(error.code, (told.get(error.code) ?? 0) + 1);
    }
    assert.ok(rebuiltBytes <= target.length && reader.readBytes <= 2 * SEGMENT_BYTES_MAX, `${where}: too much work`);
  }
  // The mutations reach every layer.
  for (const code of ['delta-invalid', 'delta-truncated', 'basis-mismatch', 'target-mismatch', 'limit-exceeded']) {
    assert.ok((told.get(code) ?? 0) > 10, `${code}: ${told.get(code)}`);
  }
});

describe('the work is linear, counted in chunks and probes', () => {
  const bytes = 2 << 20;
  const block = pseudoRandom(50_000, 16);
  const fill = (period: Uint8Array) =>
    Uint8Array.from({ length: bytes }, (_, at) => period[at % period.length] as number);
  for (const [name, content] of [
    ['zeros', new Uint8Array(bytes)],
    ['one byte value that is cut at the minimum', new Uint8Array(bytes).fill(FINEST_BYTE)],
    ['a period of 16 bytes', fill(pseudoRandom(16, 17))],
    ['a period of 50,000 bytes', fill(block)],
    ['random bytes', pseudoRandom(bytes, 18)],
  ] as const) {
    test(`for ${name}`, async () => {
      const signature = await sign(content, tinyChunks);
      assert.ok(signature.chunkCount <= bytes / tinyChunks.chunkBytesMin + 1);
      const index = new MatchIndex(signature);
      let nearByte = 0;
      signature.chunkHashes.forEach((hash, at) => {
        const length = signature.chunkLengths[at] as number;
        assert.notEqual(index.find(hash, length, nearByte), -1);
        nearByte += length;
      });
      // Insertion and search: a run of candidates each at most, and the neighbours that linear probing brings along.
      const probesMax = 2 * (CANDIDATES_PER_HASH_MAX + 4) * signature.chunkCount;
      assert.ok(index.probes <= probesMax, `${index.probes} probes, expected at most ${probesMax}`);

      // Shifted by a few bytes, it is still mostly copies, and applying reads little more than it writes.
      const target = Buffer.concat([Buffer.from('shifted'), content]);
      const delta = await deltaOf(content, target, { parameters: tinyChunks });
      const reader = new MemoryBasis(content);
      assert.ok((await collect(applyDelta(reader, [delta]))).equals(target));
      assert.ok(reader.readBytes <= 2 * target.length);
      assert.ok(delta.length < 10_000, `${delta.length} bytes of delta`);
    });
  }

  test('for a signature whose hashes all fall into one slot', async () => {
    const chunkCount = 20_000;
    const signature: Signature = {
      ...(await createSignature([], { basisBytes: 0, salt, parameters: tinyChunks })),
      bytes: chunkCount * 32,
      chunkCount,
      chunkLengths: new Uint32Array(chunkCount).fill(32),
      chunkHashes: BigUint64Array.from({ length: chunkCount }, (_, at) => BigInt(at) << 32n),
    };
    const index = new MatchIndex(signature);
    for (const hash of signature.chunkHashes) index.find(hash, 32, 0);
    assert.ok(index.probes <= 2 * PROBES_MAX * chunkCount);
    const target = pseudoRandom(10_000, 19);
    const delta = await collect(createDelta(signature, [target]));
    assert.ok(delta.length > target.length);
  });
});
