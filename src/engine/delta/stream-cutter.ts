/** Cuts a stream of bytes into parts of known lengths, each a stream again. */
import { ReplicationError } from '../../errors.ts';

/** The parts are to be read one after another, each to its end. Dispose it, or the source is left open. */
export class StreamCutter implements AsyncDisposable {
  readonly #source: AsyncIterator<Uint8Array>;
  #pending: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next `bytes` bytes. Throws `delta-invalid` if the source ends before. */
  async *next(bytes: number): AsyncGenerator<Uint8Array> {
    for (let left = bytes; left > 0; ) {
      if (!(await this.#refill()))
        throw new ReplicationError('delta-invalid', `Cannot apply a delta: ${left} bytes of a content are missing`);
      const part = this.#pending.subarray(0, left);
      this.#pending = this.#pending.subarray(part.byteLength);
      left -= part.byteLength;
      yield part;
    }
  }

  /** Reads to the end of the source, so that its checks are made. Throws `delta-invalid` if more bytes come. */
  async finish(): Promise<void> {
    if (await this.#refill())
      throw new ReplicationError('delta-invalid', 'Cannot apply a delta: bytes follow its last content');
  }

  async #refill(): Promise<boolean> {
    while (this.#pending.byteLength === 0) {
      const step = await this.#source.next();
      if (step.done === true) return false;
      this.#pending = step.value;
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return?.();
  }
}
