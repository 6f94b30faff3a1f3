/**
 * The matcher, on the kernel of wasm/match.as.ts: which stretches of a segment come from where in a window.
 *
 * One memory a thread, 30 MiB when all of it is used; nothing is kept from one segment to the next.
 */

import type { Ops } from '../delta/delta-ops.ts';
import {
  type Corrections,
  FIELD_KIND_MAX,
  FIELD_KINDS,
  type FieldExports,
  fieldKernelOn,
  listPieces,
  PIECE_WORDS,
  PIECES_MAX,
} from '../delta/field-kernel.ts';
import {
  FIELD_BLOCK_BYTES,
  FIELD_BLOCK_BYTES_LOG,
  FIELD_TABLE_BITS,
  SEGMENT_BYTES_MAX,
  SEGMENT_OPS_MAX,
  WINDOW_BYTES_MAX,
} from '../limits.ts';
import { base64 } from '../wasm/match.ts';
import { instantiate, KernelMemory, type KernelRoom } from '../wasm-kernel.ts';
import type { Anchors } from './place-index.ts';

/** How hard the matcher looks. Measured on the four public pairs; bench/delta reproduces it. */
export interface MatchEffort {
  /** A seed at every so many bytes of the window. */
  readonly seedStrideBytes: number;
  /** How far around the running copy small shifts are looked for. */
  readonly nearBytes: number;
  readonly nearMatchBytesMin: number;
  /** Bytes by which another place must be better before the running copy is left. */
  readonly gainBytes: number;
  /** Bytes the running copy may be wrong about, beyond those it is right about, before others are considered. */
  readonly debtBytes: number;
}

const SEED_TABLE_BITS = 20;
const NEAR_TABLE_BITS = 14;
const COPY_WORDS = 3;
/** Handed over rather than built in: see the kernel. Odd, of the golden section. */
const ANCHOR_MULTIPLIER = 0x9e3779b1;

/** Copies of a segment from its window: start in the segment, bytes, start in the window; flat, in order. */
export type Copies = Uint32Array;

export class MatchKernel {
  readonly #memory = new KernelMemory();
  readonly #matcher: Readonly<Record<string, (...numbers: number[]) => number>>;
  readonly #fields: FieldExports;
  readonly #table: KernelRoom;
  readonly #near: KernelRoom;
  /** What is expected lies before what is, as the kernel wants it. */
  readonly #expected: KernelRoom;
  readonly #target: KernelRoom;
  readonly #window: KernelRoom;
  readonly #seeds: KernelRoom;
  readonly #copies: KernelRoom;
  readonly #pieces: KernelRoom;

