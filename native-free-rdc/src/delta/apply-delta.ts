/**
 * Rebuilds a target from its basis and a delta.
 *
 * Guarantees that it ends normally only if the SHA-256 of everything it yielded is the one in the delta's trailer, and
 * that no delta, however hostile, makes it hold more for each segment under way than the segment, its columns and one
 * batch of the basis (what limits.ts allows, and the codec's window), read more of the basis than four times the
 * target, or loop. What it yields before its end is a claim, not a fact: write it into a bowl and commit at the end.
 * Deliberately does not hash the basis: `readDeltaHeader` names it, and a wrong one cannot pass the end.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type BasisReader, readExactly } from '../basis-reader.ts';
import { ByteReader, type ByteSource } from '../byte-source.ts';
import { RdcError } from '../errors.ts';
import { READ_BATCH_PER_TARGET_BYTE, SEGMENT_BYTES_MAX, TARGET_BYTES_MAX } from '../limits.ts';
import { BufferPool, inOrder, type WorkAhead } from '../work-ahead.ts';
import { copyFromBasis } from './basis-copies.ts';
import {
  COLUMNS,
  type Column,
  DELTA_HEADER_BYTES,
  type DeltaHeader,
  decodeDeltaTrailer,
  decodeSegmentHead,
  invalid,
  readDeltaHeader,
  SEGMENT_HEAD_BYTES,
  type SegmentHead,
  TAG_BYTES,
  TAG_SEGMENT,
  TAG_TRAILER,
  TRAILER_BYTES,
} from './delta-format.ts';
import { decodeOps } from './delta-ops.ts';
import {
  type Decompress,
  decodeColumn,
  type EncodedColumn,
  mismatch,
  rebuildSegment,
  type SegmentParts,
} from './rebuild-segment.ts';

/** The work that may be done elsewhere: a pure function; the default does it on this thread. */
export interface ApplyJobs extends WorkAhead {
  /** `rebuildSegment` of this library, in a thread of the caller's choice. */
  readonly rebuildSegment: (parts: SegmentParts) => Promise<Uint8Array>;
}

export interface ApplyDeltaOptions {
  /** Default: Node's zstd, refusing windows above 16 MiB. Of no effect on what `jobs` do. */
  readonly decompress?: Decompress;
  /** The target is refused as soon as it would be longer. Default: 2^53 − 1. */
  readonly targetBytesMax?: number;
  readonly jobs?: ApplyJobs;
  /**
   * Whether each piece is lent instead of the caller's to keep: its memory is used again when the one after the next is
   * asked for, so that a piece can be written while the next one is made. Default: false.
   */
  readonly isLent?: boolean;
  /** Told once, before a verified target ends. */
  readonly onVerified?: (target: { readonly bytes: number; readonly sha256: Uint8Array }) => void;
}

/**
 * The target, piece by piece, at most 4 MiB each. Without `jobs` nothing runs ahead of the reader.
 *
 * Throws `RdcError`: `basis-mismatch` if the basis has not the size the delta says (before anything is read of it),
 * `basis-short` if it ends early, `delta-truncated` if the delta ends early, `delta-invalid` if it is malformed,
 * `limit-exceeded` for a target above `targetBytesMax`, and `target-mismatch` if a segment or the whole is not what
 * its hash says: another basis of the same size, damage, or a collision of chunk hashes.
 */
export async function* applyDelta(
  basis: BasisReader,
  delta: ByteSource,
  options: ApplyDeltaOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const reader = new ByteReader(delta);
  // Not `await using`, which Node 22 cannot parse.
  try {
    const header = readDeltaHeader(await takeOrTruncated(reader, DELTA_HEADER_BYTES));
    expectSize(basis, header);
    const sha256 = createHash('sha256');
    let targetBytes = 0;
    for await (const piece of rebuiltSegments(basis, segmentsUntilTrailer(reader, header, options), options)) {
      sha256.update(piece);
      targetBytes += piece.length;
      yield piece;
    }
    const trailer = decodeDeltaTrailer(withTag(TAG_TRAILER, await takeOrTruncated(reader, TRAILER_BYTES - TAG_BYTES)));
    if (!(await reader.isAtEnd())) throw invalid('it goes on after its trailer');
    if (trailer.targetBytes !== targetBytes || !timingSafeEqual(sha256.digest(), trailer.targetSha256)) {
      throw mismatch('the rebuilt target does not have the SHA-256 the delta says');
    }
    options.onVerified?.({ bytes: targetBytes, sha256: trailer.targetSha256 });
  } finally {
    await reader.close();
  }
}

/**
 * What the segments in `segments`, cut out of a delta that begins with `header`, make of the basis: each piece a
 * segment, checked by nothing but its 64-bit hash, which tells damage and no malice. Otherwise as `applyDelta`.
 */
export async function* applySegments(
  basis: BasisReader,
  segments: ByteSource,
  header: DeltaHeader,
  options: ApplyDeltaOptions = {},
): AsyncGenerator<Uint8Array, void> {
  expectSize(basis, header);
  const reader = new ByteReader(segments);
  try {
    yield* rebuiltSegments(basis, segmentsUntilEnd(reader, header, options), options);
  } finally {
    await reader.close();
  }
}

/** A segment as it lies in the delta; the bytes are its own. */
interface EncodedSegment {
  readonly head: SegmentHead;
  readonly columns: Readonly<Record<Column, EncodedColumn>>;
  readonly basisBytes: number;
}

