/**
 * Builds a target by a plan: copies from seeds, fetched bytes, and copies of what it has built so far.
 *
 * Guarantees that it ends normally only if the tree hash of everything it yielded is the target's. Until then what it
 * yields is a claim: write it aside, and commit at the end. Holds 1 MiB of the target and 64 KiB per seed, reads of the
 * seeds no more than three times what it copies, and fetches nothing twice.
 */
import { timingSafeEqual } from 'node:crypto';
import type { BasisReader } from '../basis-reader.ts';
import { readExactly } from '../basis-reader.ts';
import { ByteReader, type ByteSource } from '../byte-source.ts';
import { RdcError } from '../errors.ts';
import { READ_AHEAD_BYTES_MAX, REBUILT_PIECE_BYTES } from '../limits.ts';
import { TreeHash } from '../tree-hash.ts';
import type { NeedList } from './need-list.ts';
import { FROM_FETCH, FROM_TARGET, type NeedPlan } from './plan-needs.ts';

/** Where the bytes of a target come from. */
export interface TargetSources {
  /** The seeds of the plan, in its order. */
  readonly seeds: readonly BasisReader[];
  /** The needed ranges, one behind the other and nothing else. Called once, unless nothing is needed. */
  readonly fetch: (needs: NeedList) => ByteSource | Promise<ByteSource>;
  /**
   * Reads what was yielded before and is written by now; wanted only for a plan with copies from the target itself.
   * Its `bytes` are not looked at.
   */
  readonly written?: BasisReader;
}

/**
 * The target, in pieces of 1 MiB, the last one shorter; every piece is the caller's to keep. Nothing runs ahead of the
 * reader: asking for the next piece says that the one before can be read from `written`.
 *
 * Throws `RangeError` for a plan with self-copies without `written`; `RdcError`: `basis-mismatch` if a seed has another
 * size than when it was signed, `basis-short` if one ends early, `answer-invalid` if what is fetched is not as much as
 * was needed, `target-mismatch` if what was built is not the target: a seed changed, or two chunks shared a hash.
 */
export async function* rebuildTarget(plan: NeedPlan, sources: TargetSources): AsyncIterable<Uint8Array> {
  assertSources(plan, sources);
  const fetched = new ByteReader(plan.needs.rangeCount === 0 ? [] : await sources.fetch(plan.needs));
  // Not `await using`, which Node 22 cannot parse.
  try {
    const builder = new TargetBuilder(plan, sources, fetched);
    const treeHash = new TreeHash();
    for (let piece = await builder.next(); piece !== undefined; piece = await builder.next()) {
      treeHash.update(piece);
      yield piece;
    }
    if (!(await fetched.isAtEnd())) throw answerInvalid('it goes on after the needed ranges');
    if (!timingSafeEqual(treeHash.digest(), plan.targetTreeHash)) {
      throw new RdcError('target-mismatch', 'Cannot rebuild the target: what was built does not have its tree hash');
    }
  } finally {
    await fetched.close();
  }
}

function assertSources(plan: NeedPlan, sources: TargetSources): void {
  if (sources.seeds.length !== plan.seedBytes.length) {
    throw new RangeError(`Cannot rebuild the target: ${sources.seeds.length} seeds, expected ${plan.seedBytes.length}`);
  }
  sources.seeds.forEach((seed, index) => {
    if (seed.bytes === plan.seedBytes[index]) return;
    throw new RdcError(
      'basis-mismatch',
      `Cannot rebuild the target: seed ${index} has ${seed.bytes} bytes, expected ${plan.seedBytes[index]}`,
    );
  });
  if (sources.written === undefined && plan.stepSources.includes(FROM_TARGET)) {
    throw new RangeError('Cannot rebuild the target: it copies from itself, expected a reader of what is written');
  }
}

/** Takes the steps of a plan one after the other, piece by piece. */
class TargetBuilder {
  readonly #plan: NeedPlan;
  readonly #fetched: ByteReader;
  readonly #seeds: readonly AheadReader[];
  readonly #written: AheadReader | undefined;
  #step = 0;
  /** Bytes of the current step that are done. */
  #stepDone = 0;
  #pieceStart = 0;

