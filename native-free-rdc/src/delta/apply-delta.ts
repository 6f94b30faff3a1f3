/**
 * Rebuilds a target from its basis and a delta.
 *
 * Guarantees that it ends normally only if the SHA-256 of everything it yielded is the one in the delta's trailer, and
 * that no delta, however hostile, makes it hold more than a segment, its columns and one batch of the basis (what
 * limits.ts allows, and the codec's window), read more of the basis than four times the target, or loop. What it yields before
 * its end is a claim, not a fact: write it into a bowl and commit at the end.
 * Deliberately does not hash the basis: `readDeltaHeader` names it, and a wrong one cannot pass the end.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { constants, zstdDecompressSync } from 'node:zlib';
import { type BasisReader, readExactly } from '../basis-reader.ts';
import { ByteReader, type ByteSource } from '../byte-source.ts';
import { type ChunkHash, loadDamageDetector } from '../chunk/chunk-hash.ts';
import { RdcError } from '../errors.ts';
import { READ_BATCH_BYTES_MAX, TARGET_BYTES_MAX, ZSTD_WINDOW_LOG_MAX } from '../limits.ts';
import { KernelMemory } from '../wasm-kernel.ts';
import {
  COLUMNS,
  type Column,
  type ColumnHead,
  DELTA_HEADER_BYTES,
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
import { decodeOps, type Ops } from './delta-ops.ts';
import { FIELD_KIND_MAX, SegmentRebuilder } from './field-kernel.ts';

export interface ApplyDeltaOptions {
  /**
   * Undoes `compress`. A result of another length than `bytesMax` is refused; one that would be longer should not be
   * made at all. `dictionary`: old bytes the frame begins with. Default: Node's zstd, refusing windows above 16 MiB.
   */
  readonly decompress?: (
    bytes: Uint8Array,
    bytesMax: number,
    dictionary?: Uint8Array,
  ) => Uint8Array | Promise<Uint8Array>;
  /** The target is refused as soon as it would be longer. Default: 2^53 − 1. */
  readonly targetBytesMax?: number;
}

/**
 * The target, piece by piece, at most 4 MiB each; every piece is the caller's to keep. Nothing runs ahead of the reader.
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
): AsyncIterable<Uint8Array> {
  const reader = new ByteReader(delta);
  // Not `await using`, which Node 22 cannot parse.
  try {
    yield* rebuiltSegments(basis, reader, options);
  } finally {
    await reader.close();
  }
}

let ofThisThread: SegmentRebuilder | undefined;

/** Made when first needed and kept: it holds nothing from one segment to the next. */
function rebuilder(): SegmentRebuilder {
  ofThisThread ??= new SegmentRebuilder(new KernelMemory());
  return ofThisThread;
}

async function* rebuiltSegments(
  basis: BasisReader,
  reader: ByteReader,
  options: ApplyDeltaOptions,
): AsyncGenerator<Uint8Array, void> {
  const targetBytesMax = options.targetBytesMax ?? TARGET_BYTES_MAX;
  const decompress = options.decompress ?? decompressZstd;
  const damageDetector = await loadDamageDetector();
  const header = readDeltaHeader(await takeOrTruncated(reader, DELTA_HEADER_BYTES));
  if (basis.bytes !== header.basisBytes) {
    throw new RdcError(
      'basis-mismatch',
      `Cannot apply the delta: the basis has ${basis.bytes} bytes, expected ${header.basisBytes}`,
    );
  }
  const sha256 = createHash('sha256');
  let targetBytes = 0;
  for (;;) {
    const tag = (await takeOrTruncated(reader, TAG_BYTES))[0] as number;
    if (tag === TAG_TRAILER) break;
    if (tag !== TAG_SEGMENT) throw invalid(`it goes on with tag ${tag}, expected a segment or the trailer`);
    const rest = await takeOrTruncated(reader, SEGMENT_HEAD_BYTES - TAG_BYTES);
    const head = decodeSegmentHead(withTag(tag, rest), header);
    targetBytes += head.targetBytes;
    if (targetBytes > targetBytesMax) {
      throw new RdcError(
        'limit-exceeded',
        `Cannot apply the delta: the target has ${targetBytes} bytes or more, expected at most ${targetBytesMax}`,
      );
    }
    const columns = await readColumns(reader, head, { basis, decompress });
    const ops = decodeOps(columns.ops, {
      targetBytes: head.targetBytes,
      literalBytes: columns.literals.length,
      basisBytes: header.basisBytes,
    });
    const segment = await rebuildSegment(basis, { head, ops, columns, damageDetector });
    sha256.update(segment);
    yield segment;
  }
  const trailerRest = await takeOrTruncated(reader, TRAILER_BYTES - TAG_BYTES);
  const trailer = decodeDeltaTrailer(withTag(TAG_TRAILER, trailerRest));
  if (!(await reader.isAtEnd())) throw invalid('it goes on after its trailer');
  if (trailer.targetBytes !== targetBytes || !timingSafeEqual(sha256.digest(), trailer.targetSha256)) {
    throw mismatch('the rebuilt target does not have the SHA-256 the delta says');
  }
}

