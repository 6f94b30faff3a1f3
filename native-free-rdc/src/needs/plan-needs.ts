/**
 * How to build a target whose signature is known from what is at hand: copies from seeds, and ranges to be fetched.
 *
 * A seed is any file of the receiver's that may share content with the target: its old version, the next package. It is
 * signed in the same way as the target, with the target's salt and sizes, and then two signatures are compared. Content
 * that occurs twice in the target and in no seed is fetched once. The plan is a guess until `rebuildTarget` has compared
 * the tree hash of the whole. Work and memory are linear in the chunks, whatever the signatures say.
 */
import { NEED_GAP_BYTES_DEFAULT, NEED_RANGES_MAX, PROBES_MAX } from '../limits.ts';
import { assertComparable } from '../signature/combine-signatures.ts';
import type { Signature } from '../signature/signature.ts';
import type { NeedList } from './need-list.ts';

/** In place of the index of a seed: the step is fetched, or copied from what is already written of the target. */
export const FROM_FETCH = -1;
export const FROM_TARGET = -2;

/** The target as steps, in its order, without gaps. The arrays are `stepCount` long. */
export interface NeedPlan {
  readonly targetBytes: number;
  readonly targetTreeHash: Uint8Array;
  /** Size of each seed, in the order given. */
  readonly seedBytes: readonly number[];
  readonly stepCount: number;
  /** Index of a seed, `FROM_FETCH` or `FROM_TARGET`. */
  readonly stepSources: Int32Array;
  /** Where in the seed or target the step's bytes are; 0 for what is fetched. */
  readonly stepOffsets: Float64Array;
  readonly stepLengths: Float64Array;
  /** What has to be fetched: the steps of `FROM_FETCH`, which the sender gets as `encodeNeeds(plan.needs)`. */
  readonly needs: NeedList;
}

export interface PlanNeedsOptions {
  /**
   * Copies from the target's own beginning, for which `rebuildTarget` has to read what was written. Default: true.
   * Without them, repeated content is fetched again.
   */
  readonly selfCopies?: boolean;
  /** Copies shorter than this between two fetches are fetched too: a range more costs about as much. Default: 1024. */
  readonly gapBytesMax?: number;
}

/**
 * Plans a target from seeds, which are signed as `createSignature(seed, { ...target, basisBytes })` does it. A content
 * in several seeds is taken from where it continues a copy, else from the first.
 *
 * Throws `RangeError` for seeds signed in another way.
 */
export function planNeeds(target: Signature, seeds: readonly Signature[], options: PlanNeedsOptions = {}): NeedPlan {
  const contents = new Contents(target);
  seeds.forEach((seed, index) => {
    assertComparable(seed, target);
    contents.findIn(seed, index);
  });
  const steps = new Steps(target.chunkCount);
  for (let chunk = 0; chunk < target.chunkCount; chunk++) {
    const length = target.chunkLengths[chunk] as number;
    const { source, offset } = contents.sourceOf(chunk);
    if (source === FROM_TARGET && options.selfCopies === false) steps.add(FROM_FETCH, 0, length);
    else steps.add(source, offset, length);
  }
  let gapBytesMax = options.gapBytesMax ?? NEED_GAP_BYTES_DEFAULT;
  steps.fetchShortCopies(gapBytesMax);
  while (steps.fetchCount > NEED_RANGES_MAX) {
    gapBytesMax = Math.max(1, gapBytesMax * 2);
    steps.fetchShortCopies(gapBytesMax);
  }
  return {
    targetBytes: target.bytes,
    targetTreeHash: target.treeHash,
    seedBytes: seeds.map((seed) => seed.bytes),
    ...steps.columns(),
    needs: steps.needs(target),
  };
}

/** The different contents of a target's chunks, and where each was found. A content is named by its first chunk. */
class Contents {
  readonly #target: Signature;
  /** Two Int32 to a hash: comparing BigInts makes garbage. */
  readonly #words: Int32Array;
  /** Start of each chunk in the target. */
  readonly #starts: Float64Array;
  /** First chunk with the content of this one. */
  readonly #firsts: Int32Array;
  readonly #sources: Int32Array;
  readonly #offsets: Float64Array;
  /** Open addressing, at most half full: chunk + 1, or 0. */
  readonly #slots: Int32Array;

  constructor(target: Signature) {
    const { chunkCount, chunkLengths } = target;
    this.#target = target;
    this.#words = wordsOf(target);
    this.#starts = new Float64Array(chunkCount);
    this.#firsts = new Int32Array(chunkCount);
    this.#sources = new Int32Array(chunkCount).fill(FROM_FETCH);
    this.#offsets = new Float64Array(chunkCount);
    let slotCount = 16;
    while (slotCount < 2 * chunkCount) slotCount *= 2;
    this.#slots = new Int32Array(slotCount);
    let start = 0;
    for (let chunk = 0; chunk < chunkCount; chunk++) {
      this.#starts[chunk] = start;
      start += chunkLengths[chunk] as number;
      this.#firsts[chunk] = this.#insert(chunk);
    }
  }

