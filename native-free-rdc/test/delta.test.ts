import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import {
  applyDelta,
  blockDigestsOf,
  createDelta,
  DELTA_HEADER_BYTES,
  type DeltaSummary,
  readDeltaHeader,
  SEGMENT_BYTES_MAX,
  treeHashOf,
} from '../src/index.ts';
import {
  apply,
  applyEdits,
  collect,
  deltaOf,
  MemoryBasis,
  pairArbitrary,
  piecesOf,
  pseudoRandom,
  rejectsWith,
  sha256Hex,
  sign,
  storeRaw,
  textLike,
  tinyChunks,
} from './material.ts';

/** A basis, and a target with a removal, an insertion, a change in place and a move. */
function editedPair(make: (bytes: number, seed: number) => Uint8Array, bytes: number): [Uint8Array, Uint8Array] {
  const basis = make(bytes, 1);
  const edited = applyEdits(basis, [
    { place: 0.2, removedBytes: 100, inserted: new Uint8Array(0) },
    { place: 0.4, removedBytes: 0, inserted: make(50, 2) },
    { place: 0.6, removedBytes: 8, inserted: make(8, 3) },
  ]);
  const quarter = Math.floor(edited.length / 4);
  return [basis, Buffer.concat([edited.subarray(quarter), edited.subarray(0, quarter)])];
}

describe('golden vectors: another value is another format', () => {
  for (const [name, make, bytes, digest] of [
    ['pseudo-random bytes', pseudoRandom, 15220, '9e94a3829c883709'],
    ['text', textLike, 13630, '20bd04de56e3bc99'],
  ] as const) {
    test(`createDelta() writes ${name} as it always did`, async () => {
      const [basis, target] = editedPair(make, 100_000);
      const delta = await deltaOf(basis, target, { compress: storeRaw });
      assert.deepEqual({ bytes: delta.length, digest: sha256Hex(delta).slice(0, 16) }, { bytes, digest });
      assert.deepEqual(await apply(basis, delta), Buffer.from(target));
    });
  }

  test('createDelta() writes a small delta as FORMAT.md shows, and applyDelta() reads it', async () => {
    const basis = pseudoRandom(300, 1);
    const target = Buffer.concat([Buffer.from('new'), basis]);
    const delta = await deltaOf(basis, target, { parameters: tinyChunks, compress: storeRaw });
    assert.equal(
      delta.toString('hex'),
      [
        '4e46524443444c5402000000000040002c01000000000000f566caac001fe0d091e84d2a2dee5c3c16a4aac423715edf4aa9',
        '84b26fbc60b2010000002f010000d83f4625e88199cb05000000050000000000000000000000000000000000000000000000',
        '000000004c0000004c00000000000000000000000000000000000000b0028d07056e65772101c54fd1d01ab22574cb378aae',
        'f5b10808911933b9eb4ff229a5e4db3e57140128e0f4fae27e07f11a4327b7e94554ad853bb3ccd5b4d4d454d38d6d2600c7',
        '60b0d44aedcc8e9110020000002f0100000000000098540a1a0786d1580bf520cbba03215c99691e1872941a426e47670476',
        '713c85',
      ].join(''),
    );
    assert.deepEqual(await apply(basis, delta), target);
  });
});

