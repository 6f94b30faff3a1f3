/**
 * Makes a delta from the signature of a basis and the bytes of a target: copies of basis chunks, and literals.
 *
 * Reads the target once, holds at most 8 MiB of it (one segment, one chunk) beside the index of the signature, and
 * writes as it goes. The same signature, target and `compress` give the same delta, however the target is divided.
 * Deliberately does not look below chunks: finding small changes needs the basis itself, which is what `diff` is for.
 */
import { createHash, type Hash } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';
import type { ByteSource } from '../byte-source.ts';
import { type ChunkHash, loadChunkHash, loadDamageDetector } from '../chunk/chunk-hash.ts';
import { Chunker } from '../chunk/chunker.ts';
import { SEGMENT_BYTES_MAX } from '../limits.ts';
import { MatchIndex } from '../signature/match.ts';
import type { Signature } from '../signature/signature.ts';
import { type ColumnHead, encodeDeltaHeader, encodeDeltaTrailer, encodeSegmentHead } from './delta-format.ts';
import { OpWriter } from './delta-ops.ts';

/** What became of a target. `copyBytes + literalBytes = targetBytes`. */
export interface DeltaSummary {
  readonly targetBytes: number;
  readonly targetSha256: Uint8Array;
  readonly copyBytes: number;
  readonly literalBytes: number;
  /** The size of the delta itself. */
  readonly deltaBytes: number;
}

export interface CreateDeltaOptions {
  /**
   * Returns a zstd frame of `bytes` with a window of at most 8 MiB. `bytes` has 1 byte to 4 MiB and is only lent until
   * the result is there. Default: Node's zstd at level 6. What does not shrink is stored as it is.
   */
  readonly compress?: (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>;
  /** Tells whoever writes the target that it had holes where it has zeros. Default: false. */
  readonly isTargetSparse?: boolean;
  /** Told once, after the last piece of a complete delta was taken. */
  readonly onSummary?: (summary: DeltaSummary) => void;
}

/**
 * The delta, piece by piece; every piece is the caller's to keep. Nothing runs ahead of the reader.
 *
 * Throws only what `target` and `compress` throw, and `RangeError` for a signature with impossible parameters.
 */
export async function* createDelta(
  signature: Signature,
  target: ByteSource,
  options: CreateDeltaOptions = {},
): AsyncIterable<Uint8Array> {
  const segment = new SegmentWriter(signature, {
    chunkHash: await loadChunkHash(signature.salt, signature.hashBytes),
    damageDetector: await loadDamageDetector(),
    compress: options.compress ?? compressWithZstd,
  });
  const header = encodeDeltaHeader({
    basisBytes: signature.bytes,
    basisId: signature.treeHash,
    isTargetSparse: options.isTargetSparse === true,
  });
  let deltaBytes = header.length;
  yield header;
  for await (const part of segmentParts(segment, target)) {
    deltaBytes += part.length;
    yield part;
  }
  const sums = segment.finish();
  const trailer = encodeDeltaTrailer(sums);
  deltaBytes += trailer.length;
  yield trailer;
  options.onSummary?.({ ...sums, deltaBytes });
}

/**
 * The segments' heads and columns. The work per byte is in a synchronous method on purpose: inside an async generator
 * V8 runs the cut loop at a fraction of its speed (Node 24.21: 180 instead of 340 MB/s for the whole of a delta).
 */
async function* segmentParts(segment: SegmentWriter, target: ByteSource): AsyncGenerator<Uint8Array, void> {
  for await (const piece of target) {
    for (let start = 0; start < piece.length || segment.isOverfull; ) {
      if (segment.isOverfull) yield* await segment.flush();
      start = segment.take(piece, start);
    }
  }
  for (segment.endTarget(); segment.isOverfull; segment.endTarget()) yield* await segment.flush();
  yield* await segment.flush();
}

/** Chunks are copied as they are. */
const EMPTY_COLUMN: ColumnHead = { coding: 'raw', rawBytes: 0, encodedBytes: 0 };

const BUFFER_BYTES_FIRST = 64 * 1024;

interface SegmentTools {
  readonly chunkHash: ChunkHash;
  readonly damageDetector: ChunkHash;
  readonly compress: (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>;
}

/**
 * Collects whole chunks into a segment. The bytes of the segment are followed, in the same buffer, by those of the
 * chunk still being cut; if that chunk turns out not to fit, the segment is flushed and the chunk begins the next one.
 */
class SegmentWriter {
  readonly #tools: SegmentTools;
  readonly #chunker: Chunker;
  readonly #index: MatchIndex;
  readonly #ops = new OpWriter();
  readonly #sha256: Hash = createHash('sha256');
  /** Grows as needed up to one segment and one chunk: most targets are small. */
  #buffer = new Uint8Array(BUFFER_BYTES_FIRST);
  readonly #bufferBytesMax: number;
  #isChunkWaiting = false;
  /** Bytes of matched chunks, then bytes in all. */
  #segmentBytes = 0;
  #filledBytes = 0;
  /** Start and end of each run of literals in the segment, flat. */
  #literalRuns: number[] = [];
  #targetBytes = 0;
  #literalBytes = 0;

  constructor(signature: Signature, tools: SegmentTools) {
    this.#tools = tools;
    this.#chunker = new Chunker(signature.parameters);
    this.#index = new MatchIndex(signature);
    this.#bufferBytesMax = SEGMENT_BYTES_MAX + signature.parameters.chunkBytesMax;
  }

