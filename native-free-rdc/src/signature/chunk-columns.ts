/** The two columns of a signature while they grow: the length and the keyed hash of each chunk. */
import type { ChunkHash } from '../chunk/chunk-hash.ts';
import { type ChunkParameters, chunkCountMaxOf } from '../chunk/chunk-parameters.ts';

/** Columns of equal length, in the order of the file. */
export interface Chunks {
  readonly chunkLengths: Uint32Array;
  readonly chunkHashes: BigUint64Array;
}

/** Room for ordinary content is made at once, room for a hostile one as it comes; never for more than can be. */
export class ChunkColumns {
  readonly #hash: ChunkHash;
  readonly #countMax: number;
  #count = 0;
  #lengths: Uint32Array;
  #hashes: BigUint64Array;

  /** For the chunks that end in `bytes` consecutive bytes of a file. */
  constructor(hash: ChunkHash, bytes: number, parameters: ChunkParameters) {
    this.#hash = hash;
    // One cut of either kind more than in a file of as many bytes: the chunk before them may end at once.
    this.#countMax = chunkCountMaxOf(bytes, parameters) + 2;
    const expected = Math.ceil((bytes / (2 * parameters.horizonBytes)) * 1.125) + 16;
    const room = Math.min(expected, this.#countMax);
    this.#lengths = new Uint32Array(room);
    this.#hashes = new BigUint64Array(room);
  }

  /** Adds a chunk; keeps no reference to it. */
  push(chunk: Uint8Array): void {
    this.#makeRoom(1);
    this.#lengths[this.#count] = chunk.length;
    this.#hashes[this.#count] = this.#hash(chunk);
    this.#count++;
  }

  /** Adds chunks hashed elsewhere. */
  append(chunks: Chunks): void {
    this.#makeRoom(chunks.chunkLengths.length);
    this.#lengths.set(chunks.chunkLengths, this.#count);
    this.#hashes.set(chunks.chunkHashes, this.#count);
    this.#count += chunks.chunkLengths.length;
  }

  /** Copies of the columns, each in a buffer of its own. */
  finish(): Chunks {
    return {
      chunkLengths: this.#lengths.slice(0, this.#count),
      chunkHashes: this.#hashes.slice(0, this.#count),
    };
  }

  #makeRoom(count: number): void {
    const wanted = this.#count + count;
    if (wanted <= this.#lengths.length) return;
    // Cannot happen: where cuts may fall, and so the most there can be, does not depend on the bytes.
    if (wanted > this.#countMax) throw new RangeError(`Cannot sign: more than ${this.#countMax} chunks`);
    const room = Math.min(Math.max(wanted, this.#lengths.length * 2), this.#countMax);
    const lengths = new Uint32Array(room);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
    const hashes = new BigUint64Array(room);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
  }
}