describe('applyDelta() undoes createDelta()', () => {
  test('for any basis and target', async () => {
    await fc.assert(
      fc.asyncProperty(pairArbitrary, async ([basis, target]) => {
        const delta = await deltaOf(basis, target, { parameters: tinyChunks });
        assert.deepEqual(await apply(basis, delta), Buffer.from(target));
      }),
      { numRuns: 400 },
    );
  });

  test('however signature, target and delta are divided, and the delta is the same', async () => {
    await fc.assert(
      fc.asyncProperty(pairArbitrary, fc.integer({ min: 1, max: 2000 }), async ([basis, target], pieceBytes) => {
        const signature = await sign(basis, tinyChunks);
        const delta = await collect(createDelta(signature, piecesOf(target, pieceBytes)));
        assert.deepEqual(delta, await deltaOf(basis, target, { parameters: tinyChunks }));
        const rebuilt = applyDelta(new MemoryBasis(basis), piecesOf(delta, pieceBytes));
        assert.deepEqual(await collect(rebuilt), Buffer.from(target));
      }),
    );
  });

  test('for nothing and one byte on either side', async () => {
    const sides = [new Uint8Array(0), Uint8Array.of(1), Uint8Array.of(2), pseudoRandom(5000, 1)];
    for (const basis of sides) {
      for (const target of sides) {
        assert.deepEqual(await apply(basis, await deltaOf(basis, target)), Buffer.from(target));
      }
    }
  });

  test('for targets one byte below, at and above the size of a segment, copied and literal', async () => {
    const whole = pseudoRandom(SEGMENT_BYTES_MAX + 1, 8);
    const literal = await sign(new Uint8Array(0), {
      horizonBytes: 1024,
      chunkBytesMax: SEGMENT_BYTES_MAX,
    });
    for (const bytes of [SEGMENT_BYTES_MAX - 1, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX + 1]) {
      const target = whole.subarray(0, bytes);
      const copied = await deltaOf(whole, target);
      assert.ok(copied.length < 20_000, `${copied.length} bytes for a prefix of the basis`);
      assert.ok((await apply(whole, copied)).equals(target));
      const written = await collect(createDelta(literal, piecesOf(target, 1_000_000), { compress: storeRaw }));
      assert.ok((await apply(new Uint8Array(0), written)).equals(target));
    }
  });

  test('for the largest chunks there are, in a target of zeros', async () => {
    const parameters = { horizonBytes: 2 ** 16, chunkBytesMax: 2 ** 22 };
    const target = new Uint8Array(3 * SEGMENT_BYTES_MAX + 5);
    const delta = await deltaOf(new Uint8Array(1), target, { parameters });
    assert.ok((await apply(new Uint8Array(1), delta)).equals(target));
  });

  test('with hooks of the caller, asynchronous ones included', async () => {
    const [basis, target] = editedPair(textLike, 100_000);
    const compress = async (bytes: Uint8Array) => zstdCompressSync(bytes);
    const delta = await collect(createDelta(await sign(basis), [target], { compress }));
    const asked: number[] = [];
    const { zstdDecompressSync } = await import('node:zlib');
    const decompress = async (bytes: Uint8Array, bytesMax: number) => {
      asked.push(bytesMax);
      return zstdDecompressSync(bytes);
    };
    assert.deepEqual(await collect(applyDelta(new MemoryBasis(basis), [delta], { decompress })), Buffer.from(target));
    assert.ok(asked.length > 0 && asked.every((bytesMax) => bytesMax <= SEGMENT_BYTES_MAX));
  });
});

describe('createDelta()', () => {
  test('sums up what it did', async () => {
    const [basis, target] = editedPair(pseudoRandom, 100_000);
    const summaries: DeltaSummary[] = [];
    const delta = await collect(createDelta(await sign(basis), [target], { onSummary: (sum) => summaries.push(sum) }));
    const [summary] = summaries;
    assert.ok(summary !== undefined && summaries.length === 1);
    assert.equal(summary.targetBytes, target.length);
    assert.equal(summary.copyBytes + summary.literalBytes, target.length);
    assert.equal(summary.deltaBytes, delta.length);
    assert.equal(Buffer.from(summary.targetSha256).toString('hex'), sha256Hex(target));
    assert.ok(summary.literalBytes < 40_000, `${summary.literalBytes} literal bytes after four edits`);
  });

  test('writes next to nothing for an unchanged target', async () => {
    const basis = pseudoRandom(1_000_000, 9);
    assert.ok((await deltaOf(basis, basis)).length <= 192);
  });

  test('yields pieces that stay as they were', async () => {
    const basis = pseudoRandom(10_000, 10);
    const target = pseudoRandom(SEGMENT_BYTES_MAX * 2, 11);
    const kept: Uint8Array[] = [];
    const copies: Uint8Array[] = [];
    for await (const piece of createDelta(await sign(basis), [target], { compress: storeRaw })) {
      kept.push(piece);
      copies.push(Uint8Array.from(piece));
    }
    assert.deepEqual(kept.map(sha256Hex), copies.map(sha256Hex));
  });

  test('passes on what the target throws, and closes a target it does not finish', async () => {
    const signature = await sign(new Uint8Array(0));
    const failing = (function* () {
      yield Uint8Array.of(1);
      throw new Error('the disk is gone');
    })();
    await assert.rejects(collect(createDelta(signature, failing)), /the disk is gone/);
    let isClosed = false;
    const endless = (function* () {
      try {
        for (;;) yield pseudoRandom(1 << 16, 1);
      } finally {
        isClosed = true;
      }
    })();
    let taken = 0;
    for await (const _ of createDelta(signature, endless)) if (++taken === 3) break;
    assert.ok(isClosed);
  });
});

