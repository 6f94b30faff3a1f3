/**
 * Where in the basis content lies that a block of the target also has: a sampled, content-defined index.
 *
 * One place in 512 (fewer in a large basis) is remembered by a 32-bit key of the 32 bytes there. That is too coarse to
 * copy from, and just enough to tell which parts of a basis of any size a segment of the target came from, so that only
 * those are read and compared closely. Renamed, moved and reordered content is found as well as content in place. At
 * most 2^20 places in 16 MiB, whatever the basis; wrong answers cost bytes, never correctness.
 */
import { ANCHOR_COUNT_AIM, ANCHOR_RATE_LOG_MIN, WINDOW_BLOCK_BYTES, WINDOW_BYTES_MAX } from '../limits.ts';

/** Positions are kept in units of this many bytes, so that 32 bits reach over the largest basis. */
const PLACE_UNIT_BYTES = 4096;
const UNITS_PER_BLOCK = WINDOW_BLOCK_BYTES / PLACE_UNIT_BYTES;
/** Slots one search or insertion looks at. */
const PLACE_PROBES_MAX = 16;
/** A place found speaks for its own block, and a little for the neighbours. */
const VOTES_OWN = 8;
const VOTES_NEIGHBOUR = 1;
/** Names are right more often than a sample: what they hint at comes before what only looks alike. A guess does not. */
const VOTES_HINT = 2 ** 20;
/** What a single place says of a block may be chance, and costs reading and comparing 64 KiB. */
const VOTES_MIN = 2 * VOTES_OWN + 1;

/** Sampled places of a block: alternating key and offset in the block. */
export type Anchors = Uint32Array;

/** Sampling for a basis of this size: one place in 2^rateLog. */
export function anchorRateLogFor(basisBytes: number): number {
  let rateLog = ANCHOR_RATE_LOG_MIN;
  while (basisBytes / 2 ** rateLog > ANCHOR_COUNT_AIM) rateLog++;
  return rateLog;
}

/** A part of the basis: start and length in bytes. */
export interface Extent {
  readonly start: number;
  readonly bytes: number;
}

/** Filled with the anchors of the basis, asked with those of a segment. */
export class PlaceIndex {
  readonly #basisBytes: number;
  readonly #keys: Uint32Array;
  readonly #units: Uint32Array;
  readonly #shift: number;
  readonly #mask: number;

  constructor(basisBytes: number) {
    this.#basisBytes = basisBytes;
    const expected = basisBytes / 2 ** anchorRateLogFor(basisBytes);
    const bits = Math.max(8, Math.ceil(Math.log2(expected + 1)) + 1);
    this.#keys = new Uint32Array(2 ** bits);
    this.#units = new Uint32Array(2 ** bits);
    this.#shift = 32 - bits;
    this.#mask = 2 ** bits - 1;
  }

