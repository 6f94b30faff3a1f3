/**
 * Bytes that arrive piece by piece, and a reader that takes exact amounts of them.
 *
 * Nothing here mutates a piece or keeps it longer than the reader needs it; pieces of any size are welcome.
 */

import { copyBytes } from './copy-bytes.ts';

/** A stream of bytes: a Node readable, a generator, or an array of buffers. Empty pieces are allowed. */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Takes exact amounts from a `ByteSource`. Holds one piece of the source and what one `take` asks for; close it. */
export class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #taken = 0;
  #isEnded = false;

  constructor(source: ByteSource) {
    this.#pieces = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /**
   * The next `bytes` bytes, or undefined if the source ends before them. The result may be a view of a piece of the
   * source: read it before the next call. The caller has checked `bytes` against a limit.
   */
  async take(bytes: number): Promise<Uint8Array | undefined> {
    if (bytes <= this.#piece.length - this.#taken) return this.#view(bytes);
    const gathered = new Uint8Array(bytes);
    let filled = 0;
    while (filled < bytes) {
      if (this.#taken === this.#piece.length && !(await this.#advance())) return undefined;
      const part = this.#view(Math.min(bytes - filled, this.#piece.length - this.#taken));
      gathered.set(part, filled);
      filled += part.length;
    }
    return gathered;
  }

  /** Fills `into` with the next bytes of the source; returns how many, fewer only at its end. */
  async fill(into: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      if (this.#taken === this.#piece.length && !(await this.#advance())) break;
      const part = this.#view(Math.min(into.length - filled, this.#piece.length - this.#taken));
      copyBytes(part, into, filled);
      filled += part.length;
    }
    return filled;
  }

  /** Whether the source holds nothing more. Waits for its end if need be. */
  async isAtEnd(): Promise<boolean> {
    return this.#taken === this.#piece.length && !(await this.#advance());
  }

  /** Tells the source that no more will be read, as `for await` does on leaving early. */
  async close(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.#pieces.return?.();
  }

  #view(bytes: number): Uint8Array {
    const start = this.#taken;
    this.#taken += bytes;
    return this.#piece.subarray(start, this.#taken);
  }

  /** Moves on to the next piece that is not empty; false at the end. */
  async #advance(): Promise<boolean> {
    while (!this.#isEnded) {
      const step = await this.#pieces.next();
      if (step.done) {
        this.#isEnded = true;
      } else if (step.value.length > 0) {
        this.#piece = step.value;
        this.#taken = 0;
        return true;
      }
    }
    return false;
  }
}
