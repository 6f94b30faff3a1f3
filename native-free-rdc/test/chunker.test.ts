import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { localMaxima } from '../src/chunk/local-maximum.ts';
import { BASIS_BYTES_MAX, Chunker, type ChunkParameters, chunkParametersFor } from '../src/index.ts';
import { CHUNK_BYTES_MAX_CEILING } from '../src/limits.ts';
import { applyEdits, basisArbitrary, piecesOf, pseudoRandom, testSeed, textLike, tinyChunks } from './material.ts';

/** All chunks, copied. */
function chunksOf(source: Iterable<Uint8Array>, parameters: ChunkParameters): Uint8Array[] {
  const chunker = new Chunker(parameters);
  const chunks: Uint8Array[] = [];
  const takeAll = () => {
    for (let chunk = chunker.next(); chunk !== undefined; chunk = chunker.next()) chunks.push(Uint8Array.from(chunk));
  };
  for (const piece of source) {
    for (let taken = 0; taken < piece.length; ) {
      taken = chunker.feed(piece, taken);
      takeAll();
    }
  }
  chunker.end();
  takeAll();
  return chunks;
}

/** All cut points, the end included. */
function cutsOf(source: Iterable<Uint8Array>, parameters: ChunkParameters): number[] {
  let end = 0;
  return chunksOf(source, parameters).map((chunk) => {
    end += chunk.length;
    return end;
  });
}

/** Cuts found by the rule, others forced: what a chunker has to do, said in one breath. */
function cutsByRule(bytes: Uint8Array, parameters: ChunkParameters): number[] {
  const window = { bytes, startByte: 0, endByte: bytes.length, isFileStart: true, isFileEnd: true };
  const cuts: number[] = [];
  let start = 0;
  for (const cut of [...localMaxima(window, parameters.horizonBytes), bytes.length]) {
    while (cut - start > parameters.chunkBytesMax) {
      start += parameters.chunkBytesMax;
      cuts.push(start);
    }
    if (cut > start) cuts.push(cut);
    start = cut;
  }
  return cuts;
}

const usual = chunkParametersFor(1);

