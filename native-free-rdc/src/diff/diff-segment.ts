/**
 * One segment of a target, compared with the window of its basis: the pure piece of `createDiff` that threads share.
 *
 * The same input gives the same bytes on every thread. Falls back to whatever is smallest: copies with corrections, the
 * bytes compressed, either of them with old bytes as a dictionary, the bytes themselves; a segment is never more than
 * its head larger than its target.
 */
import { COLUMNS, type Column, type ColumnHead, encodeSegmentHead } from '../delta/delta-format.ts';
import { type Ops, OpWriter } from '../delta/delta-ops.ts';
import { withoutDenseCopies } from '../delta/dense-copies.ts';
import { type ColumnEffort, type EncodedColumns, encodeColumns, encodedBytesOf } from '../delta/encoded-columns.ts';
import { PlacedLiterals } from '../delta/literal-places.ts';
import { OpList, type PlacedOps } from '../delta/placed-ops.ts';
import { LiteralPrimer } from '../delta/primed-literals.ts';
import { DICTIONARY_BYTES_MAX } from '../limits.ts';
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

interface Effort extends ColumnEffort {
  readonly match: MatchEffort;
  /**
   * Second thoughts, that is dictionaries and fewer copies, have to save one part in so many of a segment; without,
   * there are none. At 32 `default` would save 0.2 to 2.8 % of the public pairs for 10 to 18 % more time.
   */
  readonly gainDivisor?: number;
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
    gainDivisor: 4,
  },
  best: {
    match: { seedStrideBytes: 4, nearBytes: 4096, nearMatchBytesMin: 12, gainBytes: 12, debtBytes: 12 },
    zstdLevel: 19,
    zstdLevelSmall: 19,
    gainDivisor: 64,
  },
};

const PROMISING_DIVISOR = 20;
/** A quick effort tells whether a slow one is worth it, which leaves no less than 1 / 1.45 of it on the public pairs. */
const QUICK_EFFORT: ColumnEffort = { zstdLevel: 3, zstdLevelSmall: 3 };
const THOROUGH_FACTOR = 2;
/** Fewer bytes of literals are not worth a look for a dictionary. */
const PRIMED_BYTES_MIN = 2 * 1024;
/** One part in so many of a segment has to be corrections that fewer copies spare. */
const SPARED_DIVISOR = 4;

/** Where literals come from. */
const NOWHERE = -1;

const primer = new LiteralPrimer();

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
  const { columns, dictionary } = smallest(input);
  const heads = Object.fromEntries(COLUMNS.map((name) => [name, columns[name].head])) as Record<Column, ColumnHead>;
  const targetBytes = input.target.length;
  const head = encodeSegmentHead({
    targetBytes,
    columns: heads,
    dictionaryStart: dictionary?.start ?? 0,
    dictionaryBytes: dictionary?.bytes ?? 0,
    targetHash: input.targetHash,
  });
  const bytes = joined([head, ...COLUMNS.map((name) => columns[name].encoded)]);
  const literalBytes = columns.literals.head.rawBytes;
  const addBytes = columns.values.head.rawBytes;
  return { bytes, literalBytes, addBytes, copyBytes: targetBytes - literalBytes - addBytes };
}

/** One way to write a segment. */
interface Candidate {
  readonly columns: EncodedColumns;
  readonly literals: PlacedLiterals;
  /** In the basis. */
  readonly dictionary?: Extent;
}

/** No way is tried that could hardly be smaller than what is there already. */
function smallest(input: SegmentInput): Candidate {
  const { target, window, level } = input;
  const copied = window.length === 0 ? undefined : compare(input);
  if (copied === undefined) {
    const whole = wholeOf(PlacedLiterals.evenly(target, window.length), EFFORTS[level]);
    return primed(whole, whole, input) ?? whole;
  }
  const best = smallestCopying(copied, input);
  if (isPromising(best, input)) return best;
  const literals = PlacedLiterals.among(target, copied.placed, { isWhole: true });
  const quick = wholeOf(literals, QUICK_EFFORT);
  const isHopeless = encodedBytesOf(quick.columns) > encodedBytesOf(best.columns) * THOROUGH_FACTOR;
  const whole = isHopeless ? quick : wholeOf(literals, EFFORTS[level]);
  const better = smaller(best, whole);
  return primed(whole, better, input) ?? better;
}

function smallestCopying(copied: CopyCandidate, input: SegmentInput): Candidate {
  const sparser = withFewerCopies(copied, input);
  let best = smaller(copied, sparser ?? copied);
  best = primed(copied, best, input) ?? best;
  if (sparser === undefined) return best;
  // Where copies were corrected, old bytes are much like the literals: no need to try, if there is time.
  return primed(sparser, best, input, { isLikely: input.level === 'best' }) ?? best;
}

function wholeOf(literals: PlacedLiterals, effort: ColumnEffort): Candidate {
  const ops = opColumn([literals.bytes.length], [NOWHERE]);
  return { columns: encodeColumns({ ops, literals: literals.bytes }, effort), literals };
}

/** So small that compressing the whole could hardly do better; it does on tables full of small changes. */
function isPromising({ columns }: Candidate, { target }: SegmentInput): boolean {
  return encodedBytesOf(columns) * PROMISING_DIVISOR < target.length;
}