  constructor(plan: NeedPlan, sources: TargetSources, fetched: ByteReader) {
    this.#plan = plan;
    this.#fetched = fetched;
    this.#seeds = sources.seeds.map((seed) => new AheadReader(seed, seed.bytes));
    this.#written = sources.written && new AheadReader(sources.written, 0);
  }

  /** The next piece, or undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    const bytes = Math.min(REBUILT_PIECE_BYTES, this.#plan.targetBytes - this.#pieceStart);
    if (bytes === 0) return undefined;
    const piece = new Uint8Array(bytes);
    let filled = 0;
    while (filled < bytes) {
      const rest = (this.#plan.stepLengths[this.#step] as number) - this.#stepDone;
      const part = piece.subarray(filled, filled + Math.min(bytes - filled, rest));
      await this.#fill(part, piece);
      filled += part.length;
      this.#stepDone += part.length;
      if (part.length < rest) continue;
      this.#step++;
      this.#stepDone = 0;
    }
    this.#pieceStart += bytes;
    return piece;
  }

  /** Fills a part of the piece with the next bytes of the current step. */
  async #fill(part: Uint8Array, piece: Uint8Array): Promise<void> {
    const source = this.#plan.stepSources[this.#step] as number;
    const offset = (this.#plan.stepOffsets[this.#step] as number) + this.#stepDone;
    if (source === FROM_FETCH) await this.#takeFetched(part);
    else if (source === FROM_TARGET) await this.#copyFromTarget(part, offset, piece);
    else await (this.#seeds[source] as AheadReader).read(offset, part);
  }

  async #takeFetched(part: Uint8Array): Promise<void> {
    const bytes = await this.#fetched.take(part.length);
    if (bytes === undefined) throw answerInvalid('it ends before the last needed range');
    part.set(bytes);
  }

  /** What lies in the current piece is taken from there, what lies before it from where it was written. */
  async #copyFromTarget(part: Uint8Array, offset: number, piece: Uint8Array): Promise<void> {
    const writtenBytes = Math.max(0, Math.min(part.length, this.#pieceStart - offset));
    if (writtenBytes > 0) {
      this.#written?.growTo(this.#pieceStart);
      await this.#written?.read(offset, part.subarray(0, writtenBytes));
    }
    // Copies never overlap what they copy, so the source is complete.
    const start = offset + writtenBytes - this.#pieceStart;
    part.set(piece.subarray(start, start + part.length - writtenBytes), writtenBytes);
  }
}

/**
 * Reads a little ahead, as neighbouring copies often lie behind one another: a read of a file costs 20 µs whatever its
 * size. Each time as much ahead as the time before was of use, so that crafted plans cannot make reading expensive.
 */
class AheadReader {
  readonly #basis: BasisReader;
  #bytes: number;
  #buffer = new Uint8Array(0);
  #start = 0;
  #end = 0;
  /** Bytes of the buffer that were asked for since it was filled. */
  #used = 0;

  constructor(basis: BasisReader, bytes: number) {
    this.#basis = basis;
    this.#bytes = bytes;
  }

  /** Says that the basis has at least this many bytes by now. */
  growTo(bytes: number): void {
    this.#bytes = bytes;
  }

  /** Fills `into`, which lies within the basis. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    const isBuffered = offset >= this.#start && offset + into.length <= this.#end;
    if (!isBuffered) {
      const aheadBytes = Math.min(READ_AHEAD_BYTES_MAX, 2 * this.#used + into.length, this.#bytes - offset);
      if (aheadBytes <= into.length) {
        await readExactly(this.#basis, offset, into, 'rebuild the target');
        this.#used = into.length;
        return;
      }
      if (this.#buffer.length === 0) this.#buffer = new Uint8Array(READ_AHEAD_BYTES_MAX);
      // Nothing is buffered should reading fail.
      this.#end = this.#start;
      await readExactly(this.#basis, offset, this.#buffer.subarray(0, aheadBytes), 'rebuild the target');
      this.#start = offset;
      this.#end = offset + aheadBytes;
      this.#used = 0;
    }
    into.set(this.#buffer.subarray(offset - this.#start, offset - this.#start + into.length));
    this.#used += into.length;
  }
}

function answerInvalid(state: string): RdcError {
  return new RdcError('answer-invalid', `Cannot rebuild the target: what was fetched is not what was needed, ${state}`);
}
