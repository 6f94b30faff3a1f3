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
import { TreeHash } from '../tree-hash.ts';
import { anchorsOf, type DiffLevel, type DiffSegment, diffSegment, type SegmentInput } from './diff-segment.ts';
import { type Anchors, anchorRateLogFor, type Extent, PlaceIndex } from './place-index.ts';

/** The work that may be done elsewhere. Each is a pure function; the defaults do it on this thread. */
export interface DiffJobs {
  readonly anchorsOf: (block: Uint8Array, rateLog: number) => Promise<Anchors> | Anchors;
  readonly diffSegment: (input: SegmentInput) => Promise<DiffSegment> | DiffSegment;
  /** Blocks and segments that may be under way at once: threads and one, say. */
  readonly aheadCount: number;
  /** Memory that the other threads see without copying. At most 12 MiB for each of `aheadCount` are asked for. */
  readonly allocate?: (bytes: number) => Uint8Array;
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
  /** Told once, after the last piece of a complete delta was taken. */
  readonly onSummary?: (summary: DiffSummary) => void;
}

const ownThread: DiffJobs = { anchorsOf, diffSegment, aheadCount: 1 };

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
  const pool = new BufferPool(jobs);
  const { index, treeHash } = await indexed(basis, { jobs, pool, isHashed: options.basisId === undefined });
  const header = encodeDeltaHeader({ basisBytes: basis.bytes, basisId: options.basisId ?? treeHash });
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

/**
 * Large buffers used again and again: garbage of this size is collected too late to keep memory small. Views of a
 * buffer given back stand for the whole of it.
 */
class BufferPool {
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #free: Uint8Array[] = [];

  constructor(jobs: DiffJobs) {
    this.#allocate = jobs.allocate ?? ((bytes) => new Uint8Array(bytes));
  }

  take(bytes: number): Uint8Array {
    const found = this.#free.findIndex((buffer) => buffer.length === bytes);
    return found === -1 ? this.#allocate(bytes) : (this.#free.splice(found, 1)[0] as Uint8Array);
  }

  give(view: Uint8Array): void {
    this.#free.push(new Uint8Array(view.buffer));
  }
}

/** Bytes of the basis or the target, and where they begin there. */
interface Block {
  readonly start: number;
  readonly block: Uint8Array;
}

interface SampledBlock {
  readonly start: number;
  readonly anchors: Anchors | undefined;
}

/** What lies where in the basis. Undefined for one that fits into a window: all of it is looked at anyway. */
async function indexed(
  basis: BasisReader,
  tools: { readonly jobs: DiffJobs; readonly pool: BufferPool; readonly isHashed: boolean },
): Promise<{ readonly index: PlaceIndex | undefined; readonly treeHash: Uint8Array }> {
  const { jobs, pool, isHashed } = tools;
  const hash = new TreeHash();
  const index = basis.bytes > WINDOW_BYTES_MAX ? new PlaceIndex(basis.bytes) : undefined;
  const rateLog = anchorRateLogFor(basis.bytes);
  const read = async function* (): AsyncGenerator<Block, void> {
    for (const { start, bytes } of blocksOf(basis.bytes)) {
      const block = pool.take(SEGMENT_BYTES_MAX).subarray(0, bytes);
      await readExactly(basis, start, block, ACTION);
      if (isHashed) hash.update(block);
      yield { start, block };
    }
  };
  const sample = async (found: Block): Promise<SampledBlock> => {
    const anchors = index === undefined ? undefined : await jobs.anchorsOf(found.block, rateLog);
    pool.give(found.block);
    return { start: found.start, anchors };
  };
  if (index === undefined && !isHashed) return { index, treeHash: hash.digest() };
  // In order: of equal places the first one is remembered.
  for await (const { start, anchors } of inOrder(read(), sample, jobs.aheadCount)) {
    if (anchors !== undefined) index?.add(anchors, start);
  }
  return { index, treeHash: hash.digest() };
}

function* blocksOf(bytes: number): Generator<Extent, void> {
  for (let start = 0; start < bytes; start += SEGMENT_BYTES_MAX) {
    yield { start, bytes: Math.min(SEGMENT_BYTES_MAX, bytes - start) };
  }
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
  return index.windowFor(await jobs.anchorsOf(block, anchorRateLogFor(basis.bytes)), hints, guess);
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

/** Results in the order of their inputs, at most `aheadCount` of them under way. */
async function* inOrder<Input, Output>(
  inputs: AsyncIterable<Input> | Iterable<Input>,
  work: (input: Input) => Promise<Output>,
  aheadCount: number,
): AsyncGenerator<Output, void> {
  const underWay: Promise<Output>[] = [];
  try {
    for await (const input of inputs) {
      const result = work(input);
      // Its failure is told when its turn comes; until then nobody listens.
      result.catch(() => undefined);
      underWay.push(result);
      if (underWay.length >= aheadCount) yield await (underWay.shift() as Promise<Output>);
    }
    while (underWay.length > 0) yield await (underWay.shift() as Promise<Output>);
  } finally {
    // Left early or failed: nobody will ask for the rest any more.
    await Promise.allSettled(underWay);
  }
}