async function* segmentsUntilTrailer(
  reader: ByteReader,
  header: DeltaHeader,
  options: ApplyDeltaOptions,
): AsyncGenerator<EncodedSegment, void> {
  const allowance = new Allowance(options);
  for (;;) {
    const tag = (await takeOrTruncated(reader, TAG_BYTES))[0] as number;
    if (tag === TAG_TRAILER) return;
    yield await readSegment(reader, { header, tag, allowance });
  }
}

async function* segmentsUntilEnd(
  reader: ByteReader,
  header: DeltaHeader,
  options: ApplyDeltaOptions,
): AsyncGenerator<EncodedSegment, void> {
  const allowance = new Allowance(options);
  while (!(await reader.isAtEnd())) {
    const tag = (await takeOrTruncated(reader, TAG_BYTES))[0] as number;
    yield await readSegment(reader, { header, tag, allowance });
  }
}

/** Counts target bytes against what the caller allows. */
class Allowance {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor({ targetBytesMax = TARGET_BYTES_MAX }: ApplyDeltaOptions) {
    this.#bytesMax = targetBytesMax;
  }

  spend(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.#bytesMax) return;
    throw new RdcError(
      'limit-exceeded',
      `Cannot apply the delta: the target has ${this.#bytes} bytes or more, expected at most ${this.#bytesMax}`,
    );
  }
}

async function readSegment(
  reader: ByteReader,
  expected: { readonly header: DeltaHeader; readonly tag: number; readonly allowance: Allowance },
): Promise<EncodedSegment> {
  const { header, tag, allowance } = expected;
  if (tag !== TAG_SEGMENT) throw invalid(`it goes on with tag ${tag}, expected a segment or the trailer`);
  const rest = await takeOrTruncated(reader, SEGMENT_HEAD_BYTES - TAG_BYTES);
  const head = decodeSegmentHead(withTag(tag, rest), header);
  allowance.spend(head.targetBytes);
  const columns = {} as Record<Column, EncodedColumn>;
  for (const name of COLUMNS) {
    const column = head.columns[name];
    // The reader lends its bytes only until it is asked again.
    columns[name] = { ...column, bytes: Uint8Array.from(await takeOrTruncated(reader, column.encodedBytes)) };
  }
  return { head, columns, basisBytes: header.basisBytes };
}

async function* rebuiltSegments(
  basis: BasisReader,
  segments: AsyncIterable<EncodedSegment>,
  options: ApplyDeltaOptions,
): AsyncGenerator<Uint8Array, void> {
  const { decompress, isLent = false } = options;
  const jobs: ApplyJobs = options.jobs ?? {
    rebuildSegment: (parts) => rebuildSegment(parts, decompress),
    aheadCount: 1,
  };
  const pool = new BufferPool(jobs.allocate);
  const batches = new BufferPool();
  const rebuild = async ({ head, columns, basisBytes }: EncodedSegment): Promise<Uint8Array> => {
    const ops = decodeOps(await decodeColumn(columns.ops, decompress), {
      targetBytes: head.targetBytes,
      literalBytes: columns.literals.rawBytes,
      basisBytes,
    });
    const buffer = isLent
      ? pool.take(SEGMENT_BYTES_MAX)
      : (jobs.allocate?.(head.targetBytes) ?? new Uint8Array(head.targetBytes));
    const target = buffer.subarray(0, head.targetBytes);
    const batch = batches.take(head.targetBytes * READ_BATCH_PER_TARGET_BYTE);
    await copyFromBasis(basis, ops, { target, batch });
    batches.give(batch);
    const { ops: _decoded, ...rest } = columns;
    const dictionary = await readDictionary(basis, head);
    return jobs.rebuildSegment({ target, ops, columns: rest, dictionary, targetHash: head.targetHash });
  };
  let lent: Uint8Array | undefined;
  for await (const target of inOrder(segments, rebuild, jobs.aheadCount)) {
    yield target;
    if (!isLent) continue;
    if (lent !== undefined) pool.give(lent);
    lent = target;
  }
}

async function readDictionary(
  basis: BasisReader,
  { columns, dictionaryStart, dictionaryBytes }: SegmentHead,
): Promise<Uint8Array | undefined> {
  if (columns.literals.coding !== 'dictionary') return undefined;
  const dictionary = new Uint8Array(dictionaryBytes);
  await readExactly(basis, dictionaryStart, dictionary, 'apply the delta');
  return dictionary;
}

function expectSize(basis: BasisReader, { basisBytes }: DeltaHeader): void {
  if (basis.bytes === basisBytes) return;
  throw new RdcError(
    'basis-mismatch',
    `Cannot apply the delta: the basis has ${basis.bytes} bytes, expected ${basisBytes}`,
  );
}

async function takeOrTruncated(reader: ByteReader, bytes: number): Promise<Uint8Array> {
  const taken = await reader.take(bytes);
  if (taken !== undefined) return taken;
  throw new RdcError('delta-truncated', 'Cannot apply the delta: it ends before its trailer');
}

function withTag(tag: number, rest: Uint8Array): Uint8Array {
  const whole = new Uint8Array(TAG_BYTES + rest.length);
  whole[0] = tag;
  whole.set(rest, TAG_BYTES);
  return whole;
}
