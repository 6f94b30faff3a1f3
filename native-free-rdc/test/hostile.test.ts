import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { COLUMNS, type ColumnHead } from '../src/delta/delta-format.ts';
import { decodeOps, OpWriter } from '../src/delta/delta-ops.ts';
import {
  applyDelta,
  createDelta,
  createSignature,
  DELTA_HEADER_BYTES,
  RdcError,
  SEGMENT_BYTES_MAX,
  type Signature,
} from '../src/index.ts';
import {
  CANDIDATES_PER_HASH_MAX,
  DICTIONARY_BYTES_MAX,
  OP_COLUMN_BYTES_MAX,
  PROBES_MAX,
  SEGMENT_OPS_MAX,
  VARINT_MAX,
  ZSTD_WINDOW_LOG_MAX,
} from '../src/limits.ts';
import { MatchIndex } from '../src/signature/match.ts';
import { ByteWriter, unzigzag, VarintReader, zigzag } from '../src/varint.ts';
import { type Claims, correctedDelta, fieldSoup, forge, opsOf } from './delta-material.ts';
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
  sign,
  storeRaw,
  testSeed,
  textLike,
  tinyChunks,
} from './material.ts';

/** A run of this byte hashes below the bound, by chance of the gear table: it is cut at the minimum each time. */
const FINEST_BYTE = 94;

