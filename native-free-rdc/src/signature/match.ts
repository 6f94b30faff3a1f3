/**
 * Finds, for a chunk of the target, a chunk of the basis with the same keyed hash and length.
 *
 * Guarantees constant work per insertion and search, whatever the signature says: at most `PROBES_MAX` slots are
 * looked at and at most `CANDIDATES_PER_HASH_MAX` chunks of one hash are remembered. A chunk that cannot be placed is
 * forgotten, which costs bytes and never correctness. Prefers the chunk that continues the running copy, then the one
 * nearest to where the copy would be now, since displacements near zero are the cheapest to write.
 */
import { CANDIDATES_PER_HASH_MAX, PROBES_MAX } from '../limits.ts';
import type { Signature } from './signature.ts';

/** Open addressing with linear probing, at most half full. 4 bytes per slot, 8 per chunk for the positions. */
export class MatchIndex {
  readonly #chunkCount: number;
  readonly #lengths: Uint32Array;
  /** Words 2i and 2i + 1 are the hash of chunk i: two Int32 comparisons instead of a BigInt one. */
  readonly #hashWords: Int32Array;
  /** Start of chunk i in the basis, in bytes. */
  readonly #starts: Float64Array;
  /** Chunk index + 1, or 0 for an empty slot. */
  readonly #slots: Int32Array;
  readonly #mask: number;
  readonly #wanted = new BigInt64Array(1);
  readonly #wantedWords = new Int32Array(this.#wanted.buffer);
  /** The chunk found last, or -1. */
  #latest = -1;
  #probes = 0;

  constructor(signature: Signature) {
    const { chunkCount, chunkLengths, chunkHashes } = signature;
    this.#chunkCount = chunkCount;
    this.#lengths = chunkLengths;
    this.#hashWords = new Int32Array(chunkHashes.buffer, chunkHashes.byteOffset, chunkCount * 2);
    this.#starts = new Float64Array(chunkCount);
    let slotCount = 16;
    while (slotCount < chunkCount * 2) slotCount *= 2;
    this.#slots = new Int32Array(slotCount);
    this.#mask = slotCount - 1;
    let start = 0;
    for (let index = 0; index < chunkCount; index++) {
      this.#starts[index] = start;
      start += chunkLengths[index] as number;
      this.#insert(index);
    }
  }

  /** Slots looked at so far, insertions included: the unit in which tests bound the work. */
  get probes(): number {
    return this.#probes;
  }

  /** Where chunk `index` starts in the basis, in bytes. `index` is one that `find` returned. */
  startOf(index: number): number {
    return this.#starts[index] as number;
  }

  /**
   * The index of a chunk with this hash and length, or -1. `nearByte` is the basis position at which the running copy
   * would continue; among several chunks the nearest to it is taken.
   */
  find(hash: bigint, length: number, nearByte: number): number {
    this.#wanted[0] = hash;
    const low = this.#wantedWords[0] as number;
    const high = this.#wantedWords[1] as number;
    const following = this.#latest + 1;
    if (following > 0 && following < this.#chunkCount && this.#isChunk(following, low, high, length)) {
      this.#probes++;
      this.#latest = following;
      return following;
    }
    let best = -1;
    let bestDistance = Number.POSITIVE_INFINITY;
    for (let probe = 0, slot = low & this.#mask; probe < PROBES_MAX; probe++, slot = (slot + 1) & this.#mask) {
      this.#probes++;
      const index = (this.#slots[slot] as number) - 1;
      if (index === -1) break;
      if (!this.#isChunk(index, low, high, length)) continue;
      const distance = Math.abs((this.#starts[index] as number) - nearByte);
      if (distance < bestDistance) {
        best = index;
        bestDistance = distance;
      }
    }
    if (best !== -1) this.#latest = best;
    return best;
  }

  #insert(index: number): void {
    const low = this.#hashWords[index * 2] as number;
    const high = this.#hashWords[index * 2 + 1] as number;
    let candidates = 0;
    for (let probe = 0, slot = low & this.#mask; probe < PROBES_MAX; probe++, slot = (slot + 1) & this.#mask) {
      this.#probes++;
      const other = (this.#slots[slot] as number) - 1;
      if (other === -1) {
        this.#slots[slot] = index + 1;
        return;
      }
      if (this.#hashWords[other * 2] === low && this.#hashWords[other * 2 + 1] === high) {
        candidates++;
        if (candidates === CANDIDATES_PER_HASH_MAX) return;
      }
    }
  }

  #isChunk(index: number, low: number, high: number, length: number): boolean {
    return (
      this.#hashWords[index * 2] === low && this.#hashWords[index * 2 + 1] === high && this.#lengths[index] === length
    );
  }
}
