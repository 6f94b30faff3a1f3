/**
 * A signature made in parts, by as many threads as there are: each signs a span of the file, and the parts are joined.
 *
 * Guarantees the signature that `createSignature` makes, whatever the spans. Both functions are pure; a part is plain
 * typed arrays, to be posted between threads. A span ends every chunk that ends in it, the one that began before it
 * too: the cut at which that one began lies at most one greatest chunk before the span, for ordinary content. Where
 * there is none so near (a long run of zeros), only `joinSpans` knows where chunks begin, and hashes those itself.
 */
import type { BasisReader } from '../basis-reader.ts';
import { readExactly } from '../basis-reader.ts';
import { loadChunkHash } from '../chunk/chunk-hash.ts';
import { contextBytes } from '../chunk/local-maximum.ts';
import { SHA256_BYTES, TREE_BLOCK_BYTES } from '../limits.ts';
import { blockDigestsOf, treeHashOf } from '../tree-hash.ts';
import { ChunkColumns, type Chunks } from './chunk-columns.ts';
import { type Signature, type SignatureKind, signatureKindOf, signatureOf } from './signature.ts';
import { takeChunks } from './span-chunks.ts';

/** A part of a file, [startByte, endByte). It starts at a multiple of 4 MiB and ends at one or with the file. */
export interface Span {
  readonly startByte: number;
  readonly endByte: number;
}

/** What is to be signed, and how. The same for all spans of a file. */
export interface SpanOptions extends SignatureKind {
  readonly fileBytes: number;
}

/** What one span adds to the signature. Plain data; `transferablesOf` lists its buffers. */
export interface SpanSignature extends Span, Chunks {
  /** Where the first chunk starts that this part knows of, which may be before the span; -1 if it knows of none. */
  readonly firstChunkByte: number;
  /** SHA-256 of each block of 4 MiB of the span, one behind the other. */
  readonly blockDigests: Uint8Array;
}

/** Bytes that no part could hash are read about so many at a time. */
const GAP_READ_BYTES = 1024 * 1024;

/** The spans of a file, of at most `spanBytes` each, a multiple of 4 MiB. None for an empty file. */
export function spansOf(fileBytes: number, spanBytes: number): Span[] {
  if (!Number.isInteger(spanBytes / TREE_BLOCK_BYTES) || spanBytes <= 0) {
    throw new RangeError(`Cannot divide the file: spanBytes is ${spanBytes}, expected a multiple of 4 MiB`);
  }
  const spans: Span[] = [];
  for (let startByte = 0; startByte < fileBytes; startByte += spanBytes) {
    spans.push({ startByte, endByte: Math.min(fileBytes, startByte + spanBytes) });
  }
  return spans;
}

/** The part of the file that `signSpan` needs: the span and its context. */
export function spanInputOf(span: Span, options: SpanOptions): Span {
  const { parameters } = signatureKindOf(options, options.fileBytes);
  const { before, after } = contextBytes(parameters.horizonBytes);
  return {
    startByte: Math.max(0, span.startByte - parameters.chunkBytesMax - before),
    endByte: Math.min(options.fileBytes, span.endByte + after),
  };
}

/**
 * Signs a span; `bytes` are those of `spanInputOf(span, options)`. Throws `RangeError` if they are not as many, or for
 * a span that does not start and end at a multiple of 4 MiB or with the file.
 */
export async function signSpan(bytes: Uint8Array, span: Span, options: SpanOptions): Promise<SpanSignature> {
  const { startByte, endByte } = span;
  const { fileBytes } = options;
  const { parameters, salt, hashBytes } = signatureKindOf(options, fileBytes);
  assertSpan(span, options);
  const input = spanInputOf(span, options);
  if (bytes.length !== input.endByte - input.startByte) {
    throw new RangeError(`Cannot sign a span: ${bytes.length} bytes, expected ${input.endByte - input.startByte}`);
  }
  const columns = new ChunkColumns(await loadChunkHash(salt, hashBytes), endByte - startByte, parameters);
  const firstChunkByte = takeChunks({ bytes, startByte: input.startByte, fileBytes }, span, {
    parameters,
    take: (chunk) => columns.push(chunk),
  });
  return {
    startByte,
    endByte,
    firstChunkByte,
    ...columns.finish(),
    blockDigests: blockDigestsOf(bytes.subarray(startByte - input.startByte, endByte - input.startByte)),
  };
}

/** The buffers of a part, for the transfer list of `postMessage`. */
export function transferablesOf(part: SpanSignature): ArrayBuffer[] {
  return [part.chunkLengths, part.chunkHashes, part.blockDigests].map((column) => column.buffer as ArrayBuffer);
}

