/**
 * Content-defined chunks of a stream: cut points that depend on nearby content, so that an insertion moves them along.
 *
 * Guarantees that the chunks of a stream are a function of its bytes and the parameters alone, however it is divided
 * into pieces, and that behind an edit they are the same again from the first cut on that is found more than a horizon
 * behind it. Holds a bounded stretch of the stream: one greatest chunk, two horizons and 256 KiB, less for less. The
 * rule is in local-maximum.ts.
 */
import { contentCuts } from './chunk-kernel.ts';
import { type ChunkParameters, chunkParametersFault } from './chunk-parameters.ts';
import { contextBytes } from './local-maximum.ts';

/** Bytes taken in before cuts are looked for again: much more than the context that is then looked at once more. */
const STEP_BYTES = 256 * 1024;

/** Most streams are short: the buffer begins with this and grows. */
const BUFFER_BYTES_FIRST = 16 * 1024;

/**
 * Divides one stream into chunks. Feed it, take the chunks there are, and so on; then end it and take the rest.
 *
 * ```ts
 * const chunker = new Chunker(chunkParametersFor(bytes.length));
 * for (const piece of pieces) {
 *   for (let taken = 0; taken < piece.length; ) {
 *     taken = chunker.feed(piece, taken);
 *     for (let chunk = chunker.next(); chunk !== undefined; chunk = chunker.next()) console.log(chunk.length);
 *   }
 * }
 * chunker.end();
 * for (let chunk = chunker.next(); chunk !== undefined; chunk = chunker.next()) console.log(chunk.length);
 * ```
 */
export class Chunker {
  readonly #parameters: ChunkParameters;
  readonly #context: { readonly before: number; readonly after: number };
  readonly #bufferBytesMax: number;
  #buffer: Uint8Array = new Uint8Array(BUFFER_BYTES_FIRST);
  #isFileStart = true;
  #isEnded = false;
  // Positions in the buffer.
  #filled = 0;
  #chunkStart = 0;
  /** All cuts up to here are known: they are `#cuts`, from `#cutIndex` on. */
  #examined = 0;
  #cuts: readonly number[] = [];
  #cutIndex = 0;

  /** Throws `RangeError` for parameters outside their ranges. */
  constructor(parameters: ChunkParameters) {
    const fault = chunkParametersFault(parameters);
    if (fault !== undefined) throw new RangeError(`Cannot cut chunks: ${fault}`);
    this.#parameters = parameters;
    this.#context = contextBytes(parameters.horizonBytes);
    const keptBytesMax = Math.max(parameters.chunkBytesMax, this.#context.before);
    this.#bufferBytesMax = keptBytesMax + this.#context.after + STEP_BYTES;
  }

  /**
   * Copies bytes of `piece` from `startByte` on, the continuation of the stream, and returns the position up to which:
   * its end, or as far as there was room. Throws `RangeError` if there is none because chunks wait to be taken, or
   * after `end`.
   */
  feed(piece: Uint8Array, startByte = 0): number {
    if (this.#isEnded) throw new RangeError('Cannot feed the chunker: it was ended');
    if (this.#filled === this.#buffer.length) this.#makeRoom(piece.length - startByte);
    const endByte = Math.min(piece.length, startByte + this.#buffer.length - this.#filled);
    this.#buffer.set(piece.subarray(startByte, endByte), this.#filled);
    this.#filled += endByte - startByte;
    if (this.#filled === this.#bufferBytesMax) this.#examine(this.#filled - this.#context.after);
    return endByte;
  }

  /** Says that the stream is complete. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#examine(this.#filled);
  }

  /**
   * The next chunk: a view, valid until the next `feed`. Undefined if more of the stream is needed to tell, or, after
   * `end`, if there is none.
   */
  next(): Uint8Array | undefined {
    const forcedCut = this.#chunkStart + this.#parameters.chunkBytesMax;
    const cut = this.#cuts[this.#cutIndex];
    if (cut !== undefined && cut <= forcedCut) {
      this.#cutIndex++;
      return this.#chunkUpTo(cut);
    }
    if (forcedCut <= this.#examined) return this.#chunkUpTo(forcedCut);
    return this.#isEnded && this.#chunkStart < this.#filled ? this.#chunkUpTo(this.#filled) : undefined;
  }

  #chunkUpTo(cut: number): Uint8Array {
    const chunk = this.#buffer.subarray(this.#chunkStart, cut);
    this.#chunkStart = cut;
    return chunk;
  }

  /** Finds the cuts up to `endByte`, which has its context. */
  #examine(endByte: number): void {
    const cuts = contentCuts(
      {
        bytes: this.#buffer.subarray(0, this.#filled),
        startByte: this.#examined,
        endByte,
        isFileStart: this.#isFileStart,
        isFileEnd: this.#isEnded,
      },
      this.#parameters.horizonBytes,
    );
    this.#cuts = this.#cutIndex === this.#cuts.length ? cuts : [...this.#cuts.slice(this.#cutIndex), ...cuts];
    this.#cutIndex = 0;
    this.#examined = endByte;
  }

  /** Grows the buffer, or lets go of what is neither of the current chunk nor of the context of the next cuts. */
  #makeRoom(bytesWanted: number): void {
    if (this.#buffer.length < this.#bufferBytesMax) {
      const bytes = Math.max(this.#buffer.length * 4, this.#filled + bytesWanted);
      const grown = new Uint8Array(Math.min(this.#bufferBytesMax, bytes));
      grown.set(this.#buffer);
      this.#buffer = grown;
      return;
    }
    const isWaiting =
      this.#cutIndex < this.#cuts.length || this.#chunkStart + this.#parameters.chunkBytesMax <= this.#examined;
    if (isWaiting) throw new RangeError('Cannot feed the chunker: take the chunks that wait first');
    const dropped = Math.max(0, Math.min(this.#chunkStart, this.#examined - this.#context.before));
    this.#buffer.copyWithin(0, dropped, this.#filled);
    this.#filled -= dropped;
    this.#chunkStart -= dropped;
    this.#examined -= dropped;
    if (dropped > 0) this.#isFileStart = false;
  }
}
