/** Inputs for the tests, all derived from seeds, and ways to feed and collect bytes. */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import fc from 'fast-check';
import {
  applyDelta,
  type BasisReader,
  type ChunkParameters,
  createDelta,
  createSignature,
  RdcError,
  type RdcErrorCode,
  type Signature,
} from '../src/index.ts';

/** The smallest permitted chunks, so that small inputs have many. */
export const tinyChunks: ChunkParameters = { horizonBytes: 64, chunkBytesMax: 1024 };

export const salt: Uint8Array = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

/** Seed of the mutation tests; another one with RDC_TEST_SEED=n. Printed, and part of every failure's message. */
export const testSeed = Number(process.env.RDC_TEST_SEED ?? 20_261_121);

/** Xorshift32 (Marsaglia 2003): integers in [0, bound). */
export function randomIntegers(seed: number): (bound: number) => number {
  let state = seed | 0 || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

export function pseudoRandom(bytes: number, seed: number): Uint8Array {
  const random = randomIntegers(seed);
  return Uint8Array.from({ length: bytes }, () => random(256));
}

/** Words of a small vocabulary in lines, as source code or a log would have them. */
export function textLike(bytes: number, seed: number): Uint8Array {
  const random = randomIntegers(seed);
  const words = Array.from({ length: 97 }, () =>
    random(0x7fffffff)
      .toString(36)
      .slice(0, 1 + random(6)),
  );
  let text = '';
  while (text.length < bytes) text += `${words[random(words.length)]}${random(9) === 0 ? '\n' : ' '}`;
  return Buffer.from(text.slice(0, bytes), 'latin1');
}

export function* piecesOf(bytes: Uint8Array, pieceBytes: number): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += pieceBytes) yield bytes.subarray(start, start + pieceBytes);
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source));
}

/** A basis in memory that counts what is read of it. */
export class MemoryBasis implements BasisReader {
  readonly bytes: number;
  readonly #content: Uint8Array;
  readCount = 0;
  readBytes = 0;

  constructor(content: Uint8Array) {
    this.#content = content;
    this.bytes = content.length;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    assert.ok(
      Number.isSafeInteger(offset) && offset >= 0 && offset + into.length <= this.bytes,
      'reads within the basis',
    );
    into.set(this.#content.subarray(offset, offset + into.length));
    this.readCount++;
    this.readBytes += into.length;
    return into.length;
  }
}

export function sign(basis: Uint8Array, parameters?: ChunkParameters): Promise<Signature> {
  return createSignature([basis], { basisBytes: basis.length, salt, ...(parameters && { parameters }) });
}

/** Stores columns as they are: deltas that do not depend on the release of zstd. */
export function storeRaw(bytes: Uint8Array): Uint8Array {
  return bytes;
}

export async function deltaOf(
  basis: Uint8Array,
  target: Uint8Array,
  options: { parameters?: ChunkParameters; compress?: (bytes: Uint8Array) => Uint8Array } = {},
): Promise<Buffer> {
  const signature = await sign(basis, options.parameters);
  return collect(createDelta(signature, [target], options.compress ? { compress: options.compress } : {}));
}

export function apply(basis: Uint8Array, delta: Uint8Array): Promise<Buffer> {
  return collect(applyDelta(new MemoryBasis(basis), [delta]));
}

export function rejectsWith(promise: Promise<unknown>, code: RdcErrorCode): Promise<void> {
  return assert.rejects(promise, (error) => error instanceof RdcError && error.code === code);
}

export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/** One edit: at a place in [0, 1], remove some bytes, insert others. */
const edit = fc.record({
  place: fc.double({ min: 0, max: 1, noNaN: true }),
  removedBytes: fc.nat(700),
  inserted: fc.uint8Array({ maxLength: 300 }),
});

export type Edit = { readonly place: number; readonly removedBytes: number; readonly inserted: Uint8Array };

export function applyEdits(bytes: Uint8Array, edits: readonly Edit[]): Uint8Array {
  let edited = bytes;
  for (const { place, removedBytes, inserted } of edits) {
    const at = Math.floor(place * edited.length);
    edited = Buffer.concat([edited.subarray(0, at), inserted, edited.subarray(at + removedBytes)]);
  }
  return edited;
}

/** A basis of up to 12 KiB, random, repetitive or arbitrary. */
export const basisArbitrary: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.tuple(fc.nat(12_000), fc.integer()).map(([bytes, seed]) => pseudoRandom(bytes, seed)),
  fc.tuple(fc.nat(12_000), fc.integer()).map(([bytes, seed]) => textLike(bytes, seed)),
  fc
    .tuple(fc.nat(12_000), fc.uint8Array({ minLength: 1, maxLength: 40 }))
    .map(([bytes, period]) =>
      Uint8Array.from({ length: bytes }, (_, index) => period[index % period.length] as number),
    ),
  fc.uint8Array({ maxLength: 300 }),
);

/** A basis, and a target made from it by edits or unrelated to it. */
export const pairArbitrary: fc.Arbitrary<readonly [Uint8Array, Uint8Array]> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(basisArbitrary, fc.array(edit, { maxLength: 8 }))
      .map(([b, e]) => [b, applyEdits(b, e)] as const),
  },
  { weight: 1, arbitrary: fc.tuple(basisArbitrary, basisArbitrary) },
);

/** One mutation of `bytes`, of a kind that storage, networks or an attacker would make. */
export function mutate(bytes: Uint8Array, random: (bound: number) => number): Uint8Array {
  const mutated = Uint8Array.from(bytes);
  const at = random(bytes.length);
  const span = 1 + random(Math.min(40, bytes.length - at));
  switch (random(9)) {
    case 0:
      mutated[at] = (mutated[at] as number) ^ (1 << random(8));
      return mutated;
    case 1:
      mutated[at] = random(256);
      return mutated;
    case 2:
      mutated.fill(random(2) * 255, at, at + span);
      return mutated;
    case 3:
      return mutated.subarray(0, at);
    case 4:
      return Buffer.concat([mutated.subarray(0, at), mutated.subarray(at + span)]);
    case 5:
      return Buffer.concat([mutated.subarray(0, at + span), mutated.subarray(at)]);
    case 6:
      return Buffer.concat([mutated.subarray(0, at), pseudoRandom(span, random(1 << 30)), mutated.subarray(at)]);
    case 7:
      // A number where a number may be: all the fields are aligned to 4 bytes.
      new DataView(mutated.buffer).setUint32(
        Math.min(at & ~3, Math.max(0, mutated.length - 4)),
        [0, 1, 0x7fffffff, 0xffffffff, 0x400000, 0x400001][random(6)] as number,
        true,
      );
      return mutated;
    default:
      for (let count = 1 + random(4); count > 0; count--) mutated[random(mutated.length)] = random(256);
      return mutated;
  }
}