  constructor() {
    this.#matcher = instantiate(base64, this.#memory);
    const { kernel, table } = fieldKernelOn(this.#memory);
    this.#fields = kernel;
    this.#table = table;
    this.#near = this.#memory.room(8 << NEAR_TABLE_BITS);
    this.#expected = this.#memory.room(SEGMENT_BYTES_MAX);
    this.#target = this.#memory.room(SEGMENT_BYTES_MAX);
    this.#window = this.#memory.room(WINDOW_BYTES_MAX);
    this.#seeds = this.#memory.room(4 << SEED_TABLE_BITS);
    this.#copies = this.#memory.room(SEGMENT_OPS_MAX * COPY_WORDS * 4);
    this.#pieces = this.#memory.room(PIECES_MAX * PIECE_WORDS * 4);
  }

  /** Samples a block of at most a segment. The result is the caller's. */
  anchors(block: Uint8Array, rateLog: number): Anchors {
    this.#memory.put(this.#target, block);
    const { anchors } = this.#matcher as { anchors: (...numbers: number[]) => number };
    const { at: out } = this.#window;
    const count = anchors(this.#target.at, block.length, rateLog, ANCHOR_MULTIPLIER, out, WINDOW_BYTES_MAX / 8);
    return this.#memory.words(this.#window).slice(0, count * 2);
  }

  /** Finds copies; a view valid until the next call. Loads target and window for `correct`. */
  match(target: Uint8Array, window: Uint8Array, effort: MatchEffort): Copies {
    const { configure, indexWindow, match } = this.#matcher as Record<
      'configure' | 'indexWindow' | 'match',
      (...numbers: number[]) => number
    >;
    this.#memory.put(this.#target, target);
    this.#memory.put(this.#window, window);
    const windowBytes = window.length;
    const seeds = this.#seeds.at;
    indexWindow(this.#window.at, windowBytes, seeds, SEED_TABLE_BITS, effort.seedStrideBytes);
    configure(
      seeds,
      SEED_TABLE_BITS,
      this.#near.at,
      NEAR_TABLE_BITS,
      effort.nearBytes,
      effort.nearMatchBytesMin,
      effort.gainBytes,
      effort.debtBytes,
    );
    const count = match(
      this.#target.at,
      target.length,
      this.#window.at,
      windowBytes,
      this.#copies.at,
      SEGMENT_OPS_MAX / 4,
    );
    return this.#memory.words(this.#copies).subarray(0, count * COPY_WORDS);
  }

  /**
   * What turns the copies of `ops` into the target. `old`: for each copy its start in the window, in order. The columns
   * are copies, the caller's.
   */
  correct(ops: Ops, windowStarts: readonly number[]): Corrections {
    const pieces = this.#memory.words(this.#pieces);
    const count = listPieces(ops, pieces);
    let blockCount = 0;
    this.#loadOld(ops, windowStarts);
    const differing = new Uint32Array(SEGMENT_BYTES_MAX / FIELD_BLOCK_BYTES);
    for (let piece = 0; piece < count; piece++) {
      const at = pieces[piece * PIECE_WORDS] as number;
      const block = at >>> FIELD_BLOCK_BYTES_LOG;
      blockCount = block + 1;
      differing[block] = (differing[block] as number) + this.#differing(at, pieces[piece * PIECE_WORDS + 1] as number);
    }
    const kinds = new Uint8Array(blockCount);
    const isChanged = differing.some((bytes) => bytes > 0);
    const isExpected = !isChanged || this.#chooseKinds({ ops, windowStarts, pieces, count, differing }, kinds);
    if (!isExpected) {
      this.#loadOld(ops, windowStarts);
      this.#fields.forget(this.#table.at, FIELD_TABLE_BITS);
      for (let piece = 0; piece < count; piece++) {
        const word = piece * PIECE_WORDS;
        const block = (pieces[word] as number) >>> FIELD_BLOCK_BYTES_LOG;
        this.#expect(kinds[block] as number, pieces, word);
      }
    }
    // The window has done its work: its room and the seeds' take the columns.
    return this.#corrections(pieces, count, kinds);
  }

  #corrections(pieces: Uint32Array, count: number, kinds: Uint8Array): Corrections {
    const gapsAt = this.#window.at;
    const valuesAt = this.#seeds.at;
    this.#fields.beginCorrections(gapsAt, valuesAt);
    for (let piece = 0; piece < count; piece++) {
      const word = piece * PIECE_WORDS;
      const at = pieces[word] as number;
      this.#fields.addCorrections(this.#expected.at + at, this.#target.at + at, pieces[word + 1] as number);
    }
    const gapsBytes = this.#fields.gapsEndAt() - gapsAt;
    const valuesBytes = this.#fields.valuesEndAt() - valuesAt;
    return {
      kinds: kinds.some((kind) => kind !== 0) ? kinds : new Uint8Array(0),
      gaps: this.#memory.bytes(this.#window, gapsBytes).slice(),
      values: this.#memory.bytes(this.#seeds, valuesBytes).slice(),
    };
  }

  /**
   * The kind that leaves the fewest differences in each block. Kinds are tried on blocks that differ, in the order of
   * their kinds, until one takes most of the differences away. Where the first does so for the segment as a whole, all
   * of it is taken for code, and what was tried is what is expected already: true.
   */
  #chooseKinds(
    found: {
      readonly ops: Ops;
      readonly windowStarts: readonly number[];
      readonly pieces: Uint32Array;
      readonly count: number;
      readonly differing: Uint32Array;
    },
    kinds: Uint8Array,
  ): boolean {
    const { pieces, count, differing } = found;
    const best = differing.slice(0, kinds.length);
    const left = new Uint32Array(kinds.length);
    for (let kind = 1; kind <= FIELD_KIND_MAX; kind++) {
      this.#fields.forget(this.#table.at, FIELD_TABLE_BITS);
      left.fill(0);
      if (kind > 1) this.#loadOld(found.ops, found.windowStarts);
      const isOpen = (block: number): boolean => (best[block] as number) * 4 > (differing[block] as number);
      const open = Uint8Array.from(kinds, (_, block) => (isOpen(block) ? 1 : 0));
      for (let piece = 0; piece < count; piece++) {
        const word = piece * PIECE_WORDS;
        const at = pieces[word] as number;
        const block = at >>> FIELD_BLOCK_BYTES_LOG;
        if (open[block] === 0) continue;
        this.#expect(kind, pieces, word);
        left[block] = (left[block] as number) + this.#differing(at, pieces[word + 1] as number);
      }
      if (kind === FIELD_KINDS.code && sumOf(left) * 2 <= sumOf(differing)) {
        kinds.set(open);
        return true;
      }
      for (let block = 0; block < kinds.length; block++) {
        if (open[block] === 0 || (left[block] as number) >= (best[block] as number)) continue;
        best[block] = left[block] as number;
        kinds[block] = kind;
      }
    }
    return false;
  }

  #expect(kind: number, pieces: Uint32Array, word: number): void {
    if (kind === 0) return;
    const at = pieces[word] as number;
    this.#fields.expect(
      kind,
      this.#expected.at + at,
      this.#target.at + at,
      pieces[word + 1] as number,
      pieces[word + 2] as number,
      pieces[word + 3] as number,
    );
  }

  #differing(at: number, bytes: number): number {
    return this.#fields.differing(this.#expected.at + at, this.#target.at + at, bytes);
  }

  /** Old bytes in place of all copies. */
  #loadOld(ops: Ops, windowStarts: readonly number[]): void {
    let at = this.#expected.at;
    for (let index = 0; index < ops.count; index++) {
      const bytes = ops.lengths[index] as number;
      const start = windowStarts[index] as number;
      if (start >= 0) this.#memory.copy(this.#window.at + start, at, bytes);
      at += bytes;
    }
  }
}

function sumOf(counts: Uint32Array): number {
  return counts.reduce((sum, count) => sum + count, 0);
}
