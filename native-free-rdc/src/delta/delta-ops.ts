/**
 * The operations of one segment as a column of varints and back; FORMAT.md describes every byte.
 *
 * The *expected position* makes displacements small: it starts at 0 in each segment, moves to the end of each copy and
 * past each literal, so that a change in place costs one byte of displacement.
 */

import { SEGMENT_OPS_MAX } from '../limits.ts';
import { ByteWriter, unzigzag, VarintReader, zigzag } from '../varint.ts';
import { invalid } from './delta-format.ts';

const KIND_LITERAL = 0;
const KIND_COPY = 1;
// Kind 2 is reserved for ADD (basis bytes plus differences), kind 3 for whatever comes to need it.
const KIND_COUNT = 4;

/** Where an operation that copies nothing comes from. */
const NOWHERE = -1;

/** Writes operations, joining neighbours that continue each other. */
export class OpWriter {
  readonly #column = new ByteWriter(4096);
  #expectedByte = 0;
  /** The operation still open to be continued: its bytes so far, and where its copy starts or `NOWHERE`. */
  #openBytes = 0;
  #openStart = NOWHERE;

  /** The basis position from which a copy would now cost the least. */
  get expectedByte(): number {
    return (this.#openStart === NOWHERE ? this.#expectedByte : this.#openStart) + this.#openBytes;
  }

  /** The next `bytes` > 0 target bytes are those of the basis from `startByte` on. */
  copy(startByte: number, bytes: number): void {
    const isContinued = this.#openStart !== NOWHERE && this.#openStart + this.#openBytes === startByte;
    if (!isContinued) {
      this.#close();
      this.#openStart = startByte;
    }
    this.#openBytes += bytes;
  }

  /** The next `bytes` > 0 target bytes are literals. */
  literal(bytes: number): void {
    if (this.#openStart !== NOWHERE) this.#close();
    this.#openBytes += bytes;
  }

  /** The finished column, a view valid until the writer is used again; what comes next begins another segment. */
  finish(): Uint8Array {
    this.#close();
    this.#expectedByte = 0;
    const column = this.#column.view();
    this.#column.clear();
    return column;
  }

  #close(): void {
    if (this.#openBytes === 0) return;
    if (this.#openStart === NOWHERE) {
      this.#column.varint(this.#openBytes * KIND_COUNT + KIND_LITERAL);
      this.#expectedByte += this.#openBytes;
    } else {
      this.#column.varint(this.#openBytes * KIND_COUNT + KIND_COPY);
      this.#column.varint(zigzag(this.#openStart - this.#expectedByte));
      this.#expectedByte = this.#openStart + this.#openBytes;
    }
    this.#openBytes = 0;
    this.#openStart = NOWHERE;
  }
}

/** The operations of a segment, in target order, as columns again: no object per operation. */
export interface Ops {
  readonly count: number;
  /** Target bytes of each; all > 0. */
  readonly lengths: readonly number[];
  /** Start in the basis of each copy, in bytes; -1 for a literal. */
  readonly starts: readonly number[];
}

/**
 * Decodes a column. On return, lengths sum to `targetBytes`, literals to `literalBytes`, and every copy lies within
 * `[0, basisBytes)`. Throws `RdcError` `delta-invalid` otherwise; never holds more than `SEGMENT_OPS_MAX` operations.
 */
export function decodeOps(
  column: Uint8Array,
  expected: { readonly targetBytes: number; readonly literalBytes: number; readonly basisBytes: number },
): Ops {
  const lengths: number[] = [];
  const starts: number[] = [];
  const reader = new VarintReader(column);
  let targetBytes = 0;
  let literalBytes = 0;
  let expectedByte = 0;
  while (!reader.isAtEnd) {
    const word = reader.read();
    const length = Math.floor(word / KIND_COUNT);
    const kind = word % KIND_COUNT;
    targetBytes += length;
    if (word === -1 || length === 0) throw invalid('a segment has a malformed operation');
    if (targetBytes > expected.targetBytes) throw invalid("a segment's operations make more than it declares");
    if (lengths.length === SEGMENT_OPS_MAX) throw invalid(`a segment has more than ${SEGMENT_OPS_MAX} operations`);
    if (kind === KIND_LITERAL) {
      literalBytes += length;
      starts.push(NOWHERE);
      expectedByte += length;
    } else if (kind === KIND_COPY) {
      const displacement = reader.read();
      if (displacement === -1) throw invalid('a segment has a malformed displacement');
      const start = expectedByte + unzigzag(displacement);
      if (start < 0 || start > expected.basisBytes - length) throw invalid('a copy reaches outside the basis');
      starts.push(start);
      expectedByte = start + length;
    } else {
      throw invalid(`a segment has an operation of kind ${kind}`);
    }
    lengths.push(length);
  }
  if (targetBytes !== expected.targetBytes) throw invalid("a segment's operations make less than it declares");
  if (literalBytes !== expected.literalBytes) throw invalid("a segment's literals are not as long as it declares");
  return { count: lengths.length, lengths, starts };
}
