/**
 * Virtual time: one line of timers for the whole cluster.
 *
 * Guarantees: time stands still while any promise chain can go on; then the earliest timer fires (ties in the order
 * they were set). Nothing depends on real time, so a run repeats exactly. This holds as long as no simulated code waits
 * for something real (a real file, a thread-pool call such as asynchronous zlib, an asynchronous WASM compilation):
 * such a wait would end at an unpredictable event.
 */

export interface Timer {
  readonly atMs: number;
  cancel(): void;
}

export interface RunOptions {
  /** Give up after this much virtual time. */
  readonly virtualMsMax: number;
}

interface Entry extends Timer {
  readonly sequence: number;
  fire: (() => void) | undefined;
}

/** The run could not reach what it was to reach. The message carries seed and last events. */
export class SimulationFailure extends Error {
  override readonly name = 'SimulationFailure';
}

export class Timeline {
  /** A binary heap, the earliest entry first. */
  readonly #heap: Entry[] = [];
  readonly #describe: () => string;
  #nowMs = 0;
  #sequence = 0;
  #isPumping = false;
  #isSelfDriven = false;
  #breach: Error | undefined;

  /** `describe` gives the seed and the last events, for messages. */
  constructor(describe: () => string) {
    this.#describe = describe;
  }

  /** Milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Calls `fire` once, `delayMs` (0 or more, finite) from now. It must not throw. */
  schedule(delayMs: number, fire: () => void): Timer {
    if (!(delayMs >= 0 && delayMs < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`Cannot set a timer: the delay is ${delayMs}, expected a finite number from 0`);
    }
    const entry: Entry = {
      atMs: this.#nowMs + delayMs,
      sequence: this.#sequence++,
      fire,
      cancel: () => {
        entry.fire = undefined;
      },
    };
    this.#push(entry);
    if (this.#isSelfDriven) this.#pump();
    return entry;
  }

  /**
   * Runs the cluster until `until()` holds; it is asked whenever everything has settled. Rejects with a
   * `SimulationFailure` when nothing is left to happen, when `virtualMsMax` went by, or when a twin saw its contract
   * broken.
   */
  async run(until: () => boolean, options: RunOptions): Promise<void> {
    const endMs = this.#nowMs + options.virtualMsMax;
    await this.#exclusively(async () => {
      for (;;) {
        await settled();
        this.#throwBreach();
        if (until()) return;
        const next = this.#earliest();
        if (next === undefined) throw this.#failure('Cannot go on: nothing is left to happen');
        if (next.atMs > endMs) {
          this.#nowMs = endMs;
          throw this.#failure(`Cannot reach the end: ${options.virtualMsMax} virtual ms went by`);
        }
        this.#fireEarliest(next);
      }
    });
  }

  /** Lets exactly this much virtual time go by, whatever happens in it. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await this.#exclusively(async () => {
      for (;;) {
        await settled();
        this.#throwBreach();
        const next = this.#earliest();
        if (next === undefined || next.atMs > endMs) break;
        this.#fireEarliest(next);
      }
      this.#nowMs = endMs;
    });
  }

  /** Runs until `promise` settles and settles like it. */
  async drive<Result>(promise: Promise<Result>, options: RunOptions = { virtualMsMax: 86_400_000 }): Promise<Result> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await this.run(() => isSettled, options);
    return promise;
  }

  /**
   * From now on time runs by itself whenever a timer is set, for suites that await world calls directly. Such a run
   * repeats only if the awaiting code waits for nothing real.
   */
  driveItself(): void {
    this.#isSelfDriven = true;
    this.#pump();
  }

  /** Records that code under test broke a contract of the world; the next step of `run` rejects with it. */
  reportBreach(message: string): void {
    this.#breach ??= this.#failure(message);
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    const step = async (): Promise<void> => {
      for (;;) {
        await settled();
        this.#throwBreach();
        const next = this.#earliest();
        if (next === undefined) {
          // In the same tick as the look at the heap: a timer set right after this starts a new pump.
          this.#isPumping = false;
          return;
        }
        this.#fireEarliest(next);
      }
    };
    void step();
  }

  async #exclusively(work: () => Promise<void>): Promise<void> {
    if (this.#isPumping) throw new TypeError('The simulation is already being run: await the other run first');
    this.#isPumping = true;
    try {
      await work();
    } finally {
      this.#isPumping = false;
    }
  }

  #throwBreach(): void {
    const breach = this.#breach;
    this.#breach = undefined;
    if (breach !== undefined) throw breach;
  }

  #failure(message: string): SimulationFailure {
    const real = process.getActiveResourcesInfo().filter((name) => !/^(TTY|Pipe|Immediate|Timeout)/.test(name));
    const hint =
      real.length === 0 ? '' : `\nreal things under way, which no simulation may wait for: ${real.join(' ')}`;
    return new SimulationFailure(`${message}\n${this.#describe()}${hint}`);
  }

  /** The earliest live entry, left in the heap. */
  #earliest(): Entry | undefined {
    while (this.#heap[0] !== undefined && this.#heap[0].fire === undefined) this.#popEarliest();
    return this.#heap[0];
  }

  #fireEarliest(entry: Entry): void {
    this.#popEarliest();
    this.#nowMs = Math.max(this.#nowMs, entry.atMs);
    const fire = entry.fire;
    entry.fire = undefined;
    fire?.();
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex] as Entry;
      if (isBefore(parent, entry)) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = entry;
  }

  #popEarliest(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let childIndex = 2 * index + 1;
      const left = heap[childIndex];
      if (left === undefined) break;
      const right = heap[childIndex + 1];
      let child = left;
      if (right !== undefined && isBefore(right, left)) {
        child = right;
        childIndex++;
      }
      if (isBefore(last, child)) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs === b.atMs ? a.sequence < b.sequence : a.atMs < b.atMs;
}

/**
 * Resolves once every promise chain, `process.nextTick` and one round of `setImmediate` has run: the immediate comes in
 * a macrotask of its own, before which Node empties the microtask queue.
 */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
