/**
 * Chance that repeats: xoshiro128** 1.1 (Blackman and Vigna, https://prng.di.unimi.it/xoshiro128starstar.c), its state
 * taken from the SHA-256 of a seed text.
 *
 * Guarantees: equal seeds give equal streams on every machine; `fork` depends on the seed and the label only, not on
 * what was drawn before, so a new draw in one twin does not disturb the others. Not fit for secrets.
 */
import { createHash } from 'node:crypto';

export class Seeded {
  readonly seed: string;
  readonly #state: Uint32Array;

  constructor(seed: string | number) {
    this.seed = String(seed);
    const digest = createHash('sha256').update(this.seed).digest();
    this.#state = Uint32Array.from([0, 4, 8, 12], (offset) => digest.readUInt32LE(offset));
  }

  /** An independent stream named by `label`. */
  fork(label: string): Seeded {
    return new Seeded(`${this.seed}/${label}`);
  }

  /** 0 to 2^32 − 1. */
  word(): number {
    return nextWord(this.#state);
  }

  /** A multiple of 2^−32 in [0, 1). */
  fraction(): number {
    return this.word() / 2 ** 32;
  }

  /** A whole number in [start, end). The bias is below 2^−32 × (end − start), which no simulation can notice. */
  integer(start: number, end: number): number {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || end <= start) {
      throw new RangeError(`Cannot draw from [${start}, ${end}): expected a non-empty range of whole numbers`);
    }
    return start + Math.floor(this.fraction() * (end - start));
  }

  /** A number in [start, end), fractions allowed; `start` when the range is empty. */
  between(start: number, end: number): number {
    return start + this.fraction() * Math.max(0, end - start);
  }

  /** True with this probability. Draws nothing for 0 and 1, so that a switched-off fault costs no randomness. */
  chance(probability: number): boolean {
    if (probability <= 0) return false;
    return probability >= 1 || this.fraction() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    const index = this.integer(0, items.length);
    return items[index] as Item;
  }

  bytes(count: number): Uint8Array {
    const words = new Uint32Array(Math.ceil(count / 4));
    for (let index = 0; index < words.length; index++) words[index] = nextWord(this.#state);
    return new Uint8Array(words.buffer, 0, count);
  }
}

/** One step of the generator: the next word, and `state` moved on. */
export function nextWord(state: Uint32Array): number {
  // One by one: destructuring would go through an iterator, and every draw of a simulation comes by here.
  const a = state[0] ?? 0;
  const b = state[1] ?? 0;
  const c = state[2] ?? 0;
  const d = state[3] ?? 0;
  state[0] = a ^ d ^ b;
  state[1] = b ^ c ^ a;
  state[2] = c ^ a ^ (b << 9);
  state[3] = rotateLeft(d ^ b, 11);
  return Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
}

function rotateLeft(word: number, bitCount: number): number {
  return (word << bitCount) | (word >>> (32 - bitCount));
}