  /** Whether the chunk just completed does not fit, so that the segment has to be flushed before anything else. */
  get isOverfull(): boolean {
    return this.#isChunkWaiting;
  }

  /**
   * Copies and matches `piece[startByte, piece.length)`, the continuation of the target, and returns how far it came:
   * to the end of the piece, or to the end of a chunk that made the segment overfull.
   */
  take(piece: Uint8Array, startByte: number): number {
    for (let taken = startByte; ; ) {
      this.#takeChunks();
      if (this.#isChunkWaiting || taken === piece.length) return taken;
      taken = this.#chunker.feed(piece, taken);
    }
  }

  /** Matches the last chunks. The segment may be overfull then: call again after flushing. */
  endTarget(): void {
    this.#chunker.end();
    this.#takeChunks();
  }

  /** The segment as pieces of the delta, none if it is empty; what was not yet matched begins the next one. */
  async flush(): Promise<Uint8Array[]> {
    const targetBytes = this.#segmentBytes;
    if (targetBytes === 0) return [];
    const target = this.#buffer.subarray(0, targetBytes);
    this.#sha256.update(target);
    const targetHash = this.#tools.damageDetector(target);
    const ops = await this.#encodeColumn(this.#ops.finish());
    const literals = await this.#encodeColumn(this.#packLiterals());
    this.#targetBytes += targetBytes;
    this.#literalBytes += literals.head.rawBytes;
    this.#literalRuns = [];
    this.#buffer.copyWithin(0, targetBytes, this.#filledBytes);
    this.#filledBytes -= targetBytes;
    this.#segmentBytes = 0;
    if (this.#isChunkWaiting) this.#endChunk();
    const columns = {
      ops: ops.head,
      kinds: EMPTY_COLUMN,
      gaps: EMPTY_COLUMN,
      values: EMPTY_COLUMN,
      literals: literals.head,
    };
    const head = encodeSegmentHead({ targetBytes, columns, dictionaryStart: 0, dictionaryBytes: 0, targetHash });
    return [head, ops.encoded, literals.encoded].filter((part) => part.length > 0);
  }

  /** The sums over all segments flushed. Call once, last. */
  finish(): Omit<DeltaSummary, 'deltaBytes'> {
    return {
      targetBytes: this.#targetBytes,
      targetSha256: Uint8Array.from(this.#sha256.digest()),
      copyBytes: this.#targetBytes - this.#literalBytes,
      literalBytes: this.#literalBytes,
    };
  }

  /** Appends and matches chunks until there are no more or the segment is overfull. */
  #takeChunks(): void {
    while (!this.#isChunkWaiting) {
      const chunk = this.#chunker.next();
      if (chunk === undefined) return;
      this.#append(chunk);
      this.#endChunk();
    }
  }

  #append(bytes: Uint8Array): void {
    if (this.#filledBytes + bytes.length > this.#buffer.length) this.#grow(this.#filledBytes + bytes.length);
    this.#buffer.set(bytes, this.#filledBytes);
    this.#filledBytes += bytes.length;
  }

  /** Makes the chunk at the end of the buffer a copy or a literal of the segment, if it fits. */
  #endChunk(): void {
    this.#isChunkWaiting = this.#filledBytes > SEGMENT_BYTES_MAX;
    if (this.#isChunkWaiting) return;
    const chunk = this.#buffer.subarray(this.#segmentBytes, this.#filledBytes);
    const found = this.#index.find(this.#tools.chunkHash(chunk), chunk.length, this.#ops.expectedByte);
    if (found === -1) {
      this.#ops.literal(chunk.length);
      this.#addLiteralRun();
    } else {
      this.#ops.copy(this.#index.startOf(found), chunk.length);
    }
    this.#segmentBytes = this.#filledBytes;
  }

  #grow(bytesMin: number): void {
    const grown = new Uint8Array(Math.min(this.#bufferBytesMax, Math.max(bytesMin, this.#buffer.length * 4)));
    grown.set(this.#buffer.subarray(0, this.#filledBytes));
    this.#buffer = grown;
  }

  #addLiteralRun(): void {
    if (this.#literalRuns.at(-1) === this.#segmentBytes) this.#literalRuns.pop();
    else this.#literalRuns.push(this.#segmentBytes);
    this.#literalRuns.push(this.#filledBytes);
  }

  /** Moves the literals to the front of the buffer, over target bytes that are hashed already. */
  #packLiterals(): Uint8Array {
    let packedBytes = 0;
    for (let run = 0; run < this.#literalRuns.length; run += 2) {
      const start = this.#literalRuns[run] as number;
      const end = this.#literalRuns[run + 1] as number;
      this.#buffer.copyWithin(packedBytes, start, end);
      packedBytes += end - start;
    }
    return this.#buffer.subarray(0, packedBytes);
  }

  /** Compresses a column if that helps. `raw` may be overwritten once this has settled; the result may not. */
  async #encodeColumn(raw: Uint8Array): Promise<{ head: ColumnHead; encoded: Uint8Array }> {
    const compressed = raw.length === 0 ? raw : await this.#tools.compress(raw);
    if (compressed.length < raw.length) {
      return {
        head: { coding: 'zstd', rawBytes: raw.length, encodedBytes: compressed.length },
        encoded: compressed,
      };
    }
    return { head: { coding: 'raw', rawBytes: raw.length, encodedBytes: raw.length }, encoded: raw.slice() };
  }
}

function compressWithZstd(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 6 } });
}
