/**
 * Field prediction, on the kernel of wasm/fields.as.ts: what copied bytes are expected to have become.
 *
 * Programs compiled twice differ mostly in numbers that name places. From every such field of a copy both ends learn
 * how far the place it names has moved, and expect the same of the next field that names it or its neighbourhood; only
 * what turns out otherwise is sent, as gaps and values. Measured on two Node executables, 97 of 100 call and address
 * operands are foretold. FORMAT.md, "Fields", is the definition; a change of it is a new version of the format.
 */
import { copyBytes } from '../copy-bytes.ts';
import {
  FIELD_BLOCK_BYTES,
  FIELD_BLOCK_BYTES_LOG,
  FIELD_TABLE_BITS,
  SEGMENT_BYTES_MAX,
  SEGMENT_OPS_MAX,
} from '../limits.ts';
import { base64 } from '../wasm/fields.ts';
import { instantiate, type KernelMemory, type KernelRoom } from '../wasm-kernel.ts';
import type { Ops } from './delta-ops.ts';

/** How the fields of a block are found: not at all, as x86-64 operands, as words that hold or are relative addresses. */
export const FIELD_KINDS = { none: 0, code: 1, words: 2, relative: 3 } as const;
export const FIELD_KIND_MAX = 3;

export const PIECES_MAX = SEGMENT_OPS_MAX + SEGMENT_BYTES_MAX / FIELD_BLOCK_BYTES;
export const PIECE_WORDS = 4;

/** The columns that correct copied bytes. */
export interface Corrections {
  readonly kinds: Uint8Array;
  readonly gaps: Uint8Array;
  readonly values: Uint8Array;
}

/**
 * Lists the pieces of all copies, none of which crosses a block, at `into`: start in the segment, bytes, start in the
 * basis, start in the segment − start in the basis, the last two modulo 2^32. Returns how many.
 */
export function listPieces(ops: Ops, into: Uint32Array): number {
  let count = 0;
  let start = 0;
  for (let index = 0; index < ops.count; index++) {
    const bytes = ops.lengths[index] as number;
    const from = ops.starts[index] as number;
    for (let done = from < 0 ? bytes : 0; done < bytes; ) {
      const at = start + done;
      const pieceBytes = Math.min(bytes - done, FIELD_BLOCK_BYTES - (at % FIELD_BLOCK_BYTES));
      const word = count * PIECE_WORDS;
      into[word] = at;
      into[word + 1] = pieceBytes;
      // Stored modulo 2^32: typed arrays keep the low bits of integers up to 2^53.
      into[word + 2] = from + done;
      into[word + 3] = at - (from + done);
      count++;
      done += pieceBytes;
    }
    start += bytes;
  }
  return count;
}

/** What of the kernel the maker of deltas uses beside this module. */
export type FieldExports = Readonly<
  Record<
    'forget' | 'expect' | 'differing' | 'beginCorrections' | 'addCorrections' | 'gapsEndAt' | 'valuesEndAt' | 'rebuild',
    (...numbers: number[]) => number
  >
>;

/** The kernel on a memory, and its table. */
export function fieldKernelOn(memory: KernelMemory): { readonly kernel: FieldExports; readonly table: KernelRoom } {
  return { kernel: instantiate(base64, memory) as FieldExports, table: memory.room(8 << FIELD_TABLE_BITS) };
}

/** Rebuilds segments in a memory of its own, 4 to 24 MiB as needed. One a thread is enough; it keeps nothing. */
export class SegmentRebuilder {
  readonly #memory: KernelMemory;
  readonly #kernel: FieldExports;
  readonly #rooms: Readonly<Record<'table' | 'segment' | 'pieces' | 'kinds' | 'gaps' | 'values', KernelRoom>>;

  constructor(memory: KernelMemory) {
    this.#memory = memory;
    const { kernel, table } = fieldKernelOn(memory);
    this.#kernel = kernel;
    this.#rooms = {
      table,
      kinds: memory.room(SEGMENT_BYTES_MAX / FIELD_BLOCK_BYTES),
      segment: memory.room(SEGMENT_BYTES_MAX),
      pieces: memory.room(PIECES_MAX * PIECE_WORDS * 4),
      values: memory.room(SEGMENT_BYTES_MAX),
      gaps: memory.room(SEGMENT_BYTES_MAX * 2),
    };
  }

  /**
   * `segment` holds literals and old bytes in place of copies; on return, what the copies became. False if the columns
   * do not fit: a correction behind the last copied byte, a malformed gap, more of one column than of the other.
   */
  rebuild(segment: Uint8Array, ops: Ops, corrections: Corrections): boolean {
    const { table, segment: into, pieces, kinds, gaps, values } = this.#rooms;
    const count = listPieces(ops, this.#memory.words(pieces));
    this.#memory.put(into, segment);
    this.#memory.clear(kinds);
    this.#memory.put(kinds, corrections.kinds);
    this.#memory.put(gaps, corrections.gaps);
    this.#memory.put(values, corrections.values);
    this.#kernel.forget(table.at, FIELD_TABLE_BITS);
    const { rebuild } = this.#kernel;
    const isRebuilt = rebuild(
      into.at,
      pieces.at,
      count,
      kinds.at,
      FIELD_BLOCK_BYTES_LOG,
      gaps.at,
      corrections.gaps.length,
      values.at,
      corrections.values.length,
    );
    if (isRebuilt !== 0) copyBytes(this.#memory.bytes(into, segment.length), segment);
    return isRebuilt !== 0;
  }
}
