import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { makeKernel } from '../src/chunk/chunk-kernel.ts';
import { type CutWindow, contextBytes, localMaxima, MULTIPLIERS } from '../src/chunk/local-maximum.ts';
import { pseudoRandom, randomIntegers, sha256Hex, testSeed, textLike } from './material.ts';

const kernel = makeKernel();
assert.ok(kernel, 'this Node runs WebAssembly SIMD');

/** The hash by its definition: a sum over the sixteen pairs of bytes that end with byte `at`. */
function hashAt(bytes: Uint8Array, at: number): number {
  const [c1, c2, a8, a16, a32] = MULTIPLIERS.map(BigInt) as [bigint, bigint, bigint, bigint, bigint];
  let sum = 0n;
  for (let quad = 0; quad < 8; quad++) {
    const end = at - 4 * quad;
    const word = (index: number): bigint => BigInt((bytes[index - 1] ?? 0) + 256 * (bytes[index] ?? 0));
    const weight = (quad & 1 ? a8 : 1n) * (quad & 2 ? a16 : 1n) * (quad & 4 ? a32 : 1n);
    sum += (word(end) * c1 + word(end - 2) * c2) * weight;
  }
  return Number(BigInt.asIntN(16, sum));
}

/** The rule by its definition, in time proportional to the horizon. */
function cutsByDefinition(bytes: Uint8Array, horizonBytes: number): number[] {
  const hashes = Array.from(bytes, (_, at) => hashAt(bytes, at));
  const cuts: number[] = [];
  for (let at = horizonBytes; at < bytes.length; at++) {
    const before = hashes.slice(at - horizonBytes, at);
    const after = hashes.slice(at + 1, at + 1 + horizonBytes);
    const own = hashes[at] as number;
    if (before.every((other) => other < own) && after.every((other) => other <= own)) cuts.push(at + 1);
  }
  return cuts;
}

function wholeFile(bytes: Uint8Array): CutWindow {
  return { bytes, startByte: 0, endByte: bytes.length, isFileStart: true, isFileEnd: true };
}

/** A de Bruijn-like sequence: every run of two bytes from a small alphabet, over and over. */
function pairsOf(symbols: number, bytes: number): Uint8Array {
  const sequence: number[] = [];
  for (let one = 0; one < symbols; one++) {
    sequence.push(one);
    for (let other = one + 1; other < symbols; other++) sequence.push(one, other);
  }
  return Uint8Array.from({ length: bytes }, (_, at) => sequence[at % sequence.length] as number);
}

function periodic(period: Uint8Array, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => period[at % period.length] as number);
}

/** Few values and short periods make ties and near ties, which is where the rule is easy to get wrong. */
const contentArbitrary: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.tuple(fc.nat(6000), fc.integer()).map(([bytes, seed]) => pseudoRandom(bytes, seed)),
  fc.tuple(fc.nat(6000), fc.integer()).map(([bytes, seed]) => pseudoRandom(bytes, seed).map((byte) => byte & 1)),
  fc
    .tuple(fc.nat(6000), fc.integer({ min: 1, max: 700 }), fc.integer())
    .map(([bytes, period, seed]) => periodic(pseudoRandom(period, seed), bytes)),
  fc
    .tuple(fc.nat(3000), fc.integer({ min: 1, max: 300 }), fc.nat(3000), fc.integer())
    .map(([head, period, tail, seed]) =>
      Buffer.concat([
        pseudoRandom(head, seed),
        periodic(pseudoRandom(period, seed), 3000),
        pseudoRandom(tail, seed + 1),
      ]),
    ),
);
const horizonArbitrary = fc.integer({ min: 1, max: 6 }).map((steps) => steps * 64);

test('MULTIPLIERS are what their recipe gives', () => {
  const digest = hash('sha256', 'native-free-rdc lm16/1', 'buffer');
  assert.deepEqual(
    MULTIPLIERS,
    [0, 1, 2, 3, 4].map((index) => digest.readUInt16LE(index * 2) | 1),
  );
});

describe('golden vectors: other cuts are another format', () => {
  for (const [name, bytes, horizon, count, first, digest] of [
    ['pseudo-random bytes', pseudoRandom(1 << 20, 1), 1024, 514, [1662, 4160, 6047], '089f7a5050042b80'],
    ['text', textLike(1 << 20, 1), 1024, 533, [2156, 3639, 4781], 'bb1b7c6e916ee3b8'],
    ['zeros', new Uint8Array(100_000), 1024, 0, [], 'e3b0c44298fc1c14'],
    [
      'a period of 1500 bytes',
      periodic(pseudoRandom(1500, 2), 100_000),
      512,
      133,
      [695, 1229, 2195],
      '66e021d57ce7e247',
    ],
  ] as const) {
    test(`the kernel and the rule cut ${name} where they always did`, () => {
      for (const find of [kernel, localMaxima]) {
        const cuts = find(wholeFile(bytes), horizon);
        const golden = { count: cuts.length, first: cuts.slice(0, 3), digest: sha256Hex(Buffer.from(cuts.join())) };
        assert.deepEqual({ ...golden, digest: golden.digest.slice(0, 16) }, { count, first, digest });
      }
    });
  }
});