/** A segment's target bytes, freshly allocated and checked against the segment's hash. */
async function rebuildSegment(
  basis: BasisReader,
  parts: {
    readonly head: SegmentHead;
    readonly ops: Ops;
    readonly columns: Readonly<Record<Column, Uint8Array>>;
    readonly damageDetector: ChunkHash;
  },
): Promise<Uint8Array> {
  const { head, ops, columns } = parts;
  const { literals } = columns;
  const target = new Uint8Array(head.targetBytes);
  const copies = new BatchedBasis(basis, ops);
  let filled = 0;
  let literalsTaken = 0;
  for (let index = 0; index < ops.count; index++) {
    const length = ops.lengths[index] as number;
    const into = target.subarray(filled, filled + length);
    filled += length;
    if ((ops.starts[index] as number) >= 0) {
      const reading = copies.copy(index, into);
      if (reading !== undefined) await reading;
    } else {
      into.set(literals.subarray(literalsTaken, literalsTaken + length));
      literalsTaken += length;
    }
  }
  if (columns.kinds.length + columns.gaps.length + columns.values.length > 0) {
    if (!rebuilder().rebuild(target, ops, columns)) throw invalid('the corrections of a segment do not fit its copies');
  }
  if (parts.damageDetector(target) !== head.targetHash) {
    throw mismatch(
      'a rebuilt segment does not have the hash the delta says; the basis is another or the delta damaged',
    );
  }
  return target;
}

/**
 * Reads copies that lie behind one another in the basis in one go: a read costs some 20 µs whatever its size, and a
 * delta of densely changed content has a copy every few KiB. A batch skips at most as much as it uses, so that a
 * hostile delta cannot make reading expensive.
 */
class BatchedBasis {
  readonly #basis: BasisReader;
  readonly #ops: Ops;
  #batch = new Uint8Array(0);
  #batchStart = 0;
  #batchEnd = 0;
  /** Copies below this op index are served by the batch. */
  #batchOps = 0;

  constructor(basis: BasisReader, ops: Ops) {
    this.#basis = basis;
    this.#ops = ops;
  }

  /** Fills `into` with the bytes op `index` copies. A promise only if something has to be read first. */
  copy(index: number, into: Uint8Array): Promise<void> | undefined {
    if (index >= this.#batchOps) return this.#readThenCopy(index, into);
    this.#copyFromBatch(index, into);
    return undefined;
  }

  #copyFromBatch(index: number, into: Uint8Array): void {
    const start = (this.#ops.starts[index] as number) - this.#batchStart;
    into.set(this.#batch.subarray(start, start + into.length));
  }

  async #readThenCopy(index: number, into: Uint8Array): Promise<void> {
    this.#planBatch(index);
    if (this.#batchOps === index + 1) {
      await readExactly(this.#basis, this.#batchStart, into, 'apply the delta');
      return;
    }
    if (this.#batch.length === 0) this.#batch = new Uint8Array(READ_BATCH_BYTES_MAX);
    await readExactly(
      this.#basis,
      this.#batchStart,
      this.#batch.subarray(0, this.#batchEnd - this.#batchStart),
      'apply the delta',
    );
    this.#copyFromBatch(index, into);
  }

  /** Extends a batch from op `index` over the copies after it while they lie ahead, close and within the buffer. */
  #planBatch(index: number): void {
    const { starts, lengths, count } = this.#ops;
    this.#batchStart = starts[index] as number;
    let usedBytes = lengths[index] as number;
    this.#batchEnd = this.#batchStart + usedBytes;
    this.#batchOps = index + 1;
    for (let next = index + 1; next < count; next++) {
      const start = starts[next] as number;
      if (start === -1) continue;
      const end = start + (lengths[next] as number);
      const isAhead = start >= this.#batchEnd && end - this.#batchStart <= READ_BATCH_BYTES_MAX;
      usedBytes += end - start;
      if (!isAhead || end - this.#batchStart > 2 * usedBytes) return;
      this.#batchEnd = end;
      this.#batchOps = next + 1;
    }
  }
}

/** All columns of a segment, decoded, each as long as the head says. */
async function readColumns(
  reader: ByteReader,
  head: SegmentHead,
  tools: { readonly basis: BasisReader; readonly decompress: NonNullable<ApplyDeltaOptions['decompress']> },
): Promise<Record<Column, Uint8Array>> {
  const columns = {} as Record<Column, Uint8Array>;
  for (const name of COLUMNS) {
    const column = head.columns[name];
    const encoded = await takeOrTruncated(reader, column.encodedBytes);
    if (column.coding === 'raw') {
      // The reader lends its bytes only until it is asked again.
      columns[name] = Uint8Array.from(encoded);
      continue;
    }
    let dictionary: Uint8Array | undefined;
    if (column.coding === 'dictionary') {
      const lent = Uint8Array.from(encoded);
      dictionary = new Uint8Array(head.dictionaryBytes);
      await readExactly(tools.basis, head.dictionaryStart, dictionary, 'apply the delta');
      columns[name] = await decodeColumn(lent, column, dictionary, tools.decompress);
    } else columns[name] = await decodeColumn(encoded, column, dictionary, tools.decompress);
  }
  if (columns.kinds.some((kind) => kind > FIELD_KIND_MAX)) throw invalid('a block of a segment has an unknown kind');
  return columns;
}

async function decodeColumn(
  encoded: Uint8Array,
  head: ColumnHead,
  dictionary: Uint8Array | undefined,
  decompress: NonNullable<ApplyDeltaOptions['decompress']>,
): Promise<Uint8Array> {
  let raw: Uint8Array;
  try {
    raw = await decompress(encoded, head.rawBytes, dictionary);
  } catch (error) {
    throw invalid('a column does not decompress', error);
  }
  if (raw.length !== head.rawBytes) throw invalid(`a column has ${raw.length} bytes, expected ${head.rawBytes}`);
  return raw;
}

function decompressZstd(bytes: Uint8Array, bytesMax: number, dictionary?: Uint8Array): Uint8Array {
  return zstdDecompressSync(bytes, {
    maxOutputLength: bytesMax,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    ...(dictionary === undefined ? {} : { dictionary }),
  });
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

function mismatch(state: string): RdcError {
  return new RdcError('target-mismatch', `Cannot apply the delta: ${state}`);
}
