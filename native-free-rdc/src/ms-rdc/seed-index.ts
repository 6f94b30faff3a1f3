/**
 * Finds the chunk of one seed that has a given MD4 and length.
 *
 * Guarantees constant work per insertion and search, whatever the signatures say: at most `PROBES_MAX` slots are looked
 * at. A chunk that cannot be placed is forgotten, which costs bytes and never correctness. Of equal chunks the first is
 * remembered; the others are still found where they continue a run.
 */
import { PROBES_MAX } from '../limits.ts';
import { MD4_BYTES } from './md4.ts';
import type { MsRdcSignature } from './signature-file.ts';

/** Open addressing with linear probing, at most half full. 8 to 16 bytes per chunk for the slots, 8 for the starts. */
export class SeedIndex {
  readonly #seed: MsRdcSignature;
  /** Start of each chunk in the seed, in bytes. */
  readonly #starts: Float64Array;
  /** Chunk + 1, or 0 for an empty slot. */
  readonly #slots: Int32Array;
  readonly #mask: number;
  #probes = 0;

  constructor(seed: MsRdcSignature) {
    this.#seed = seed;
    this.#starts = new Float64Array(seed.chunkCount);
    let slotCount = 16;
    while (slotCount < seed.chunkCount * 2) slotCount *= 2;
    this.#slots = new Int32Array(slotCount);
    this.#mask = slotCount - 1;
    let start = 0;
    for (let chunk = 0; chunk < seed.chunkCount; chunk++) {
      this.#starts[chunk] = start;
      start += seed.lengths[chunk] as number;
      this.#insert(chunk);
    }
  }

  /** Slots looked at so far, insertions included: the unit in which tests bound the work. */
  get probes(): number {
    return this.#probes;
  }

  /** Where `chunk` starts in the seed, in bytes. */
  startOf(chunk: number): number {
    return this.#starts[chunk] as number;
  }

  /** A chunk of the seed equal to `chunk` of `source`, or -1. */
  find(source: MsRdcSignature, chunk: number): number {
    let slot = firstWord(source, chunk) & this.#mask;
    for (let probe = 0; probe < PROBES_MAX; probe++, slot = (slot + 1) & this.#mask) {
      this.#probes++;
      const candidate = (this.#slots[slot] as number) - 1;
      if (candidate === -1) return -1;
      if (this.isEqual(candidate, source, chunk)) return candidate;
    }
    return -1;
  }

  /** Whether the seed has a chunk number `candidate`, and it is equal to `chunk` of `source` by MD4 and length. */
  isEqual(candidate: number, source: MsRdcSignature, chunk: number): boolean {
    const seed = this.#seed;
    if (seed.lengths[candidate] !== source.lengths[chunk]) return false;
    for (let byte = 0; byte < MD4_BYTES; byte++) {
      if (seed.hashes[candidate * MD4_BYTES + byte] !== source.hashes[chunk * MD4_BYTES + byte]) return false;
    }
    return true;
  }

  #insert(chunk: number): void {
    let slot = firstWord(this.#seed, chunk) & this.#mask;
    for (let probe = 0; probe < PROBES_MAX; probe++, slot = (slot + 1) & this.#mask) {
      this.#probes++;
      const other = (this.#slots[slot] as number) - 1;
      if (other === -1) {
        this.#slots[slot] = chunk + 1;
        return;
      }
      if (this.isEqual(other, this.#seed, chunk)) return;
    }
  }
}

/** The first 32 bits of a chunk's MD4. */
function firstWord({ hashes }: MsRdcSignature, chunk: number): number {
  const at = chunk * MD4_BYTES;
  return (
    (hashes[at] as number) |
    ((hashes[at + 1] as number) << 8) |
    ((hashes[at + 2] as number) << 16) |
    ((hashes[at + 3] as number) << 24)
  );
}
