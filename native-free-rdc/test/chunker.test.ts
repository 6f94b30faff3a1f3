import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { GEAR } from '../src/chunk/rolling-hash.ts';
import { BASIS_BYTES_MAX, Chunker, type ChunkParameters, chunkParametersFor } from '../src/index.ts';
import { CHUNK_BYTES_MAX_CEILING } from '../src/limits.ts';
import { applyEdits, basisArbitrary, piecesOf, pseudoRandom, sha256Hex, textLike, tinyChunks } from './material.ts';

/** All cut points, the end included. */
function cutsOf(source: Iterable<Uint8Array>, parameters: ChunkParameters): number[] {
  const chunker = new Chunker(parameters);
  const cuts: number[] = [];
  let offset = 0;
  for (const piece of source) {
    for (let cut = chunker.next(piece, 0); cut !== -1; cut = chunker.next(piece, cut)) cuts.push(offset + cut);
    offset += piece.length;
  }
  if (chunker.pendingBytes > 0) cuts.push(offset);
  return cuts;
}

function digestOfCuts(cuts: number[]): string {
  return sha256Hex(Buffer.from(cuts.join(','))).slice(0, 16);
}

const usual = chunkParametersFor(1);

describe('golden vectors: another value is another format', () => {
  test('GEAR is what its recipe gives', () => {
    assert.equal(
      sha256Hex(new Uint8Array(GEAR.buffer)),
      '49dd31f3bb8794a6a1fa356bc2fac9955595561e64e57029c70ef61ef26e0c8b',
    );
  });

  for (const [name, bytes, count, first, digest] of [
    ['pseudo-random bytes', pseudoRandom(1 << 20, 1), 509, [3488, 6468, 10832], '192c3741b6917b00'],
    ['zeros', new Uint8Array(100_000), 7, [16384, 32768, 49152], '1d7362ac76937edd'],
    ['text', textLike(1 << 20, 1), 520, [1814, 2711, 3615], '7535a51aa130ddf1'],
  ] as const) {
    test(`Chunker cuts ${name} where it always did`, () => {
      const cuts = cutsOf([bytes], usual);
      const golden = { count: cuts.length, first: cuts.slice(0, 3), digest: digestOfCuts(cuts) };
      assert.deepEqual(golden, { count, first, digest });
    });
  }
});

describe('Chunker', () => {
  test('cuts the same however the stream is divided', () => {
    fc.assert(
      fc.property(basisArbitrary, fc.array(fc.nat(200), { minLength: 1 }), (bytes, sizes) => {
        const pieces: Uint8Array[] = [];
        for (let start = 0, turn = 0; start < bytes.length; turn++) {
          const size = (sizes[turn % sizes.length] as number) + (turn % sizes.length === 0 ? 1 : 0);
          pieces.push(bytes.subarray(start, start + size));
          start += size;
        }
        assert.deepEqual(cutsOf(pieces, tinyChunks), cutsOf([bytes], tinyChunks));
      }),
    );
    const bytes = pseudoRandom(60_000, 2);
    for (const pieceBytes of [1, 7, 511, 512, 513, 4096]) {
      assert.deepEqual(cutsOf(piecesOf(bytes, pieceBytes), usual), cutsOf([bytes], usual));
    }
  });

  test('keeps every chunk within min and max, save a shorter last one', () => {
    fc.assert(
      fc.property(basisArbitrary, (bytes) => {
        const cuts = cutsOf([bytes], tinyChunks);
        const lengths = cuts.map((cut, index) => cut - (cuts[index - 1] ?? 0));
        assert.equal(cuts.at(-1) ?? 0, bytes.length);
        assert.ok(lengths.every((length) => length <= tinyChunks.chunkBytesMax));
        assert.ok(lengths.slice(0, -1).every((length) => length >= tinyChunks.chunkBytesMin));
      }),
    );
  });

  test('makes chunks of the average it was asked for', () => {
    const bytes = pseudoRandom(4 << 20, 3);
    const average = bytes.length / cutsOf([bytes], usual).length;
    assert.ok(Math.abs(average / usual.chunkBytesAverage - 1) < 0.05, `average is ${average}`);
  });

  test('falls back into step after an edit', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(300),
        fc.uint8Array({ maxLength: 300 }),
        (seed, place, removedBytes, inserted) => {
          const basis = pseudoRandom(64 * 1024, seed);
          const target = applyEdits(basis, [{ place, removedBytes, inserted }]);
          const shift = target.length - basis.length;
          const basisCuts = new Set(cutsOf([basis], tinyChunks).map((cut) => cut + shift));
          const editEnd = Math.floor(place * basis.length) + inserted.length;
          const later = cutsOf([target], tinyChunks).filter((cut) => cut > editEnd);
          // Random content finds a common cut within a few chunks: 40 averages are e^-20 or so.
          const inStepFrom = later.findIndex((cut) => basisCuts.has(cut));
          if (later.length < 40) return;
          assert.ok(inStepFrom !== -1 && inStepFrom < 40, `in step after ${inStepFrom} chunks`);
          assert.ok(later.slice(inStepFrom).every((cut) => basisCuts.has(cut)));
        },
      ),
    );
  });

  test('finds no chunk in nothing, one in one byte, and both sides of min and max', () => {
    assert.deepEqual(cutsOf([], tinyChunks), []);
    assert.deepEqual(cutsOf([new Uint8Array(0)], tinyChunks), []);
    assert.deepEqual(cutsOf([Uint8Array.of(7)], tinyChunks), [1]);
    const zeros = (bytes: number) => cutsOf([new Uint8Array(bytes)], tinyChunks);
    const { chunkBytesMin: min, chunkBytesMax: max } = tinyChunks;
    assert.deepEqual([zeros(min - 1), zeros(min), zeros(min + 1)], [[min - 1], [min], [min + 1]]);
    assert.deepEqual([zeros(max - 1), zeros(max), zeros(max + 1)], [[max - 1], [max], [max, max + 1]]);
  });

  test('refuses parameters just outside their ranges', () => {
    const ceiling = CHUNK_BYTES_MAX_CEILING;
    const make = (chunkBytesMin: number, chunkBytesAverage: number, chunkBytesMax: number) =>
      new Chunker({ chunkBytesMin, chunkBytesAverage, chunkBytesMax });
    make(32, 64, 128);
    make(32, 64, ceiling);
    assert.throws(() => make(31, 64, 128), RangeError);
    assert.throws(() => make(32, 63, 128), RangeError);
    assert.throws(() => make(32, 64, 127), RangeError);
    assert.throws(() => make(32, 64, ceiling + 1), RangeError);
    assert.throws(() => make(32.5, 66, 132), RangeError);
  });
});

describe('chunkParametersFor()', () => {
  test('keeps 2 KiB up to 2 GiB, and doubles beyond', () => {
    const averageFor = (basisBytes: number) => chunkParametersFor(basisBytes).chunkBytesAverage;
    assert.deepEqual(
      [0, 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32, 2 ** 32 + 1].map(averageFor),
      [2048, 2048, 2048, 4096, 4096, 8192],
    );
    assert.deepEqual(chunkParametersFor(5), { chunkBytesMin: 512, chunkBytesAverage: 2048, chunkBytesMax: 16_384 });
  });

  test('serves the largest basis and refuses one byte more', () => {
    new Chunker(chunkParametersFor(BASIS_BYTES_MAX));
    assert.throws(() => chunkParametersFor(BASIS_BYTES_MAX + 1), { code: 'limit-exceeded' });
    assert.throws(() => chunkParametersFor(-1), RangeError);
    assert.throws(() => chunkParametersFor(1.5), RangeError);
  });
});
