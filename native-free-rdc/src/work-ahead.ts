/** Work on several blocks of a stream at once, in the order and with the memory of one. */

/** How much may be under way, and where its bytes lie. */
export interface WorkAhead {
  /** Blocks that may be under way at once: threads and one, say. 1: nothing runs ahead of the reader. */
  readonly aheadCount: number;
  /** Memory that other threads see without copying. Default: memory of this thread. */
  readonly allocate?: (bytes: number) => Uint8Array;
}

/** Results in the order of their inputs, at most `aheadCount` of them under way. */
export async function* inOrder<Input, Output>(
  inputs: AsyncIterable<Input> | Iterable<Input>,
  work: (input: Input) => Promise<Output>,
  aheadCount: number,
): AsyncGenerator<Output, void> {
  const underWay: Promise<Output>[] = [];
  try {
    for await (const input of inputs) {
      const result = work(input);
      // Its failure is told when its turn comes; until then nobody listens.
      result.catch(() => undefined);
      underWay.push(result);
      if (underWay.length >= aheadCount) yield await (underWay.shift() as Promise<Output>);
    }
    while (underWay.length > 0) yield await (underWay.shift() as Promise<Output>);
  } finally {
    // Left early or failed: nobody will ask for the rest any more.
    await Promise.allSettled(underWay);
  }
}

/**
 * Large buffers used again and again: garbage of this size is collected too late to keep memory small. Views of a
 * buffer given back stand for the whole of it.
 */
export class BufferPool {
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #free: Uint8Array[] = [];

  constructor(allocate: (bytes: number) => Uint8Array = (bytes) => new Uint8Array(bytes)) {
    this.#allocate = allocate;
  }

  /** A buffer of `bytes` bytes; what it holds is left over from earlier. */
  take(bytes: number): Uint8Array {
    const found = this.#free.findIndex((buffer) => buffer.length === bytes);
    return found === -1 ? this.#allocate(bytes) : (this.#free.splice(found, 1)[0] as Uint8Array);
  }

  give(view: Uint8Array): void {
    this.#free.push(new Uint8Array(view.buffer));
  }
}
