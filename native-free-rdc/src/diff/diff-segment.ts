/**
 * One segment of a target, compared with the window of its basis: the pure piece of `createDiff` that threads share.
 *
 * The same input gives the same bytes on every thread. Falls back to whatever is smallest: copies with corrections, the
 * bytes compressed, the bytes themselves; a segment is never more than its head larger than its target.
 */
import { constants, zstdCompressSync } from 'node:zlib';
import { COLUMNS, type Column, type ColumnHead, encodeSegmentHead } from '../delta/delta-format.ts';
import { type Ops, OpWriter } from '../delta/delta-ops.ts';
import { type Copies, type MatchEffort, MatchKernel } from './match-kernel.ts';
import type { Anchors, Extent } from './place-index.ts';

/** `fast` for one receiver near by, `default`, `best` for what is made once and sent to many. */
export type DiffLevel = 'fast' | 'default' | 'best';

/** What a thread needs to compare a segment. Buffers are only read. */
export interface SegmentInput {
  /** 1 byte to 4 MiB. */
  readonly target: Uint8Array;
  /** The old bytes at `extents`, end to end, 8 MiB at most. */
  readonly window: Uint8Array;
  readonly extents: readonly Extent[];
  readonly level: DiffLevel;
  /** xxh64, seed 0, of the target. */
  readonly targetHash: bigint;
}

/** A segment of a delta. `copyBytes + addBytes + literalBytes` is the target. */
export interface DiffSegment {
  readonly bytes: Uint8Array;
  /** Copied as they were. */
  readonly copyBytes: number;
  /** Copied and then corrected. */
  readonly addBytes: number;
  readonly literalBytes: number;
}

interface Effort {
  readonly match: MatchEffort;
  readonly zstdLevel: number;
  /** For columns small enough that it takes no time. */
  readonly zstdLevelSmall: number;
}

const EFFORTS: Readonly<Record<DiffLevel, Effort>> = {
  fast: {
    match: { seedStrideBytes: 16, nearBytes: 0, nearMatchBytesMin: 12, gainBytes: 12, debtBytes: 16 },
    zstdLevel: 3,
    zstdLevelSmall: 3,
  },
  default: {
    match: { seedStrideBytes: 16, nearBytes: 4096, nearMatchBytesMin: 12, gainBytes: 12, debtBytes: 12 },
    zstdLevel: 9,
    zstdLevelSmall: 15,
  },
  best: {
    match: { seedStrideBytes: 4, nearBytes: 4096, nearMatchBytesMin: 12, gainBytes: 12, debtBytes: 12 },
    zstdLevel: 19,
    zstdLevelSmall: 19,
  },
};

const PROMISING_DIVISOR = 20;
const SMALL_COLUMN_BYTES = 256 * 1024;
/** Of incompressible bytes, a quick try tells that a slow one is not worth it. */
const QUICK_ZSTD_LEVEL = 1;
const HOPELESS_RATIO = 0.98;
const HOPELESS_BYTES_MIN = 16 * 1024;

/** Where literals come from. */
const NOWHERE = -1;

let kernel: MatchKernel | undefined;

function threadKernel(): MatchKernel {
  kernel ??= new MatchKernel();
  return kernel;
}

/** The sampled places of a block of at most 4 MiB: see `PlaceIndex`. */
export function anchorsOf(block: Uint8Array, rateLog: number): Anchors {
  return threadKernel().anchors(block, rateLog);
}

/** Compares and encodes one segment. */
export function diffSegment(input: SegmentInput): DiffSegment {
  const effort = EFFORTS[input.level];
  const found = input.extents.length === 0 ? undefined : compare(input, effort);
  const columns =
    found !== undefined && isPromising(found, input) ? found : smaller(found, plainColumns(input, effort));
  const heads = Object.fromEntries(COLUMNS.map((name) => [name, columns[name].head])) as Record<Column, ColumnHead>;
  const targetBytes = input.target.length;
  const head = encodeSegmentHead({
    targetBytes,
    columns: heads,
    dictionaryStart: 0,
    dictionaryBytes: 0,
    targetHash: input.targetHash,
  });
  const bytes = joined([head, ...COLUMNS.map((name) => columns[name].encoded)]);
  const literalBytes = columns.literals.head.rawBytes;
  const addBytes = columns.values.head.rawBytes;
  return { bytes, literalBytes, addBytes, copyBytes: targetBytes - literalBytes - addBytes };
}

/** So small that compressing the whole could hardly do better; it does on tables full of small changes. */
function isPromising(columns: EncodedColumns, input: SegmentInput): boolean {
  return bytesOf(columns) * PROMISING_DIVISOR < input.target.length;
}