describe('readDeltaHeader()', () => {
  test('names the basis', async () => {
    const basis = pseudoRandom(5000, 12);
    const delta = await deltaOf(basis, basis);
    const header = readDeltaHeader(delta);
    assert.equal(header.basisBytes, 5000);
    assert.deepEqual(header.basisId, treeHashOf(blockDigestsOf(basis), basis.length));
    assert.deepEqual([header.formatVersion, header.filter, header.segmentBytesMax], [2, 0, SEGMENT_BYTES_MAX]);
    assert.deepEqual(readDeltaHeader(delta.subarray(0, DELTA_HEADER_BYTES)), header);
  });

  test('tells too few bytes from bytes that are no delta', async () => {
    const delta = await deltaOf(new Uint8Array(0), new Uint8Array(0));
    for (const bytes of [0, 7, DELTA_HEADER_BYTES - 1]) {
      assert.throws(() => readDeltaHeader(delta.subarray(0, bytes)), { code: 'delta-truncated' });
    }
    assert.throws(() => readDeltaHeader(Buffer.from('PK')), { code: 'delta-invalid' });
    const changed = (at: number, value: number) => {
      const bytes = Uint8Array.from(delta);
      bytes[at] = value;
      return () => readDeltaHeader(bytes);
    };
    assert.throws(changed(8, 1), { code: 'delta-invalid' });
    assert.throws(changed(9, 1), { code: 'delta-invalid' });
    assert.equal(changed(10, 1)().isTargetSparse, true);
    assert.throws(changed(10, 2), { code: 'delta-invalid' });
    assert.throws(changed(12, 1), { code: 'limit-exceeded' });
    assert.throws(changed(23, 1), { code: 'limit-exceeded' });
  });
});

describe('applyDelta()', () => {
  test('refuses a basis of another size before reading it', async () => {
    const [basis, target] = editedPair(pseudoRandom, 50_000);
    const other = new MemoryBasis(basis.subarray(1));
    await rejectsWith(collect(applyDelta(other, [await deltaOf(basis, target)])), 'basis-mismatch');
    assert.equal(other.readCount, 0);
  });

  test('refuses the result of a basis of the same size and other content', async () => {
    const [basis, target] = editedPair(pseudoRandom, 50_000);
    const delta = await deltaOf(basis, target);
    const other = Uint8Array.from(basis);
    other.fill(0, 20_000, 30_000);
    await rejectsWith(apply(other, delta), 'target-mismatch');
  });

  test('tells a basis that ends early', async () => {
    const [basis, target] = editedPair(pseudoRandom, 50_000);
    const short = { bytes: basis.length, read: async (_: number, into: Uint8Array) => into.length - 1 };
    await rejectsWith(collect(applyDelta(short, [await deltaOf(basis, target)])), 'basis-short');
  });

  test('takes a target of exactly targetBytesMax, and no more', async () => {
    const [basis, target] = editedPair(pseudoRandom, 50_000);
    const delta = await deltaOf(basis, target);
    const limited = (targetBytesMax: number) =>
      collect(applyDelta(new MemoryBasis(basis), [delta], { targetBytesMax }));
    assert.deepEqual(await limited(target.length), Buffer.from(target));
    await rejectsWith(limited(target.length - 1), 'limit-exceeded');
  });

  test('tells every truncation from damage, and refuses one byte more', async () => {
    const [basis, target] = editedPair(textLike, 8000);
    for (const compress of [storeRaw, undefined]) {
      const delta = await deltaOf(basis, target, { parameters: tinyChunks, ...(compress && { compress }) });
      for (let bytes = 0; bytes < delta.length; bytes++) {
        await rejectsWith(apply(basis, delta.subarray(0, bytes)), 'delta-truncated');
      }
      await rejectsWith(apply(basis, Buffer.concat([delta, Uint8Array.of(0)])), 'delta-invalid');
    }
  });

  test('reads neighbouring copies in one go', async () => {
    const basis = pseudoRandom(1 << 20, 13);
    const target = Uint8Array.from(basis);
    for (let at = 5000; at < target.length; at += 8192) target[at] = (target[at] as number) ^ 1;
    const reader = new MemoryBasis(basis);
    const rebuilt = await collect(applyDelta(reader, [await deltaOf(basis, target)]));
    assert.ok(rebuilt.equals(target));
    assert.ok(reader.readCount <= 8, `${reader.readCount} reads for some 128 copies`);
  });

  test('closes a delta it does not finish', async () => {
    let isClosed = false;
    const delta = (function* () {
      try {
        yield Buffer.from('this is no delta, and it is long enough to hold a header of one');
        yield Buffer.from('never reached');
      } finally {
        isClosed = true;
      }
    })();
    await rejectsWith(collect(applyDelta(new MemoryBasis(new Uint8Array(0)), delta)), 'delta-invalid');
    assert.ok(isClosed);
  });
});