  /** Remembers where in a seed contents of the target are. */
  findIn(seed: Signature, seedIndex: number): void {
    const words = wordsOf(seed);
    let offset = 0;
    for (let chunk = 0; chunk < seed.chunkCount; chunk++) {
      const length = seed.chunkLengths[chunk] as number;
      const found = this.#find(words[chunk * 2] as number, words[chunk * 2 + 1] as number, length);
      if (found !== -1 && (this.#sources[found] === FROM_FETCH || this.#isContinued(found, seedIndex, offset))) {
        this.#sources[found] = seedIndex;
        this.#offsets[found] = offset;
      }
      offset += length;
    }
  }

  /** Where the bytes of a chunk come from. */
  sourceOf(chunk: number): { readonly source: number; readonly offset: number } {
    const first = this.#firsts[chunk] as number;
    const source = this.#sources[first] as number;
    if (source !== FROM_FETCH) return { source, offset: this.#offsets[first] as number };
    return first === chunk
      ? { source: FROM_FETCH, offset: 0 }
      : { source: FROM_TARGET, offset: this.#starts[first] as number };
  }

  /** Whether the chunk before this content is taken from just before this place. */
  #isContinued(chunk: number, seedIndex: number, offset: number): boolean {
    if (chunk === 0) return false;
    const before = this.#firsts[chunk - 1] as number;
    const end = (this.#offsets[before] as number) + (this.#target.chunkLengths[before] as number);
    return this.#sources[before] === seedIndex && end === offset;
  }

  /** The first chunk of the same content; this one if there is none, or none within reach. */
  #insert(chunk: number): number {
    const low = this.#words[chunk * 2] as number;
    const high = this.#words[chunk * 2 + 1] as number;
    const length = this.#target.chunkLengths[chunk] as number;
    const mask = this.#slots.length - 1;
    for (let probe = 0, slot = low & mask; probe < PROBES_MAX; probe++, slot = (slot + 1) & mask) {
      const other = (this.#slots[slot] as number) - 1;
      if (other === -1) {
        this.#slots[slot] = chunk + 1;
        return chunk;
      }
      if (this.#isChunk(other, low, high, length)) return other;
    }
    return chunk;
  }

  #find(low: number, high: number, length: number): number {
    const mask = this.#slots.length - 1;
    for (let probe = 0, slot = low & mask; probe < PROBES_MAX; probe++, slot = (slot + 1) & mask) {
      const other = (this.#slots[slot] as number) - 1;
      if (other === -1 || this.#isChunk(other, low, high, length)) return other;
    }
    return -1;
  }

  #isChunk(chunk: number, low: number, high: number, length: number): boolean {
    return (
      this.#words[chunk * 2] === low &&
      this.#words[chunk * 2 + 1] === high &&
      this.#target.chunkLengths[chunk] === length
    );
  }
}

/** Steps in the order of the target, neighbours of one source in one. */
class Steps {
  #count = 0;
  #fetchCount = 0;
  readonly #sources: Int32Array;
  readonly #offsets: Float64Array;
  readonly #lengths: Float64Array;

  constructor(countMax: number) {
    this.#sources = new Int32Array(countMax);
    this.#offsets = new Float64Array(countMax);
    this.#lengths = new Float64Array(countMax);
  }

  get fetchCount(): number {
    return this.#fetchCount;
  }

  add(source: number, offset: number, length: number): void {
    const last = this.#count - 1;
    const lastLength = this.#lengths[last] as number;
    const isContinued =
      last >= 0 &&
      this.#sources[last] === source &&
      (source === FROM_FETCH || (this.#offsets[last] as number) + lastLength === offset);
    if (isContinued) {
      this.#lengths[last] = lastLength + length;
      return;
    }
    this.#sources[this.#count] = source;
    this.#offsets[this.#count] = offset;
    this.#lengths[this.#count] = length;
    this.#count++;
    if (source === FROM_FETCH) this.#fetchCount++;
  }

  /** Makes fetches of copies between two fetches that are together shorter than `bytesMax`. */
  fetchShortCopies(bytesMax: number): void {
    const count = this.#count;
    this.#count = 0;
    this.#fetchCount = 0;
    let between = 0;
    let isBehindFetch = false;
    // Steps are read ahead of where they are written, as the written are never more.
    for (let index = 0; index < count; index++) {
      const isFetch = this.#sources[index] === FROM_FETCH;
      if (!isFetch) {
        between += this.#lengths[index] as number;
        this.#append(index);
        continue;
      }
      if (isBehindFetch && between < bytesMax) this.#fetchBack(between);
      this.#append(index);
      isBehindFetch = true;
      between = 0;
    }
  }

  needs(target: Signature): NeedList {
    const starts = new Float64Array(this.#fetchCount);
    const lengths = new Float64Array(this.#fetchCount);
    let rangeCount = 0;
    let neededBytes = 0;
    let start = 0;
    for (let index = 0; index < this.#count; index++) {
      const length = this.#lengths[index] as number;
      if (this.#sources[index] === FROM_FETCH) {
        starts[rangeCount] = start;
        lengths[rangeCount] = length;
        rangeCount++;
        neededBytes += length;
      }
      start += length;
    }
    const { bytes: targetBytes, treeHash: targetTreeHash } = target;
    return { targetBytes, targetTreeHash, rangeCount, starts, lengths, neededBytes };
  }

  columns(): Pick<NeedPlan, 'stepCount' | 'stepSources' | 'stepOffsets' | 'stepLengths'> {
    return {
      stepCount: this.#count,
      stepSources: this.#sources.slice(0, this.#count),
      stepOffsets: this.#offsets.slice(0, this.#count),
      stepLengths: this.#lengths.slice(0, this.#count),
    };
  }

  #append(index: number): void {
    this.add(this.#sources[index] as number, this.#offsets[index] as number, this.#lengths[index] as number);
  }

  /** Takes back the steps of the last `bytes` bytes, up to a fetch, and fetches them as well. */
  #fetchBack(bytes: number): void {
    for (let rest = bytes; rest > 0; ) {
      this.#count--;
      rest -= this.#lengths[this.#count] as number;
    }
    if (bytes > 0) this.add(FROM_FETCH, 0, bytes);
  }
}

function wordsOf(signature: Signature): Int32Array {
  const { chunkHashes, chunkCount } = signature;
  return new Int32Array(chunkHashes.buffer, chunkHashes.byteOffset, chunkCount * 2);
}
