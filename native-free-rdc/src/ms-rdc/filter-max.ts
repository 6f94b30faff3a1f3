/**
 * FilterMax, the cuts of [MS-RDC] 3.1.5.1.2: a chunk starts where the rolling hash has a local maximum.
 *
 * Position p is one if p > horizon and its hash exceeds that of every other position from p − horizon to p + horizon,
 * as far as the file goes; and a chunk starts 65,535 bytes after the last one started if none did before. The starts
 * depend on the file and the parameters alone, however it is divided into buffers. Linear time whatever the content;
 * memory of three horizons of hashes.
 *
 * How: positions are taken in blocks of one horizon. Two positions of one block are within each other's horizon, so
 * only the block's maximum, if nothing equals it, can be a local one. It is compared with the maxima of the blocks
 * before and after, and only if one of those is not less, with the part of that block that is within its horizon.
 */
import { H3 } from './h3.ts';
import { type MsRdcParameters, msRdcParametersFault } from './levels.ts';

/** Longest chunk: its length is a 16-bit number. */
export const MS_RDC_CHUNK_BYTES_MAX = 65_535;

/** Larger buffers are looked at in parts, so that every position in one is an Int32. */
const PART_BYTES = 2 ** 30;

/** Every hash, as a signed number, is at least this. */
const HASH_MIN = -0x80000000;

/**
 * Finds where the chunks of one stream start.
 *
 * ```ts
 * const chunker = new MsRdcChunker({ windowBytes: 48, horizonBytes: 1024 });
 * const starts = [0, ...chunker.push(bytes), ...chunker.finish()];
 * ```
 */
export class MsRdcChunker {
  readonly #horizonBytes: number;
  readonly #h3: H3;
  /** The blocks before, at and after the one to be decided; the last is being filled. */
  #before: Block;
  #decided: Block;
  #after: Block;
  /** Position of the first byte of `#after`. A multiple of the horizon. */
  #afterStart = 0;
  /** Where the latest chunk started. */
  #chunkStart = 0;

  /** Throws `RangeError` for parameters outside their ranges. */
  constructor(parameters: MsRdcParameters) {
    const fault = msRdcParametersFault(parameters);
    if (fault !== undefined) throw new RangeError(`Cannot cut chunks: ${fault}`);
    this.#horizonBytes = parameters.horizonBytes;
    this.#h3 = new H3(parameters.windowBytes);
    this.#before = new Block(parameters.horizonBytes);
    this.#decided = new Block(parameters.horizonBytes);
    this.#after = new Block(parameters.horizonBytes);
  }

  /**
   * Continues the stream by `bytes`, of which nothing is kept. Returns the positions in the stream, ascending, that are
   * now known to start a chunk; position 0, which always does, is never told. They lie up to two horizons back.
   */
  push(bytes: Uint8Array): number[] {
    const starts: number[] = [];
    for (let at = 0; at < bytes.length; at += PART_BYTES) this.#take(bytes.subarray(at, at + PART_BYTES), starts);
    return starts;
  }

  /** The remaining starts, at the end of the stream. The chunker is of no use afterwards. */
  finish(): number[] {
    const starts: number[] = [];
    this.#moveOn(starts);
    this.#decide(starts);
    return starts;
  }

  #take(part: Uint8Array, starts: number[]): void {
    for (let at = 0; at < part.length; ) {
      const after = this.#after;
      const count = Math.min(this.#horizonBytes - after.count, part.length - at);
      this.#h3.roll(part, at, at + count, after.values, after.count);
      after.extend(count);
      at += count;
      if (after.count === this.#horizonBytes) this.#moveOn(starts);
    }
  }

  /** Decides a block whose successor is complete, or is the last, and makes room for another. */
  #moveOn(starts: number[]): void {
    this.#decide(starts);
    const free = this.#before;
    this.#before = this.#decided;
    this.#decided = this.#after;
    this.#after = free;
    free.clear();
    this.#afterStart += this.#horizonBytes;
  }

  #decide(starts: number[]): void {
    const { max, maxAt, count } = this.#decided;
    const blockStart = this.#afterStart - this.#horizonBytes;
    const position = blockStart + maxAt;
    if (
      maxAt !== -1 &&
      position > this.#horizonBytes &&
      this.#before.isBelow(max, maxAt, this.#horizonBytes) &&
      this.#after.isBelow(max, 0, maxAt + 1)
    ) {
      this.#forceStarts(starts, position);
      this.#chunkStart = position;
      starts.push(position);
    }
    this.#forceStarts(starts, blockStart + count);
  }

  /** Starts chunks before `end` where the one before them would become too long. */
  #forceStarts(starts: number[], end: number): void {
    while (this.#chunkStart + MS_RDC_CHUNK_BYTES_MAX < end) {
      this.#chunkStart += MS_RDC_CHUNK_BYTES_MAX;
      starts.push(this.#chunkStart);
    }
  }
}

/** The hashes of up to one horizon of positions. */
class Block {
  readonly values: Int32Array;
  /** How many positions, from the first on, are known. */
  count = 0;
  /** Largest of them. */
  max = HASH_MIN;
  /** Index of the largest, or -1 if two are equal. */
  maxAt = -1;

  constructor(horizonBytes: number) {
    this.values = new Int32Array(horizonBytes);
  }

  clear(): void {
    this.count = 0;
    this.max = HASH_MIN;
    this.maxAt = -1;
  }

  /** Takes note of values written from `count` on. */
  extend(count: number): void {
    const values = this.values;
    let max = this.max;
    let maxAt = this.maxAt;
    const end = this.count + count;
    for (let index = this.count; index < end; index = (index + 1) | 0) {
      const value = values[index] as number;
      if (value < max) continue;
      maxAt = value === max ? -1 : index;
      max = value;
    }
    this.count = end;
    this.max = max;
    this.maxAt = maxAt;
  }

  /** Whether all values known of `[start, end)` are less than `value`. */
  isBelow(value: number, start: number, end: number): boolean {
    if (this.max < value) return true;
    const values = this.values;
    const knownEnd = Math.min(end, this.count);
    for (let index = start; index < knownEnd; index++) if ((values[index] as number) >= value) return false;
    return true;
  }
}