function plainColumns(input: SegmentInput, effort: Effort): EncodedColumns {
  return encodeColumns({ ops: opColumn([input.target.length], [NOWHERE]), literals: input.target }, effort);
}

function smaller(left: EncodedColumns | undefined, right: EncodedColumns): EncodedColumns {
  return left !== undefined && bytesOf(left) <= bytesOf(right) ? left : right;
}

type EncodedColumns = Record<Column, { readonly head: ColumnHead; readonly encoded: Uint8Array }>;

/** The segment as copies, or undefined if nothing is worth copying. */
function compare(input: SegmentInput, effort: Effort): EncodedColumns | undefined {
  const matcher = threadKernel();
  const copies = matcher.match(input.target, input.window, effort.match);
  if (copies.length === 0) return undefined;
  const { ops, windowStarts } = opsOf(copies, input);
  const corrections = matcher.correct(ops, windowStarts);
  return encodeColumns(
    { ops: opColumn(ops.lengths, ops.starts), literals: literalsOf(ops, input.target), ...corrections },
    effort,
  );
}

/** Copies from the window become copies from the basis, cut where the window leaps; literals fill what lies between. */
function opsOf(copies: Copies, input: SegmentInput): { readonly ops: Ops; readonly windowStarts: number[] } {
  const lengths: number[] = [];
  const starts: number[] = [];
  const windowStarts: number[] = [];
  const add = (bytes: number, start: number, windowStart: number): void => {
    const last = lengths.length - 1;
    // Whoever applies the delta sees them joined, and fields are predicted piece by piece.
    if (start >= 0 && starts[last] !== NOWHERE && starts[last] === start - (lengths[last] ?? 0)) {
      lengths[last] = (lengths[last] as number) + bytes;
      return;
    }
    lengths.push(bytes);
    starts.push(start);
    windowStarts.push(windowStart);
  };
  const windowEnds: number[] = [];
  let windowBytes = 0;
  for (const { bytes } of input.extents) {
    windowBytes += bytes;
    windowEnds.push(windowBytes);
  }
  let at = 0;
  for (let word = 0; word < copies.length; word += 3) {
    const start = copies[word] as number;
    if (start > at) add(start - at, NOWHERE, NOWHERE);
    at = start + (copies[word + 1] as number);
    let from = copies[word + 2] as number;
    for (let left = copies[word + 1] as number; left > 0; ) {
      const index = windowEnds.findIndex((end) => end > from);
      const extent = input.extents[index] as Extent;
      const end = windowEnds[index] as number;
      const bytes = Math.min(left, end - from);
      add(bytes, extent.start + extent.bytes - (end - from), from);
      from += bytes;
      left -= bytes;
    }
  }
  if (at < input.target.length) add(input.target.length - at, NOWHERE, NOWHERE);
  return { ops: { count: lengths.length, lengths, starts }, windowStarts };
}

function opColumn(lengths: readonly number[], starts: readonly number[]): Uint8Array {
  const writer = new OpWriter();
  lengths.forEach((bytes, index) => {
    const start = starts[index] as number;
    if (start < 0) writer.literal(bytes);
    else writer.copy(start, bytes);
  });
  return writer.finish();
}

function literalsOf(ops: Ops, target: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (let index = 0; index < ops.count; index++) {
    const bytes = ops.lengths[index] as number;
    if ((ops.starts[index] as number) < 0) parts.push(target.subarray(at, at + bytes));
    at += bytes;
  }
  return joined(parts);
}

function encodeColumns(raw: Partial<Record<Column, Uint8Array>>, effort: Effort): EncodedColumns {
  return Object.fromEntries(
    COLUMNS.map((name) => [name, encodeColumn(raw[name] ?? new Uint8Array(0), effort)]),
  ) as EncodedColumns;
}

function encodeColumn(raw: Uint8Array, effort: Effort): EncodedColumns[Column] {
  const level = raw.length <= SMALL_COLUMN_BYTES ? effort.zstdLevelSmall : effort.zstdLevel;
  const isHopeless =
    raw.length >= HOPELESS_BYTES_MIN && compressed(raw, QUICK_ZSTD_LEVEL).length > raw.length * HOPELESS_RATIO;
  const encoded = raw.length === 0 || isHopeless ? raw : compressed(raw, level);
  if (encoded.length >= raw.length)
    return { head: { coding: 'raw', rawBytes: raw.length, encodedBytes: raw.length }, encoded: raw };
  return { head: { coding: 'zstd', rawBytes: raw.length, encodedBytes: encoded.length }, encoded };
}

function compressed(bytes: Uint8Array, level: number): Uint8Array {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } });
}

function bytesOf(columns: EncodedColumns): number {
  return COLUMNS.reduce((sum, name) => sum + columns[name].encoded.length, 0);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
