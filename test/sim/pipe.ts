/** Bytes that arrived and wait to be read: the receiving end of a body, with room for a window of them. */
import { type Life, never } from './life.ts';

/** About what Linux and Node together hold for a connection nobody reads. */
const WINDOW_BYTES = 256 * 1024;

export class Pipe implements AsyncIterable<Uint8Array> {
  /** When the reader began to wait; undefined while it does not. */
  waitingSinceMs: number | undefined;
  readonly #life: Life;
  readonly #onLeave: () => void;
  readonly #chunks: Uint8Array[] = [];
  #queuedBytes = 0;
  /** On their way here. */
  #expectedBytes = 0;
  #isEnded = false;
  #isIterated = false;
  #failure: { readonly error: unknown } | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeSender: (() => void) | undefined;

  /** `life` is the reader's; `onLeave` is called when it leaves before the end. */
  constructor(life: Life, onLeave: () => void) {
    this.#life = life;
    this.#onLeave = onLeave;
  }

  /** `bytes` more are under way (or, when negative, arrived), and count against the window. */
  expect(bytes: number): void {
    this.#expectedBytes += bytes;
  }

  push(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    this.#chunks.push(chunk);
    this.#queuedBytes += chunk.length;
    this.#wakeReader?.();
  }

  end(): void {
    this.#isEnded = true;
    this.#wakeReader?.();
  }

  /** What arrived before is still read first, unless `isDropping`. Nothing happens after the end. */
  fail(error: unknown, isDropping = false): void {
    if ((this.#isEnded && this.#chunks.length === 0) || this.#failure !== undefined) return;
    if (this.#isEnded && !isDropping) return;
    this.#failure = { error };
    if (isDropping) this.#chunks.length = 0;
    this.#wakeReader?.();
    this.#wakeSender?.();
  }

  /** Resolves when there is room for more, or when nobody will read more. */
  room(): Promise<void> {
    if (this.#queuedBytes + this.#expectedBytes < WINDOW_BYTES || this.#failure !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wakeSender = resolve;
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    if (this.#isIterated) throw new TypeError('Cannot read a body twice');
    this.#isIterated = true;
    return {
      next: () => (this.#life.isOver ? never() : this.#next()),
      return: async () => {
        if (this.#life.isOver) return never();
        this.#onLeave();
        return { done: true, value: undefined };
      },
    };
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#queuedBytes -= chunk.length;
        this.#wakeSender?.();
        return { done: false, value: chunk };
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#isEnded) return { done: true, value: undefined };
      this.waitingSinceMs = this.#life.simulation.nowMs;
      await new Promise<void>((resolve) => {
        this.#wakeReader = () => {
          if (!this.#life.isOver) resolve();
        };
      });
      this.waitingSinceMs = undefined;
    }
  }
}
