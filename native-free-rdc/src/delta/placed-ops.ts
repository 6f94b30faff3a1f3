/** Operations of which it is known where in the window of old bytes each copy lies: while a delta is made. */
import type { Ops } from './delta-ops.ts';

/** `windowStarts`: where in the window each operation copies from; −1 for literals. */
export interface PlacedOps {
  readonly ops: Ops;
  readonly windowStarts: readonly number[];
}

const NOWHERE = -1;

/** Operations in target order, those joined that continue each other: whoever applies the delta sees them joined. */
export class OpList {
  readonly #lengths: number[] = [];
  readonly #starts: number[] = [];
  readonly #windowStarts: number[] = [];

  literal(bytes: number): void {
    this.#add(bytes, NOWHERE, NOWHERE);
  }

  /** `bytes` from `start` in the basis on, which are in the window from `windowStart` on. */
  copy(bytes: number, start: number, windowStart: number): void {
    this.#add(bytes, start, windowStart);
  }

  /** What was added; the list is not to be used any more. */
  placed(): PlacedOps {
    const ops = { count: this.#lengths.length, lengths: this.#lengths, starts: this.#starts };
    return { ops, windowStarts: this.#windowStarts };
  }

  #add(bytes: number, start: number, windowStart: number): void {
    const last = this.#lengths.length - 1;
    const lastStart = this.#starts[last];
    const lastBytes = this.#lengths[last] ?? 0;
    const continuing = lastStart === NOWHERE ? NOWHERE : (lastStart ?? 0) + lastBytes;
    if (last >= 0 && start === continuing) {
      this.#lengths[last] = lastBytes + bytes;
      return;
    }
    this.#lengths.push(bytes);
    this.#starts.push(start);
    this.#windowStarts.push(windowStart);
  }
}
