/** Reads from the basis what a segment copies. */
import { type BasisReader, readExactly } from '../basis-reader.ts';
import { READ_BATCH_BYTES_MAX } from '../limits.ts';
import type { Ops } from './delta-ops.ts';

/** Fills the copies of `target`, the bytes of a segment, with old bytes. `batch` has `READ_BATCH_BYTES_MAX` bytes. */
export async function copyFromBasis(
  basis: BasisReader,
  ops: Ops,
  { target, batch }: { readonly target: Uint8Array; readonly batch: Uint8Array },
): Promise<void> {
  const copies = new BatchedBasis(basis, ops, batch);
  let filled = 0;
  for (let index = 0; index < ops.count; index++) {
    const length = ops.lengths[index] as number;
    const into = target.subarray(filled, filled + length);
    filled += length;
    if ((ops.starts[index] as number) < 0) continue;
    const reading = copies.copy(index, into);
    if (reading !== undefined) await reading;
  }
}

/**
 * Reads copies that lie behind one another in the basis in one go: a read costs some 20 µs whatever its size, and a
 * delta of densely changed content has a copy every few KiB. A batch skips at most as much as it uses, so that a
 * hostile delta cannot make reading expensive.
 */
class BatchedBasis {
  readonly #basis: BasisReader;
  readonly #ops: Ops;
  readonly #batch: Uint8Array;
  #batchStart = 0;
  #batchEnd = 0;
  /** Copies below this op index are served by the batch. */
  #batchOps = 0;

  constructor(basis: BasisReader, ops: Ops, batch: Uint8Array) {
    this.#basis = basis;
    this.#ops = ops;
    this.#batch = batch;
  }

  /** Fills `into` with the bytes op `index` copies. A promise only if something has to be read first. */
  copy(index: number, into: Uint8Array): Promise<void> | undefined {
    if (index >= this.#batchOps) return this.#readThenCopy(index, into);
    this.#copyFromBatch(index, into);
    return undefined;
  }

  #copyFromBatch(index: number, into: Uint8Array): void {
    const start = (this.#ops.starts[index] as number) - this.#batchStart;
    into.set(this.#batch.subarray(start, start + into.length));
  }

  async #readThenCopy(index: number, into: Uint8Array): Promise<void> {
    this.#planBatch(index);
    if (this.#batchOps === index + 1) {
      await readExactly(this.#basis, this.#batchStart, into, 'apply the delta');
      return;
    }
    const batch = this.#batch.subarray(0, this.#batchEnd - this.#batchStart);
    await readExactly(this.#basis, this.#batchStart, batch, 'apply the delta');
    this.#copyFromBatch(index, into);
  }

  /** Extends a batch from op `index` over the copies after it while they lie ahead, close and within the buffer. */
  #planBatch(index: number): void {
    const { starts, lengths, count } = this.#ops;
    this.#batchStart = starts[index] as number;
    let usedBytes = lengths[index] as number;
    this.#batchEnd = this.#batchStart + usedBytes;
    this.#batchOps = index + 1;
    for (let next = index + 1; next < count; next++) {
      const start = starts[next] as number;
      if (start === -1) continue;
      const end = start + (lengths[next] as number);
      const isAhead = start >= this.#batchEnd && end - this.#batchStart <= READ_BATCH_BYTES_MAX;
      usedBytes += end - start;
      if (!isAhead || end - this.#batchStart > 2 * usedBytes) return;
      this.#batchEnd = end;
      this.#batchOps = next + 1;
    }
  }
}