describe('Chunker', () => {
  test('cuts by the rule, and gives every byte once, however the stream is divided', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    fc.assert(
      fc.property(basisArbitrary, fc.array(fc.nat(200), { minLength: 1 }), (bytes, sizes) => {
        const pieces: Uint8Array[] = [];
        for (let start = 0, turn = 0; start < bytes.length; turn++) {
          const size = (sizes[turn % sizes.length] as number) + (turn % sizes.length === 0 ? 1 : 0);
          pieces.push(bytes.subarray(start, start + size));
          start += size;
        }
        assert.deepEqual(cutsOf(pieces, tinyChunks), cutsByRule(bytes, tinyChunks));
        assert.ok(Buffer.concat(chunksOf(pieces, tinyChunks)).equals(bytes));
      }),
      { seed: testSeed },
    );
  });

  test('cuts by the rule beyond its buffer, runs without a cut included', () => {
    const bytes = Buffer.concat([pseudoRandom(700_000, 2), new Uint8Array(300_000), textLike(600_001, 2)]);
    for (const parameters of [tinyChunks, usual, { horizonBytes: 64, chunkBytesMax: 256 }]) {
      const wanted = cutsByRule(bytes, parameters);
      for (const pieceBytes of [997, 65_536, 262_143, bytes.length]) {
        assert.deepEqual(cutsOf(piecesOf(bytes, pieceBytes), parameters), wanted);
      }
    }
    const large: ChunkParameters = { horizonBytes: 65_536, chunkBytesMax: CHUNK_BYTES_MAX_CEILING };
    const long = Buffer.concat([new Uint8Array(5_000_000), bytes]);
    assert.deepEqual(cutsOf(piecesOf(long, 1 << 20), large), cutsByRule(long, large));
    assert.ok(Buffer.concat(chunksOf(piecesOf(long, 1 << 20), large)).equals(long));
  });

  test('keeps chunks above a horizon and within the maximum, save remainders', () => {
    fc.assert(
      fc.property(basisArbitrary, (bytes) => {
        const lengths = chunksOf([bytes], tinyChunks).map((chunk) => chunk.length);
        lengths.forEach((length, index) => {
          const isRemainder = index === lengths.length - 1 || lengths[index - 1] === tinyChunks.chunkBytesMax;
          assert.ok(length > (isRemainder ? 0 : tinyChunks.horizonBytes) && length <= tinyChunks.chunkBytesMax);
        });
      }),
      { seed: testSeed },
    );
  });

  test('makes chunks of two horizons on average', () => {
    const bytes = pseudoRandom(4 << 20, 3);
    const average = bytes.length / cutsOf([bytes], usual).length;
    assert.ok(Math.abs(average / 2049 - 1) < 0.05, `average is ${average}`);
  });

  test('is in step again one horizon behind an edit, and cuts the same up to one before it', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    fc.assert(
      fc.property(
        fc.integer(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(300),
        fc.uint8Array({ maxLength: 300 }),
        (seed, place, removedBytes, inserted) => {
          const basis = pseudoRandom(32 * 1024, seed);
          const target = applyEdits(basis, [{ place, removedBytes, inserted }]);
          const shift = target.length - basis.length;
          const editStart = Math.floor(place * basis.length);
          const editEnd = editStart + inserted.length;
          const basisCuts = cutsOf([basis], tinyChunks);
          const targetCuts = cutsOf([target], tinyChunks);
          const { horizonBytes } = tinyChunks;
          const early = (cut: number) => cut + horizonBytes <= editStart;
          assert.deepEqual(targetCuts.filter(early), basisCuts.filter(early));
          // 31 bytes of the hash reach back over the edit, and the ends of the horizon likewise.
          const late = (cut: number) => cut > Math.max(editEnd, horizonBytes) + horizonBytes + 32;
          // Forced cuts follow from found ones, so they are the same behind the first of those.
          const foundLater = basisCuts.map((cut) => cut + shift).filter(late);
          assert.deepEqual(targetCuts.filter(late), foundLater);
        },
      ),
      { seed: testSeed },
    );
  });

  test('finds no chunk in nothing, one in one byte, and both sides of the maximum', () => {
    assert.deepEqual(cutsOf([], tinyChunks), []);
    assert.deepEqual(cutsOf([new Uint8Array(0)], tinyChunks), []);
    assert.deepEqual(cutsOf([Uint8Array.of(7)], tinyChunks), [1]);
    const zeros = (bytes: number) => cutsOf([new Uint8Array(bytes)], tinyChunks);
    const { chunkBytesMax: max } = tinyChunks;
    assert.deepEqual([zeros(max - 1), zeros(max), zeros(max + 1)], [[max - 1], [max], [max, max + 1]]);
  });

  test('keeps what waits when it is ended, and refuses more', () => {
    // As many as its buffer holds: cuts have been looked for, and are waiting.
    const bytes = pseudoRandom(256 * 1024 + 1024 + 64, 5);
    const chunker = new Chunker(tinyChunks);
    for (let taken = 0; taken < bytes.length; ) taken = chunker.feed(bytes, taken);
    const first = chunker.next();
    assert.ok(first !== undefined);
    chunker.end();
    chunker.end();
    const cuts = [first.length];
    for (let chunk = chunker.next(); chunk !== undefined; chunk = chunker.next()) {
      cuts.push((cuts.at(-1) as number) + chunk.length);
    }
    assert.deepEqual(cuts, cutsByRule(bytes, tinyChunks));
    assert.equal(chunker.next(), undefined);
    assert.throws(() => chunker.feed(bytes), RangeError);
    const full = new Chunker(tinyChunks);
    assert.throws(() => {
      for (let at = 0; ; ) at = full.feed(bytes, at % bytes.length);
    }, /take the chunks that wait/);
  });

  test('refuses parameters just outside their ranges', () => {
    const make = (horizonBytes: number, chunkBytesMax: number) => new Chunker({ horizonBytes, chunkBytesMax });
    make(64, 256);
    make(64, CHUNK_BYTES_MAX_CEILING);
    make(65_536, 262_144);
    for (const [horizon, max] of [
      [0, 1024],
      [-64, 1024],
      [63, 1024],
      [96, 1024],
      [65_600, 1 << 20],
      [64, 255],
      [64, 256.5],
      [64, CHUNK_BYTES_MAX_CEILING + 1],
      [Number.NaN, 1024],
      [64, Number.NaN],
    ] as const) {
      assert.throws(() => make(horizon, max), RangeError, `${horizon} ${max}`);
    }
  });
});

describe('chunkParametersFor()', () => {
  test('keeps chunks of 2 KiB up to 2 GiB, doubles beyond, and stops at 128 KiB', () => {
    const horizonFor = (fileBytes: number) => chunkParametersFor(fileBytes).horizonBytes;
    assert.deepEqual(
      [0, 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32, 2 ** 32 + 1, 2 ** 37, BASIS_BYTES_MAX].map(horizonFor),
      [1024, 1024, 1024, 2048, 2048, 4096, 65_536, 65_536],
    );
    assert.deepEqual(chunkParametersFor(5), { horizonBytes: 1024, chunkBytesMax: 16_384 });
  });

  test('serves the largest file and refuses one byte more', () => {
    new Chunker(chunkParametersFor(BASIS_BYTES_MAX));
    assert.throws(() => chunkParametersFor(BASIS_BYTES_MAX + 1), { code: 'limit-exceeded' });
    assert.throws(() => chunkParametersFor(-1), RangeError);
    assert.throws(() => chunkParametersFor(1.5), RangeError);
  });
});
