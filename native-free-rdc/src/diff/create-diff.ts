/**
 * Makes a delta with basis and target both at hand: `diff`, as a parent site does it for all who hold the old version.
 *
 * Reads the basis once to learn what lies where, and again around the places each segment comes from; reads the target
 * once. Holds a constant amount whatever the sizes: an index of at most 16 MiB, and for each segment under way 4 MiB of
 * target and 8 MiB of basis. The result depends on basis, target and level alone: not on how the target is divided, nor
 * on how many threads `jobs` spreads the work over.
 */
import { createHash } from 'node:crypto';
import { type BasisReader, readExactly } from '../basis-reader.ts';
import { ByteReader, type ByteSource } from '../byte-source.ts';
import { loadDamageDetector } from '../chunk/chunk-hash.ts';
import type { DeltaSummary } from '../delta/create-delta.ts';
import { encodeDeltaHeader, encodeDeltaTrailer } from '../delta/delta-format.ts';
import { SEGMENT_BYTES_MAX, WINDOW_BYTES_MAX } from '../limits.ts';
import { BufferPool, inOrder } from '../work-ahead.ts';
import { type DiffLevel, type DiffSegment, diffSegment, type SegmentInput } from './diff-segment.ts';
import { learnBasis, type ScanJobs } from './learn-basis.ts';
import { anchorRateLogFor, type Extent, type PlaceIndex } from './place-index.ts';
import { scanBlock } from './scan-block.ts';

/**
 * The work that may be done elsewhere. Each is a pure function; the defaults do it on this thread. At most 12 MiB of
 * memory for each block or segment ahead are allocated.
 */
export interface DiffJobs extends ScanJobs {
  readonly diffSegment: (input: SegmentInput) => Promise<DiffSegment> | DiffSegment;
}

export interface DiffSummary extends DeltaSummary {
  /** Bytes copied and then corrected; `copyBytes + addBytes + literalBytes = targetBytes`. */
  readonly addBytes: number;
}

export interface CreateDiffOptions {
  readonly level?: DiffLevel;
  readonly jobs?: DiffJobs;
  /**
   * Where in the basis a part of the target is likely to come from, as names tell: extents within the basis. Default:
   * about the same place, as in two versions of one file.
   */
  readonly hintsFor?: (start: number, bytes: number) => readonly Extent[];
  /** What the delta calls its basis, 32 bytes; computed as its tree hash if not given. */
  readonly basisId?: Uint8Array;
  /** Tells whoever writes the target that it had holes where it has zeros. Default: false. */
  readonly isTargetSparse?: boolean;
  /** Told once, after the last piece of a complete delta was taken. */
  readonly onSummary?: (summary: DiffSummary) => void;
}

const ownThread: DiffJobs = { scanBlock, diffSegment, aheadCount: 1 };

/**
 * The delta, piece by piece; every piece is the caller's to keep.
 *
 * Throws what `basis`, `target` and `jobs` throw, and `RdcError` `basis-short` if the basis ends before its own size.
 */
export async function* createDiff(
  basis: BasisReader,
  target: ByteSource,
  options: CreateDiffOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const { level = 'default', jobs = ownThread } = options;
  const pool = new BufferPool(jobs.allocate);
  const isHashed = options.basisId === undefined;
  const { index, treeHash } = await learnBasis(basis, {
    jobs,
    pool,
    isIndexed: basis.bytes > WINDOW_BYTES_MAX,
    isHashed,
  });
  const header = encodeDeltaHeader({
    basisBytes: basis.bytes,
    basisId: options.basisId ?? (treeHash as Uint8Array),
    isTargetSparse: options.isTargetSparse === true,
  });
  const sums = { targetBytes: 0, copyBytes: 0, addBytes: 0, literalBytes: 0, deltaBytes: header.length };
  yield header;
  const damageDetector = await loadDamageDetector();
  const sha256 = createHash('sha256');
  const reader = new ByteReader(target);
  const compare = async ({ start, block }: Block): Promise<DiffSegment> => {
    const targetHash = damageDetector(block);
    const hints = options.hintsFor?.(start, block.length);
    const guess = samePlace(basis.bytes, start, block.length);
    const extents = await windowOf(basis, block, { index, jobs, hints, guess });
    const window = pool.take(WINDOW_BYTES_MAX);
    let windowBytes = 0;
    for (const extent of extents) {
      await readExactly(basis, extent.start, window.subarray(windowBytes, windowBytes + extent.bytes), ACTION);
      windowBytes += extent.bytes;
    }
    const segment = await jobs.diffSegment({
      target: block,
      window: window.subarray(0, windowBytes),
      extents,
      level,
      targetHash,
    });
    pool.give(block);
    pool.give(window);
    return segment;
  };
  try {
    const blocks = segments(reader, pool, (block) => sha256.update(block));
    for await (const segment of inOrder(blocks, compare, jobs.aheadCount)) {
      sums.copyBytes += segment.copyBytes;
      sums.addBytes += segment.addBytes;
      sums.literalBytes += segment.literalBytes;
      sums.deltaBytes += segment.bytes.length;
      yield segment.bytes;
    }
  } finally {
    await reader.close();
  }
  sums.targetBytes = sums.copyBytes + sums.addBytes + sums.literalBytes;
  const targetSha256 = Uint8Array.from(sha256.digest());
  const trailer = encodeDeltaTrailer({ targetBytes: sums.targetBytes, targetSha256 });
  yield trailer;
  options.onSummary?.({ ...sums, targetSha256, deltaBytes: sums.deltaBytes + trailer.length });
}

/** Room for what was inserted or removed before a place. */
const SAME_PLACE_MARGIN_BYTES = 1024 * 1024;

function samePlace(basisBytes: number, start: number, bytes: number): Extent {
  const from = Math.max(0, start - SAME_PLACE_MARGIN_BYTES);
  const to = Math.min(basisBytes, start + bytes + SAME_PLACE_MARGIN_BYTES);
  return { start: from, bytes: to - from };
}

const ACTION = 'make the delta';

/** Bytes of the basis or the target, and where they begin there. */
interface Block {
  readonly start: number;
  readonly block: Uint8Array;
}

async function windowOf(
  basis: BasisReader,
  block: Uint8Array,
  tools: {
    readonly index: PlaceIndex | undefined;
    readonly jobs: DiffJobs;
    readonly hints: readonly Extent[] | undefined;
    readonly guess: Extent;
  },
): Promise<Extent[]> {
  const { index, jobs, hints, guess } = tools;
  if (basis.bytes === 0) return [];
  if (index === undefined) return [{ start: 0, bytes: basis.bytes }];
  const { anchors } = await jobs.scanBlock(block, { rateLog: anchorRateLogFor(basis.bytes), isHashed: false });
  return index.windowFor(anchors ?? new Uint32Array(0), hints, guess);
}

/** The target in blocks of 4 MiB from the pool, each told to `onBlock` in order. */
async function* segments(
  reader: ByteReader,
  pool: BufferPool,
  onBlock: (block: Uint8Array) => void,
): AsyncGenerator<Block, void> {
  for (let start = 0; ; start += SEGMENT_BYTES_MAX) {
    const buffer = pool.take(SEGMENT_BYTES_MAX);
    const block = buffer.subarray(0, await reader.fill(buffer));
    if (block.length > 0) {
      onBlock(block);
      yield { start, block };
    }
    if (block.length < SEGMENT_BYTES_MAX) return;
  }
}
