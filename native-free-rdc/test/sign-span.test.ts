import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  encodeSignature,
  joinSpans,
  type SpanOptions,
  type SpanSignature,
  signSpan,
  spanInputOf,
  spansOf,
  transferablesOf,
} from '../src/index.ts';
import {
  MemoryBasis,
  pseudoRandom,
  randomIntegers,
  rejectsWith,
  salt,
  sign,
  testSeed,
  textLike,
  tinyChunks,
} from './material.ts';

const BLOCK = 4 * 1024 * 1024;

/** Signs spans of these sizes, in blocks, last span first, as threads may finish in any order. */
async function partsOf(file: Uint8Array, options: SpanOptions, spanBlocks: () => number): Promise<SpanSignature[]> {
  const parts: SpanSignature[] = [];
  for (let startByte = 0; startByte < file.length; ) {
    const span = { startByte, endByte: Math.min(file.length, startByte + spanBlocks() * BLOCK) };
    const input = spanInputOf(span, options);
    const part = await signSpan(file.subarray(input.startByte, input.endByte), span, options);
    parts.push(structuredClone(part, { transfer: transferablesOf(part) }));
    startByte = span.endByte;
  }
  return parts;
}

const period = pseudoRandom(16, 1);
const files: readonly (readonly [string, Uint8Array, number])[] = [
  ['nothing', new Uint8Array(0), 0],
  ['one byte', Uint8Array.of(1), 0],
  ['a block and a byte', pseudoRandom(BLOCK + 1, 2), 0],
  ['text of two blocks', textLike(2 * BLOCK, 3), 0],
  ['zeros', new Uint8Array(3 * BLOCK + 77), 3 * BLOCK + 77],
  ['a period of 16 bytes', Uint8Array.from({ length: 2 * BLOCK + 5 }, (_, at) => period[at % 16] as number), 3 * BLOCK],
  [
    'zeros across the end of a block, between random bytes',
    Buffer.concat([pseudoRandom(BLOCK - 100_000, 4), new Uint8Array(200_000), pseudoRandom(2 * BLOCK, 5)]),
    300_000,
  ],
  [
    'a last block that begins within a greatest chunk',
    Buffer.concat([pseudoRandom(BLOCK - 8000, 6), new Uint8Array(8100)]),
    2 * 8100,
  ],
];

describe('joinSpans() gives the bytes of createSignature()', () => {
  for (const [name, file, readBytesMax] of files) {
    test(`for ${name}, whatever the spans`, async (t) => {
      t.diagnostic(`seed ${testSeed}`);
      const random = randomIntegers(testSeed);
      for (const [parameters, hashBytes] of [
        [tinyChunks, 8],
        [{ horizonBytes: 1024, chunkBytesMax: 16_384 }, 6],
      ] as const) {
        const options: SpanOptions = { fileBytes: file.length, salt, parameters, hashBytes };
        const wanted = encodeSignature({
          ...(await sign(file, parameters)),
          hashBytes,
        });
        for (const blocks of [() => 1, () => 1 + random(3), () => 9]) {
          const basis = new MemoryBasis(file);
          const joined = await joinSpans(await partsOf(file, options, blocks), basis, options);
          assert.ok(Buffer.from(encodeSignature(joined)).equals(wanted));
          assert.ok(basis.readBytes <= readBytesMax, `${basis.readBytes} bytes read again`);
        }
      }
    });
  }
});

test('spansOf() divides a file at multiples of 4 MiB', () => {
  assert.deepEqual(spansOf(0, BLOCK), []);
  assert.deepEqual(spansOf(BLOCK, BLOCK), [{ startByte: 0, endByte: BLOCK }]);
  assert.deepEqual(spansOf(2 * BLOCK + 1, 2 * BLOCK), [
    { startByte: 0, endByte: 2 * BLOCK },
    { startByte: 2 * BLOCK, endByte: 2 * BLOCK + 1 },
  ]);
  for (const spanBytes of [0, 1, BLOCK - 1, -BLOCK]) assert.throws(() => spansOf(10, spanBytes), RangeError);
});

test('signSpan() refuses a span off the grid and bytes that are not its input', async () => {
  const options: SpanOptions = { fileBytes: 2 * BLOCK, salt };
  const bytes = new Uint8Array(BLOCK + 1024);
  await signSpan(bytes, { startByte: 0, endByte: BLOCK }, options);
  await assert.rejects(signSpan(bytes.subarray(1), { startByte: 0, endByte: BLOCK }, options), RangeError);
  for (const [startByte, endByte] of [
    [1, BLOCK],
    [0, BLOCK - 1],
    [BLOCK, BLOCK],
    [BLOCK, 3 * BLOCK],
    [-BLOCK, BLOCK],
  ] as const) {
    await assert.rejects(signSpan(bytes, { startByte, endByte }, options), RangeError);
  }
});

test('joinSpans() refuses parts that leave something out, and tells a basis that ends early', async () => {
  const file = new Uint8Array(2 * BLOCK + 9);
  const options: SpanOptions = { fileBytes: file.length, salt };
  const parts = await partsOf(file, options, () => 1);
  const [one, two, three] = parts as [SpanSignature, SpanSignature, SpanSignature];
  const basis = new MemoryBasis(file);
  await joinSpans(parts, basis, options);
  for (const wrong of [[], [one, two], [two, three], [one, three], [one, one, two, three]]) {
    await assert.rejects(joinSpans(wrong, basis, options), RangeError);
  }
  await rejectsWith(joinSpans(parts, { bytes: file.length, read: async () => 0 }, options), 'basis-short');
});
