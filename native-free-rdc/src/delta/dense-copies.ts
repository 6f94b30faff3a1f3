/**
 * Copies that are corrected all over become literals: what a correction costs is more than what a byte does that zstd
 * may look at together with its neighbours, and that old bytes as a dictionary may foretell.
 */
import { VarintReader } from '../varint.ts';
import { OpList, type PlacedOps } from './placed-ops.ts';

/**
 * Of how much of a copy is decided together, and the part of it that may be corrected: what was smallest on the public
 * pairs, of 64 to 1024 bytes and 3/20 to a half. A third is as good as never, a sixth loses more than it gains.
 */
const PIECE_BYTES = 1024;
const DENSE_DIVISOR = 4;

/** The same target in fewer copies, and how many corrections they no longer need. `gaps` is a column of this library. */
export function withoutDenseCopies(
  { ops, windowStarts }: PlacedOps,
  gaps: Uint8Array,
): PlacedOps & { readonly correctionsLess: number } {
  const corrections = new CorrectedBytes(gaps);
  const sparse = new OpList();
  let correctionsLess = 0;
  ops.lengths.forEach((bytes, index) => {
    const start = ops.starts[index] as number;
    const windowStart = windowStarts[index] as number;
    if (start < 0) sparse.literal(bytes);
    for (let done = start < 0 ? bytes : 0; done < bytes; done += PIECE_BYTES) {
      const pieceBytes = Math.min(PIECE_BYTES, bytes - done);
      const count = corrections.countInNext(pieceBytes);
      if (count * DENSE_DIVISOR > pieceBytes) {
        sparse.literal(pieceBytes);
        correctionsLess += count;
      } else sparse.copy(pieceBytes, start + done, windowStart + done);
    }
  });
  return { ...sparse.placed(), correctionsLess };
}

/** Walks the copied bytes of a segment, in order. */
class CorrectedBytes {
  readonly #gaps: VarintReader;
  /** Counted in copied bytes: how far the walk is, and the next byte that is corrected. */
  #at = 0;
  #next = -1;

  constructor(gaps: Uint8Array) {
    this.#gaps = new VarintReader(gaps);
    this.#advance();
  }

  countInNext(bytes: number): number {
    this.#at += bytes;
    let count = 0;
    for (; this.#next < this.#at; this.#advance()) count++;
    return count;
  }

  #advance(): void {
    this.#next = this.#gaps.isAtEnd ? Number.POSITIVE_INFINITY : this.#next + 1 + this.#gaps.read();
  }
}