describe('applyDelta() on forged deltas', () => {
  const basis = pseudoRandom(2000, 1);
  const target = Buffer.concat([Buffer.from('new'), basis.subarray(100, 600)]);
  const literals = Buffer.from('new');
  const opsColumn = (...values: number[]) => {
    const writer = new ByteWriter(64);
    for (const value of values) writer.varint(value);
    return Uint8Array.from(writer.view());
  };
  /** LITERAL 3, COPY 500 from 100: the expected position is 3 by then. */
  const honest = opsColumn(3 * 4, 500 * 4 + 1, zigzag(100 - 3));

  test('the honest forgery applies', async () => {
    assert.deepEqual(await apply(basis, forge(basis, target, { ops: honest, literals })), target);
  });

  for (const [name, ops] of [
    ['a copy from before the basis', opsColumn(12, 2001, zigzag(-4))],
    ['a copy that ends one byte behind the basis', opsColumn(12, 2001, zigzag(1501 - 3))],
    ['a displacement of 2^53 - 1', opsColumn(12, 2001, VARINT_MAX)],
    ['an operation of no bytes', opsColumn(0, 12, 2001, zigzag(97))],
    ['the reserved kind ADD', opsColumn(12, 2002, zigzag(97))],
    ['the reserved kind 3', opsColumn(12, 2003)],
    ['operations that make one byte more', opsColumn(12, 2005, zigzag(97))],
    ['operations that make one byte less', opsColumn(12, 1997, zigzag(97))],
    ['more literals than there are', opsColumn(16, 1997, zigzag(97))],
    ['a length of 2^53 - 1', opsColumn(VARINT_MAX)],
    ['no operations', new Uint8Array(0)],
    ['a copy without a displacement', opsColumn(12, 2001)],
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

  const raw = (bytes: number): ColumnHead => ({ coding: 'raw', rawBytes: bytes, encodedBytes: bytes });
  const zstd = (rawBytes: number, encodedBytes: number): ColumnHead => ({ coding: 'zstd', rawBytes, encodedBytes });
  const primed = (rawBytes: number, encodedBytes: number): ColumnHead => ({
    ...zstd(rawBytes, encodedBytes),
    coding: 'dictionary',
  });
  const dictionary = (dictionaryStart: number, dictionaryBytes: number): Claims => ({
    columns: { literals: primed(3, 2) },
    dictionaryStart,
    dictionaryBytes,
  });

  for (const [name, claims] of [
    ['a segment of nothing', { targetBytes: 0 }],
    ['a segment above the limit', { targetBytes: SEGMENT_BYTES_MAX + 1 }],
    ['operations above the limit', { columns: { ops: zstd(OP_COLUMN_BYTES_MAX + 1, 5) } }],
    ['one kind more than the segment has blocks', { columns: { kinds: raw(2) } }],
    ['more gaps than the segment has room for', { columns: { gaps: zstd(503 * 2 + 1, 5) } }],
    ['more values than the segment has bytes', { columns: { values: zstd(504, 5) } }],
    ['more literals than the segment has bytes', { columns: { literals: raw(504) } }],
    ['a raw column of two sizes', { columns: { literals: { coding: 'raw', rawBytes: 3, encodedBytes: 2 } } }],
    ['a compressed column that did not shrink', { columns: { literals: zstd(3, 3) } }],
    ['a compressed column of nothing', { columns: { literals: zstd(3, 0) } }],
    ['a dictionary nobody uses', { dictionaryBytes: 8 }],
    ['the place of a dictionary nobody uses', { dictionaryStart: 1 }],
    ['a dictionary of nothing', dictionary(0, 0)],
    ['a dictionary too small for zstd', dictionary(0, 7)],
    ['a dictionary that ends one byte behind the basis', dictionary(1901, 100)],
    ['a dictionary far behind the basis', dictionary(2 ** 52, 100)],
    ['a dictionary of more than twice the target', dictionary(0, 503 * 2 + 1)],
    ['a dictionary of 2^32 - 1 bytes', dictionary(0, 0xffffffff)],
    ...(['ops', 'kinds', 'gaps', 'values'] as const).map(
      (column) =>
        [`${column} with a dictionary`, { ...dictionary(0, 100), columns: { [column]: primed(3, 2) } }] as const,
    ),
  ] as const satisfies (readonly [string, Claims])[]) {
    test(`refuses ${name}`, async () => {
      const reader = new MemoryBasis(basis);
      const forged = forge(basis, target, { ops: honest, literals }, claims);
      await rejectsWith(collect(applyDelta(reader, [forged])), 'delta-invalid');
      assert.equal(reader.readCount, 0);
    });
  }

  test('refuses every column of the fourth coding, of no size at all', async () => {
    for (let column = 0; column < COLUMNS.length; column++) {
      const forged = forge(basis, target, { ops: honest, literals });
      forged.writeUInt32LE(0xc0000000, DELTA_HEADER_BYTES + 16 + 8 * column);
      forged.writeUInt32LE(0, DELTA_HEADER_BYTES + 20 + 8 * column);
      await rejectsWith(apply(basis, forged), 'delta-invalid');
    }
  });

  test('refuses reserved bytes of a segment that are not zero', async () => {
    for (const at of [1, 2, 3, 68, 69, 70, 71]) {
      const forged = forge(basis, target, { ops: honest, literals });
      forged[DELTA_HEADER_BYTES + at] = 1;
      await rejectsWith(apply(basis, forged), 'delta-invalid');
    }
  });

  test('takes literals that begin with old bytes, and refuses those of other old bytes', async () => {
    const wanted = Buffer.concat([basis.subarray(300, 900), Buffer.from('and new ones')]);
    const ops = opsColumn(wanted.length * 4);
    const dictionaryBytes = 1000;
    const frame = zstdCompressSync(wanted, { dictionary: basis.subarray(200, 200 + dictionaryBytes) });
    assert.ok(frame.length < 100);
    const forged = (dictionaryStart: number) =>
      forge(
        basis,
        wanted,
        { ops, literals: frame },
        { columns: { literals: primed(wanted.length, frame.length) }, dictionaryStart, dictionaryBytes },
      );
    assert.deepEqual(await apply(basis, forged(200)), wanted);
    await assert.rejects(apply(basis, forged(201)), RdcError);
    const plain = { columns: { literals: zstd(wanted.length, frame.length) } };
    await assert.rejects(apply(basis, forge(basis, wanted, { ops, literals: frame }, plain)), RdcError);
  });

  test('reads no more of a basis for dictionaries than four times the target', async () => {
    const large = new Uint8Array(DICTIONARY_BYTES_MAX);
    const few = new Uint8Array(1000);
    const frame = zstdCompressSync(few);
    for (const dictionaryBytes of [2000, 2001, DICTIONARY_BYTES_MAX]) {
      const columns = { literals: primed(few.length, frame.length) };
      const parts = { ops: opsColumn(few.length * 4), literals: frame };
      const forged = forge(large, few, parts, { columns, dictionaryStart: 0, dictionaryBytes });
      const reader = new MemoryBasis(large);
      await collect(applyDelta(reader, [forged])).catch((error: unknown) => assert.ok(error instanceof RdcError));
      assert.ok(reader.readBytes <= 4 * few.length, `${reader.readBytes} bytes read for ${dictionaryBytes}`);
    }
  });

  /** One copied byte in a hundred is another; the last of 500 among them. */
  const corrected = Uint8Array.from(target);
  for (let at = 3 + 99; at < corrected.length; at += 100) corrected[at] = (corrected[at] as number) + 7;
  const fit = { gaps: [99, 99, 99, 99, 99], values: [7, 7, 7, 7, 7] };
  const withColumns = (columns: Partial<Record<'kinds' | 'gaps' | 'values', readonly number[]>>) => {
    const { kinds = [], gaps, values } = { ...fit, ...columns };
    return forge(basis, corrected, {
      ops: honest,
      kinds: Uint8Array.from(kinds),
      gaps: Uint8Array.from(gaps),
      values: Uint8Array.from(values),
      literals,
    });
  };

  test('takes corrections up to the last copied byte', async () => {
    assert.deepEqual(await apply(basis, withColumns({})), Buffer.from(corrected));
    assert.deepEqual(await apply(basis, withColumns({ kinds: [0] })), Buffer.from(corrected));
  });

  for (const [name, columns] of [
    ['the kind 4', { kinds: [4] }],
    ['the kind 255', { kinds: [255] }],
    ['a value too few', { values: [7, 7, 7, 7] }],
    ['a value too many', { values: [7, 7, 7, 7, 7, 7] }],
    ['values without gaps', { gaps: [] }],
    ['gaps without values', { values: [] }],
    ['a correction behind the last copied byte', { gaps: [99, 99, 99, 99, 100] }],
    ['one more behind the last copied byte', { gaps: [99, 99, 99, 99, 99, 0], values: [7, 7, 7, 7, 7, 0] }],
    ['a gap far behind the last copied byte', { gaps: [0xff, 0xff, 0xff, 0x7f], values: [7] }],
    ['a gap with a needless last byte', { gaps: [0x80 | 99, 0, 99, 99, 99, 99] }],
    ['a gap of zero in two bytes', { gaps: [0x80, 0, 99, 99, 99, 99] }],
    ['a gap of five bytes', { gaps: [0xe3, 0x80, 0x80, 0x80, 0x00, 99, 99, 99, 99] }],
    [
      'a gap of 2^32 - 1, which never comes',
      { gaps: [99, 99, 99, 99, 99, 0xff, 0xff, 0xff, 0xff, 0x0f], values: [7, 7, 7, 7, 7, 7] },
    ],
    ['a gap that is cut short', { gaps: [99, 99, 99, 99, 0x80 | 99] }],
  ] as const) {
    test(`refuses ${name}`, () => rejectsWith(apply(basis, withColumns(columns)), 'delta-invalid'));
  }

  test('refuses corrections of a segment that copies nothing', async () => {
    const wanted = Uint8Array.from(target.subarray(0, 100));
    const columns = { ops: opsColumn(400), gaps: Uint8Array.of(0), values: Uint8Array.of(1), literals: wanted };
    await rejectsWith(apply(basis, forge(basis, wanted, columns)), 'delta-invalid');
  });

  test('tells a prediction that goes elsewhere by the hash of the segment', async () => {
    await rejectsWith(apply(basis, forge(basis, corrected, { ops: honest, literals })), 'target-mismatch');
  });

  test('tells a segment or a trailer of another target', async () => {
    const wrongHash = forge(basis, target, { ops: honest, literals }, { targetHash: 1n });
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
      return apply(basis, forge(basis, zeros, { ops: column, literals: frame }, { columns: { literals } }));
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

const isLong = process.env['SITEFERRY_TEST_LONG'] === '1';

interface Mutant {
  readonly basis: Uint8Array;
  readonly target: Uint8Array;
  readonly delta: Uint8Array;
}

/** Mutates each of `originals` in turn; counts the answers, which are an RdcError or the right target. */
async function answersTo(originals: readonly Mutant[], roundCount: number): Promise<Map<string, number>> {
  const random = randomIntegers(testSeed);
  const told = new Map<string, number>();
  for (let round = 0; round < roundCount; round++) {
    const { basis, target, delta } = originals[round % originals.length] as Mutant;
    const reader = new MemoryBasis(basis);
    const where = `seed ${testSeed}, round ${round}`;
    let answer = 'right';
    let rebuiltBytes = 0;
    try {
      const parts: Uint8Array[] = [];
      for await (const part of applyDelta(reader, [mutate(delta, random)])) {
        rebuiltBytes += part.length;
        parts.push(part);
      }
      assert.ok(Buffer.concat(parts).equals(target), `${where}: a wrong target passed as right`);
    } catch (error) {
      assert.ok(error instanceof RdcError, `${where}: ${error}`);
      answer = error.code;
    }
    told.set(answer, (told.get(answer) ?? 0) + 1);
    assert.ok(rebuiltBytes <= target.length && reader.readBytes <= 2 * SEGMENT_BYTES_MAX, `${where}: too much work`);
  }
  return told;
}

test('applyDelta() answers 12,000 mutations with an RdcError or the right target', async (t) => {
  t.diagnostic(`seed ${testSeed}`);
  const originals = await Promise.all(
    [pseudoRandom, textLike].flatMap((make) =>
      [storeRaw, undefined].map(async (compress) => {
        const basis = make(3000, 14);
        const target = Buffer.concat([basis.subarray(1000, 2500), make(200, 15), basis.subarray(0, 1200)]);
        const delta = await deltaOf(basis, target, { parameters: tinyChunks, ...(compress && { compress }) });
        return { basis, target, delta };
      }),
    ),
  );
  const told = await answersTo(originals, isLong ? 950_000 : 12_000);
  // The mutations reach every layer.
  for (const code of ['delta-invalid', 'delta-truncated', 'basis-mismatch', 'target-mismatch', 'limit-exceeded']) {
    assert.ok((told.get(code) ?? 0) > 10, `${code}: ${told.get(code)}`);
  }
});

test('applyDelta() answers 4,000 mutations of corrected and primed deltas with an RdcError or the right target', async (t) => {
  t.diagnostic(`seed ${testSeed}`);
  const basis = fieldSoup(9000, 20);
  const originals: Mutant[] = [1, 2, 3].map((kind) => {
    const ops = opsOf([700, 11], [20, -1], [900, 6001], [3, 0], [4000, 2000]);
    return { basis, ...correctedDelta(basis, ops, Uint8Array.of(kind, (kind + 1) % 4), kind) };
  });
  const target = Buffer.concat([basis.subarray(300, 900), Buffer.from('and new ones')]);
  const frame = zstdCompressSync(target, { dictionary: basis.subarray(200, 1200) });
  const ops = new OpWriter();
  ops.literal(target.length);
  const literals = { coding: 'dictionary', rawBytes: target.length, encodedBytes: frame.length } as const;
  const claims = { columns: { literals }, dictionaryStart: 200, dictionaryBytes: 1000 };
  const delta = forge(basis, target, { ops: Uint8Array.from(ops.finish()), literals: frame }, claims);
  originals.push({ basis, target, delta });
  const told = await answersTo(originals, isLong ? 60_000 : 4000);
  for (const code of ['delta-invalid', 'delta-truncated', 'target-mismatch']) {
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
      assert.ok(signature.chunkCount <= bytes / (tinyChunks.horizonBytes + 1) + bytes / tinyChunks.chunkBytesMax + 1);
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