/**
 * The signature of a file from the parts of all its spans, in order, joined as they come. Reads from `basis` only what
 * no part could hash.
 *
 * Throws `RangeError` for parts that leave something out, overlap or were made with other options, and `RdcError`
 * `basis-short` if the basis ends early.
 */
export async function joinSpans(
  parts: Iterable<SpanSignature> | AsyncIterable<SpanSignature>,
  basis: BasisReader,
  options: SpanOptions,
): Promise<Signature> {
  const { fileBytes } = options;
  const kind = signatureKindOf(options, fileBytes);
  const { chunkBytesMax } = kind.parameters;
  const hash = await loadChunkHash(kind.salt, kind.hashBytes);
  const columns = new ChunkColumns(hash, fileBytes, kind.parameters);
  const gaps = new GapSigner(basis, columns, chunkBytesMax);
  const blockDigests = new Uint8Array(Math.ceil(fileBytes / TREE_BLOCK_BYTES) * SHA256_BYTES);
  let digestBytes = 0;
  let spanEnd = 0;
  let chunkEnd = 0;
  for await (const part of parts) {
    assertSpan(part, options);
    if (part.startByte !== spanEnd) {
      throw new RangeError(`Cannot join spans: one starts at ${part.startByte}, expected ${spanEnd}`);
    }
    spanEnd = part.endByte;
    blockDigests.set(part.blockDigests, digestBytes);
    digestBytes += part.blockDigests.length;
    if (part.firstChunkByte === -1) {
      const isLast = spanEnd === fileBytes;
      chunkEnd = await gaps.sign(chunkEnd, isLast ? spanEnd : spanEnd - ((spanEnd - chunkEnd) % chunkBytesMax));
      continue;
    }
    chunkEnd = await gaps.sign(chunkEnd, part.firstChunkByte);
    if (chunkEnd !== part.firstChunkByte) throw new RangeError('Cannot join spans: chunks overlap');
    columns.append(part);
    chunkEnd += sumOf(part.chunkLengths);
  }
  if (spanEnd !== fileBytes || chunkEnd !== fileBytes) {
    throw new RangeError(`Cannot join spans: they have ${chunkEnd} bytes, expected ${fileBytes}`);
  }
  return signatureOf(kind, { bytes: fileBytes, treeHash: treeHashOf(blockDigests, fileBytes), columns });
}

/** Apart, because an optimizing compiler that meets the loop compiles all that is around it: 28 ms for `joinSpans`. */
function sumOf(lengths: Uint32Array): number {
  let sum = 0;
  for (const length of lengths) sum += length;
  return sum;
}

/** Hashes chunks between the parts: all of them greatest ones but the last. */
class GapSigner {
  readonly #basis: BasisReader;
  readonly #columns: ChunkColumns;
  readonly #chunkBytesMax: number;
  #bytes: Uint8Array | undefined;

  constructor(basis: BasisReader, columns: ChunkColumns, chunkBytesMax: number) {
    this.#basis = basis;
    this.#columns = columns;
    this.#chunkBytesMax = chunkBytesMax;
  }

  /** Signs [startByte, endByte), in which cuts are forced only, and returns `endByte`, or `startByte` if it is more. */
  async sign(startByte: number, endByte: number): Promise<number> {
    let start = startByte;
    while (start < endByte) {
      // Many at a time: images of disks have gigabytes of zeros.
      this.#bytes ??= new Uint8Array(this.#chunkBytesMax * Math.ceil(GAP_READ_BYTES / this.#chunkBytesMax));
      const bytes = this.#bytes.subarray(0, endByte - start);
      await readExactly(this.#basis, start, bytes, 'sign the basis');
      for (let at = 0; at < bytes.length; at += this.#chunkBytesMax) {
        this.#columns.push(bytes.subarray(at, at + this.#chunkBytesMax));
      }
      start += bytes.length;
    }
    return start;
  }
}

function assertSpan(span: Span, options: SpanOptions): void {
  const isStart = Number.isInteger(span.startByte / TREE_BLOCK_BYTES) && span.startByte >= 0;
  const isEnd = span.endByte === options.fileBytes || Number.isInteger(span.endByte / TREE_BLOCK_BYTES);
  if (!isStart || !isEnd || span.endByte <= span.startByte || span.endByte > options.fileBytes) {
    throw new RangeError(`Cannot sign the span [${span.startByte}, ${span.endByte}) of ${options.fileBytes} bytes`);
  }
}
