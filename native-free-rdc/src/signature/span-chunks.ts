/**
 * The chunks that end in a span of a file, of which only the span and its context are there.
 *
 * Looks at a stretch at a time, copied to memory of its own. Spans usually lie in memory that threads share, from which
 * V8 copies byte by byte unless both sides are aligned alike, and the cut kernel and the chunk hash copy all they look
 * at: 4.6 GB/s, where a `Buffer` copies 29 (Node 24.21, 2-vCPU Xeon).
 */
import { contentCuts } from '../chunk/chunk-kernel.ts';
import type { ChunkParameters } from '../chunk/chunk-parameters.ts';
import { contextBytes } from '../chunk/local-maximum.ts';

/**
 * Bytes searched for cuts in one go: many times the horizon on either side of them. With a greatest chunk of 16 KiB they
 * stay below the 128 KiB from which the C library asks the system for memory, page by page: 3 % of the time.
 */
function stretchBytesFor(horizonBytes: number): number {
  return Math.max(96 * 1024, Math.min(256 * 1024, 64 * horizonBytes));
}

/** Part of a file. All positions here are those in the file. */
export interface SpanInput {
  /** A greatest chunk and the context of a cut before the span, the span, the context behind it, as far as there are. */
  readonly bytes: Uint8Array;
  /** Position of the first of them. */
  readonly startByte: number;
  readonly fileBytes: number;
}

/**
 * Hands each chunk that ends in (`startByte`, `endByte`] to `take`, in order, as a view valid during the call. Returns
 * where the first one starts, which may be before the span; -1 if no cut tells where chunks start.
 */
export function takeChunks(
  input: SpanInput,
  span: { readonly startByte: number; readonly endByte: number },
  how: { readonly parameters: ChunkParameters; readonly take: (chunk: Uint8Array) => void },
): number {
  const { parameters, take } = how;
  const stretchBytes = stretchBytesFor(parameters.horizonBytes);
  const stretch = new Stretch(input, parameters, stretchBytes);
  let firstStart = chunkStartBefore(stretch, span.startByte, parameters.chunkBytesMax);
  let start = firstStart;
  for (let from = span.startByte, to = from; from < span.endByte; from = to) {
    to = Math.min(from + stretchBytes, span.endByte);
    const cuts = stretch.cutsIn(from, to, start === -1 ? from : start);
    if (start === -1) firstStart = start = cuts.shift() ?? -1;
    if (start === -1) continue;
    const known = { start, to, isFileEnd: to === input.fileBytes };
    start = stretch.takeUpTo(chunkEnds(cuts, known, parameters.chunkBytesMax), start, take);
  }
  return firstStart;
}

/** Where chunks end up to `to`: at cuts, where they would become too long, and with the file. */
function chunkEnds(
  cuts: readonly number[],
  known: { readonly start: number; readonly to: number; readonly isFileEnd: boolean },
  chunkBytesMax: number,
): number[] {
  const { to, isFileEnd } = known;
  const ends: number[] = [];
  let start = known.start;
  for (const cut of cuts) {
    for (; cut - start > chunkBytesMax; start += chunkBytesMax) ends.push(start + chunkBytesMax);
    ends.push(cut);
    start = cut;
  }
  for (; to - start >= chunkBytesMax; start += chunkBytesMax) ends.push(start + chunkBytesMax);
  if (isFileEnd && start < to) ends.push(to);
  return ends;
}

/** Where the chunk starts that is under way at `byte`: at a cut, if one is near, or with the file; -1 if neither. */
function chunkStartBefore(stretch: Stretch, byte: number, chunkBytesMax: number): number {
  const leadByte = Math.max(0, byte - chunkBytesMax);
  const cut = stretch.cutsIn(leadByte, byte, leadByte).at(-1);
  return cut ?? (byte < chunkBytesMax ? 0 : -1);
}

/** The bytes at hand, and their cuts. */
class Stretch {
  readonly #input: Buffer;
  readonly #inputByte: number;
  readonly #fileBytes: number;
  readonly #horizonBytes: number;
  readonly #context: { readonly before: number; readonly after: number };
  readonly #bytes: Uint8Array;
  #startByte = 0;

  constructor(
    { bytes, startByte, fileBytes }: SpanInput,
    { horizonBytes, chunkBytesMax }: ChunkParameters,
    stretchBytes: number,
  ) {
    this.#input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#inputByte = startByte;
    this.#fileBytes = fileBytes;
    this.#horizonBytes = horizonBytes;
    this.#context = contextBytes(horizonBytes);
    const { before, after } = this.#context;
    // A stretch behind what is left of a chunk, or all that is looked at before the span.
    this.#bytes = new Uint8Array(Math.min(bytes.length, chunkBytesMax + Math.max(stretchBytes, before) + after));
  }

  /** The cuts in (`from`, `to`], at most a stretch or a greatest chunk; then bytes from `keepFrom` to `to` are at hand. */
  cutsIn(from: number, to: number, keepFrom: number): number[] {
    const start = Math.max(0, Math.min(keepFrom, from - this.#context.before));
    const end = Math.min(this.#fileBytes, to + this.#context.after);
    this.#input.copy(this.#bytes, 0, start - this.#inputByte, end - this.#inputByte);
    this.#startByte = start;
    const cuts = contentCuts(
      {
        bytes: this.#bytes.subarray(0, end - start),
        startByte: from - start,
        endByte: to - start,
        isFileStart: start === 0,
        isFileEnd: end === this.#fileBytes,
      },
      this.#horizonBytes,
    );
    return cuts.map((cut) => start + cut);
  }

  /** Hands out what is between `startByte` and the first of `ends`, and so on; returns the last of them. */
  takeUpTo(ends: readonly number[], startByte: number, take: (chunk: Uint8Array) => void): number {
    let start = startByte;
    for (const end of ends) {
      take(this.#bytes.subarray(start - this.#startByte, end - this.#startByte));
      start = end;
    }
    return start;
  }
}