describe('the kernel and the rule', () => {
  test('cut where the definition says', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    fc.assert(
      fc.property(contentArbitrary, horizonArbitrary, (content, horizon) => {
        const bytes = content.subarray(0, 2500);
        const wanted = cutsByDefinition(bytes, horizon);
        assert.deepEqual(localMaxima(wholeFile(bytes), horizon), wanted);
        assert.deepEqual(kernel(wholeFile(bytes), horizon), wanted);
      }),
      { seed: testSeed, numRuns: 60 },
    );
  });

  test('agree on arbitrary content, and on every part of a file as on the whole', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    fc.assert(
      fc.property(
        contentArbitrary,
        horizonArbitrary,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (bytes, horizon, one, other) => {
          const whole = localMaxima(wholeFile(bytes), horizon);
          assert.deepEqual(kernel(wholeFile(bytes), horizon), whole);
          const [start, end] = [one, other].map((place) => Math.round(place * bytes.length)).sort((a, b) => a - b);
          const startByte = start as number;
          const endByte = end as number;
          const { before, after } = contextBytes(horizon);
          const from = Math.max(0, startByte - before);
          const to = Math.min(bytes.length, endByte + after);
          const window: CutWindow = {
            bytes: bytes.subarray(from, to),
            startByte: startByte - from,
            endByte: endByte - from,
            isFileStart: from === 0,
            isFileEnd: to === bytes.length,
          };
          const wanted = whole.filter((cut) => cut > startByte && cut <= endByte).map((cut) => cut - from);
          assert.deepEqual(localMaxima(window, horizon), wanted);
          assert.deepEqual(kernel(window, horizon), wanted);
        },
      ),
      { seed: testSeed, numRuns: 400 },
    );
  });

  test('agree beyond the kernel window, at every horizon there is', () => {
    const bytes = Buffer.concat([pseudoRandom(300_000, 3), new Uint8Array(50_000), textLike(400_001, 3)]);
    for (const horizon of [64, 128, 1024, 2048, 16_384, 65_536]) {
      const cuts = kernel(wholeFile(bytes), horizon);
      assert.deepEqual(cuts, localMaxima(wholeFile(bytes), horizon));
      assert.ok(cuts.length > bytes.length / horizon / 4);
    }
  });

  test('need their context', () => {
    const window: CutWindow = {
      bytes: new Uint8Array(2000),
      startByte: 159,
      endByte: 1872,
      isFileStart: false,
      isFileEnd: false,
    };
    for (const find of [kernel, localMaxima]) {
      find(window, 128);
      assert.throws(() => find({ ...window, startByte: 158 }, 128), RangeError);
      assert.throws(() => find({ ...window, endByte: 1873 }, 128), RangeError);
      assert.throws(() => find({ ...window, startByte: 1873, isFileEnd: true }, 128), RangeError);
      find({ ...window, startByte: 0, isFileStart: true }, 128);
      find({ ...window, endByte: 2000, isFileEnd: true }, 128);
    }
  });

  test('find nothing in nothing, in one byte, or in fewer bytes than a horizon', () => {
    for (const find of [kernel, localMaxima]) {
      for (const bytes of [0, 1, 63, 64]) assert.deepEqual(find(wholeFile(pseudoRandom(bytes, 4)), 64), []);
    }
  });
});

test('makeKernel() makes none without WebAssembly or its SIMD, so that the rule stands in', () => {
  const property = Object.getOwnPropertyDescriptor(globalThis, 'WebAssembly');
  assert.ok(property);
  try {
    Reflect.deleteProperty(globalThis, 'WebAssembly');
    assert.equal(makeKernel(), undefined);
  } finally {
    Object.defineProperty(globalThis, 'WebAssembly', property);
  }
  assert.ok(makeKernel());
});

test('the kernel takes no more than 3 times as long for the worst of contents as for random bytes', (t) => {
  const bytes = 1 << 20;
  const random = randomIntegers(5);
  const contents: readonly (readonly [string, Uint8Array])[] = [
    ['zeros', new Uint8Array(bytes)],
    ['one byte value', new Uint8Array(bytes).fill(0xa5)],
    ['a period of 16 bytes', periodic(pseudoRandom(16, 6), bytes)],
    ['a period of a horizon and a byte', periodic(pseudoRandom(1025, 7), bytes)],
    ['a period of a horizon and a block', periodic(pseudoRandom(1088, 8), bytes)],
    ['all pairs of bytes', pairsOf(256, bytes)],
    ['two byte values', Uint8Array.from({ length: bytes }, () => random(2))],
  ];
  const secondsOf = (content: Uint8Array): number => {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 12; round++) {
      const before = process.cpuUsage();
      for (let turn = 0; turn < 8; turn++) kernel(wholeFile(content), 1024);
      const { user, system } = process.cpuUsage(before);
      best = Math.min(best, (user + system) / 1e6);
    }
    return best / 8;
  };
  const usual = secondsOf(pseudoRandom(bytes, 9));
  t.diagnostic(`random bytes: ${(bytes / usual / 1e9).toFixed(2)} GB/s of CPU time`);
  for (const [name, content] of contents) {
    const ratio = secondsOf(content) / usual;
    t.diagnostic(`${name}: ${ratio.toFixed(2)} times that`);
    assert.ok(ratio < 3, `${name} takes ${ratio.toFixed(2)} times as long`);
  }
});