  /** Remembers the anchors of the block that begins at `blockStart`. The first place of a key stays. */
  add(anchors: Anchors, blockStart: number): void {
    for (let index = 0; index < anchors.length; index += 2) {
      const key = (anchors[index] as number) || 1;
      const slot = this.#slotOf(key);
      if (slot === -1 || this.#keys[slot] === key) continue;
      this.#keys[slot] = key;
      this.#units[slot] = Math.floor((blockStart + (anchors[index + 1] as number)) / PLACE_UNIT_BYTES);
    }
  }

  /**
   * The parts of the basis most likely to hold what the anchors were taken from, hints first, or else the `guess` last;
   * ascending, 8 MiB at most.
   */
  windowFor(anchors: Anchors, hints: readonly Extent[] | undefined, guess: Extent): Extent[] {
    const votes = new Map<number, number>();
    const vote = (block: number, count: number): void => {
      if (block < 0 || block * WINDOW_BLOCK_BYTES >= this.#basisBytes) return;
      votes.set(block, (votes.get(block) ?? 0) + count);
    };
    for (const [block, count] of this.#hitsOf(anchors)) {
      vote(block, count * VOTES_OWN);
      vote(block - 1, count * VOTES_NEIGHBOUR);
      vote(block + 1, count * VOTES_NEIGHBOUR);
    }
    let named = union((hints ?? []).map((extent) => this.#widened(extent)));
    if (bytesOf(named) > WINDOW_BYTES_MAX) {
      // Of too many hints, those that anchors speak for.
      for (const extent of named) for (const block of blocksOf(extent)) vote(block, VOTES_HINT);
      named = [];
    }
    const ranked = [...votes]
      .filter(([, count]) => count >= VOTES_MIN)
      .sort((left, right) => right[1] - left[1] || left[0] - right[0])
      .map(([block]) => block);
    const window = new WindowPlan(named, this.#basisBytes);
    for (const block of ranked) window.add(block);
    for (const block of hints === undefined ? blocksOf(guess) : []) window.add(block);
    return window.extents();
  }

  /** A large extent as whole blocks; a small one, as of a small file, as it is. */
  #widened({ start, bytes }: Extent): Extent {
    if (bytes < WINDOW_BLOCK_BYTES) return { start, bytes };
    const from = start - (start % WINDOW_BLOCK_BYTES);
    const to = Math.min(this.#basisBytes, Math.ceil((start + bytes) / WINDOW_BLOCK_BYTES) * WINDOW_BLOCK_BYTES);
    return { start: from, bytes: to - from };
  }

  /** How many anchors each block of the basis has. Neighbours mostly come from one block: they are counted as a run. */
  #hitsOf(anchors: Anchors): Map<number, number> {
    const hits = new Map<number, number>();
    let run = -1;
    let runCount = 0;
    for (let index = 0; index < anchors.length; index += 2) {
      const key = (anchors[index] as number) || 1;
      const slot = this.#slotOf(key);
      if (slot === -1 || this.#keys[slot] !== key) continue;
      const block = Math.floor((this.#units[slot] as number) / UNITS_PER_BLOCK);
      if (block !== run) {
        if (runCount > 0) hits.set(run, (hits.get(run) ?? 0) + runCount);
        run = block;
        runCount = 0;
      }
      runCount++;
    }
    if (runCount > 0) hits.set(run, (hits.get(run) ?? 0) + runCount);
    return hits;
  }

  /** The slot that holds `key` or where it belongs; -1 if its neighbourhood is full. */
  #slotOf(key: number): number {
    const first = Math.imul(key, 0x9e3779b1) >>> this.#shift;
    for (let probe = 0; probe < PLACE_PROBES_MAX; probe++) {
      const slot = (first + probe) & this.#mask;
      if (this.#keys[slot] === 0 || this.#keys[slot] === key) return slot;
    }
    return -1;
  }
}

function* blocksOf({ start, bytes }: Extent): Generator<number, void> {
  if (bytes <= 0) return;
  const last = Math.floor((start + bytes - 1) / WINDOW_BLOCK_BYTES);
  for (let block = Math.floor(start / WINDOW_BLOCK_BYTES); block <= last; block++) yield block;
}

/** Hints, exactly as they are: many small files lie in many blocks; and around them whole blocks, as far as there is room. */
class WindowPlan {
  readonly #named: readonly Extent[];
  readonly #basisBytes: number;
  readonly #blocks = new Set<number>();
  #bytesLeft: number;

  /** `named`: ascending, without overlap. */
  constructor(named: readonly Extent[], basisBytes: number) {
    this.#named = named;
    this.#basisBytes = basisBytes;
    this.#bytesLeft = WINDOW_BYTES_MAX - bytesOf(named);
  }

  add(block: number): void {
    if (this.#blocks.has(block)) return;
    const extent = this.#extentOf(block);
    const addedBytes = extent.bytes - this.#namedBytesIn(extent);
    if (addedBytes > this.#bytesLeft) return;
    this.#bytesLeft -= addedBytes;
    this.#blocks.add(block);
  }

  extents(): Extent[] {
    return union([...this.#named, ...[...this.#blocks].map((block) => this.#extentOf(block))]);
  }

  #extentOf(block: number): Extent {
    const start = block * WINDOW_BLOCK_BYTES;
    return { start, bytes: Math.min(WINDOW_BLOCK_BYTES, this.#basisBytes - start) };
  }

  #namedBytesIn({ start, bytes }: Extent): number {
    const end = start + bytes;
    let low = 0;
    let high = this.#named.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const named = this.#named[middle] as Extent;
      if (named.start + named.bytes <= start) low = middle + 1;
      else high = middle;
    }
    let sum = 0;
    for (; low < this.#named.length; low++) {
      const named = this.#named[low] as Extent;
      if (named.start >= end) break;
      sum += Math.min(end, named.start + named.bytes) - Math.max(start, named.start);
    }
    return sum;
  }
}

/** The same bytes as ascending extents that neither touch nor overlap. */
function union(extents: readonly Extent[]): Extent[] {
  const joined: { start: number; bytes: number }[] = [];
  for (const { start, bytes } of extents.toSorted((left, right) => left.start - right.start)) {
    if (bytes <= 0) continue;
    const last = joined.at(-1);
    if (last !== undefined && start <= last.start + last.bytes)
      last.bytes = Math.max(last.bytes, start + bytes - last.start);
    else joined.push({ start, bytes });
  }
  return joined;
}

function bytesOf(extents: readonly Extent[]): number {
  return extents.reduce((sum, { bytes }) => sum + bytes, 0);
}