function smaller(left: Candidate, right: Candidate): Candidate {
  return encodedBytesOf(left.columns) <= encodedBytesOf(right.columns) ? left : right;
}

/** The candidate with a dictionary for its literals, if that makes it enough smaller than `best`. */
function primed(
  candidate: Candidate,
  best: Candidate,
  input: SegmentInput,
  { isLikely = false }: { readonly isLikely?: boolean } = {},
): Candidate | undefined {
  const { gainDivisor, zstdLevel } = EFFORTS[input.level];
  const { columns, literals } = candidate;
  const { encodedBytes, rawBytes } = columns.literals.head;
  if (gainDivisor === undefined || encodedBytes < PRIMED_BYTES_MIN || input.window.length === 0) return undefined;
  const bestBytes = encodedBytesOf(best.columns);
  const savingBytes = encodedBytesOf(columns) - bestBytes + Math.ceil(bestBytes / gainDivisor);
  if (savingBytes >= encodedBytes) return undefined;
  const ends = windowEndsOf(input.extents);
  const made = primer.prime(
    literals,
    { window: input.window, extentEnds: ends },
    {
      plainBytes: encodedBytes,
      savingBytes: isLikely ? undefined : savingBytes,
      dictionaryBytesMax: Math.min(DICTIONARY_BYTES_MAX, input.target.length * 2),
      zstdLevel,
    },
  );
  if (made === undefined) return undefined;
  const head: ColumnHead = { coding: 'dictionary', rawBytes, encodedBytes: made.encoded.length };
  const primedColumns = { ...columns, literals: { head, encoded: made.encoded } };
  if (encodedBytesOf(primedColumns) >= bestBytes) return undefined;
  const { start, bytes } = made.dictionary;
  return {
    columns: primedColumns,
    literals,
    dictionary: { start: placeInBasis(start, input.extents, ends).start, bytes },
  };
}

interface CopyCandidate extends Candidate {
  readonly placed: PlacedOps;
  /** Where copies are corrected: the column as it is decoded. */
  readonly gaps: Uint8Array;
}

/** The segment as copies, or undefined if nothing is worth copying. */
function compare(input: SegmentInput): CopyCandidate | undefined {
  const copies = threadKernel().match(input.target, input.window, EFFORTS[input.level].match);
  return copies.length === 0 ? undefined : corrected(opsOf(copies, input), input);
}

/** As fewer copies, where corrections are much of the segment and many of them can be spared. */
function withFewerCopies({ columns, placed, gaps }: CopyCandidate, input: SegmentInput): CopyCandidate | undefined {
  const { gainDivisor, match } = EFFORTS[input.level];
  if (gainDivisor === undefined) return undefined;
  const spared = encodedBytesOf(columns) / SPARED_DIVISOR;
  if (columns.values.head.encodedBytes < spared) return undefined;
  const sparser = withoutDenseCopies(placed, gaps);
  if (sparser.correctionsLess < spared) return undefined;
  // Correcting used up what the kernel had at hand.
  threadKernel().match(input.target, input.window, match);
  return corrected(sparser, input);
}

/** What the kernel has just matched, with corrections. */
function corrected(placed: PlacedOps, input: SegmentInput): CopyCandidate {
  const { ops, windowStarts } = placed;
  const corrections = threadKernel().correct(ops, windowStarts);
  const literals = PlacedLiterals.among(literalsOf(ops, input.target), placed, { isWhole: false });
  const raw = { ops: opColumn(ops.lengths, ops.starts), literals: literals.bytes, ...corrections };
  return { columns: encodeColumns(raw, EFFORTS[input.level]), literals, placed, gaps: corrections.gaps };
}

/** Copies from the window become copies from the basis, cut where the window leaps; literals fill what lies between. */
function opsOf(copies: Copies, input: SegmentInput): PlacedOps {
  const list = new OpList();
  const windowEnds = windowEndsOf(input.extents);
  let at = 0;
  for (let word = 0; word < copies.length; word += 3) {
    const start = copies[word] as number;
    if (start > at) list.literal(start - at);
    at = start + (copies[word + 1] as number);
    let from = copies[word + 2] as number;
    for (let left = copies[word + 1] as number; left > 0; ) {
      const place = placeInBasis(from, input.extents, windowEnds);
      const bytes = Math.min(left, place.bytes);
      list.copy(bytes, place.start, from);
      from += bytes;
      left -= bytes;
    }
  }
  if (at < input.target.length) list.literal(input.target.length - at);
  return list.placed();
}

function windowEndsOf(extents: readonly Extent[]): number[] {
  let windowBytes = 0;
  return extents.map(({ bytes }) => {
    windowBytes += bytes;
    return windowBytes;
  });
}

/** Where in the basis byte `at` of the window is from, and how many bytes from there on are behind one another in both. */
function placeInBasis(at: number, extents: readonly Extent[], windowEnds: readonly number[]): Extent {
  const index = windowEnds.findIndex((end) => end > at);
  const extent = extents[index] as Extent;
  const bytes = (windowEnds[index] as number) - at;
  return { start: extent.start + extent.bytes - bytes, bytes };
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

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
