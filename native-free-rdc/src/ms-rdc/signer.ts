/**
 * Writes the signature file of a stream: FilterMax chooses the chunks, MD4 names them. [MS-RDC] 3.1.5.2 and 3.1.5.3.
 *
 * Recursion is composition: a signer's output is a stream, and another signer signs it. A signer holds 150 KiB at
 * DFS-R's parameters, 360 KiB at the largest horizon.
 */
import type { ByteSource } from '../byte-source.ts';
import { RdcError } from '../errors.ts';
import { MS_RDC_CHUNK_COUNT_MAX } from '../limits.ts';
import { MS_RDC_CHUNK_BYTES_MAX, MsRdcChunker } from './filter-max.ts';
import { MS_RDC_LEVEL_COUNT_MAX, type MsRdcParameters } from './levels.ts';
import { MD4_BYTES, md4Into } from './md4.ts';
import { MS_RDC_RECORD_BYTES, msRdcSignatureHeader } from './signature-file.ts';

/** Room for bytes of the stream besides those of a chunk whose end is not known yet. */
const ROOM_BYTES = 64 * 1024;

/**
 * Signs one stream, pushed to it buffer by buffer.
 *
 * ```ts
 * const signer = new MsRdcSigner({ windowBytes: 48, horizonBytes: 1024 });
 * const signature = Buffer.concat([signer.push(bytes), signer.finish()]);
 * ```
 */
export class MsRdcSigner {
  readonly #chunker: MsRdcChunker;
  /** The stream from `#keptStart` on, `#keptBytes` of it: a chunk whose end is not known yet, and what follows. */
  readonly #kept: Uint8Array;
  #keptStart = 0;
  #keptBytes = 0;
  /** Where the unfinished chunk starts in the stream. */
  #chunkStart = 0;
  #chunkCount = 0;
  #output: Uint8Array = msRdcSignatureHeader();
  #outputBytes = this.#output.length;

  /** Throws `RangeError` for parameters outside their ranges. */
  constructor(parameters: MsRdcParameters) {
    this.#chunker = new MsRdcChunker(parameters);
    this.#kept = new Uint8Array(MS_RDC_CHUNK_BYTES_MAX + 2 * parameters.horizonBytes + ROOM_BYTES);
  }

  /**
   * Continues the stream by `bytes`, of which nothing is kept but a copy of the end. Returns what is now known of the
   * signature file, freshly allocated and perhaps empty.
   *
   * Throws `RdcError` `limit-exceeded` if the stream has more chunks than a reader accepts.
   */
  push(bytes: Uint8Array): Uint8Array {
    for (let at = 0; at < bytes.length; ) {
      if (this.#keptBytes === this.#kept.length) this.#forgetSigned();
      const part = bytes.subarray(at, at + this.#kept.length - this.#keptBytes);
      this.#kept.set(part, this.#keptBytes);
      this.#keptBytes += part.length;
      at += part.length;
      for (const start of this.#chunker.push(part)) this.#sign(start);
    }
    return this.#takeOutput();
  }

  /** The rest of the signature file, at the end of the stream. The signer is of no use afterwards. */
  finish(): Uint8Array {
    for (const start of this.#chunker.finish()) this.#sign(start);
    const streamBytes = this.#keptStart + this.#keptBytes;
    if (streamBytes > this.#chunkStart) this.#sign(streamBytes);
    return this.#takeOutput();
  }

  /** Writes the record of the unfinished chunk, which ends where the next one starts. */
  #sign(nextStart: number): void {
    if (this.#chunkCount === MS_RDC_CHUNK_COUNT_MAX) {
      throw new RdcError('limit-exceeded', `Cannot sign the stream: it has more than ${MS_RDC_CHUNK_COUNT_MAX} chunks`);
    }
    const chunk = this.#kept.subarray(this.#chunkStart - this.#keptStart, nextStart - this.#keptStart);
    const record = this.#nextRecord();
    md4Into(chunk, record);
    record[MD4_BYTES] = chunk.length & 0xff;
    record[MD4_BYTES + 1] = chunk.length >>> 8;
    this.#chunkStart = nextStart;
    this.#chunkCount++;
  }

  /** Moves the unfinished chunk to the front: at most 65,535 bytes and two horizons, so that there is room again. */
  #forgetSigned(): void {
    const signedBytes = this.#chunkStart - this.#keptStart;
    this.#kept.copyWithin(0, signedBytes, this.#keptBytes);
    this.#keptStart += signedBytes;
    this.#keptBytes -= signedBytes;
  }

  #nextRecord(): Uint8Array {
    const start = this.#outputBytes;
    const end = start + MS_RDC_RECORD_BYTES;
    if (end > this.#output.length) {
      const grown = new Uint8Array(end * 2);
      grown.set(this.#output);
      this.#output = grown;
    }
    this.#outputBytes = end;
    return this.#output.subarray(start, end);
  }

  #takeOutput(): Uint8Array {
    const output = this.#output.slice(0, this.#outputBytes);
    this.#outputBytes = 0;
    return output;
  }
}

/**
 * The signature files of a file, one per level: the first signs the file, each next one the one before. Holds them all.
 *
 * Throws `RangeError` for parameters outside their ranges or more than 8 levels, `RdcError` `limit-exceeded` if a level
 * has more chunks than a reader accepts; what `file` throws passes through.
 */
export async function createMsRdcSignatures(
  file: ByteSource,
  levels: readonly MsRdcParameters[],
): Promise<Uint8Array[]> {
  if (levels.length > MS_RDC_LEVEL_COUNT_MAX) {
    throw new RangeError(`Cannot sign the file: ${levels.length} levels, expected at most ${MS_RDC_LEVEL_COUNT_MAX}`);
  }
  const chain = levels.map((parameters) => ({ signer: new MsRdcSigner(parameters), parts: [] as Uint8Array[] }));
  for await (const piece of file) {
    let bytes = piece;
    for (const { signer, parts } of chain) {
      bytes = signer.push(bytes);
      if (bytes.length > 0) parts.push(bytes);
    }
  }
  let rest: Uint8Array = new Uint8Array(0);
  for (const { signer, parts } of chain) {
    rest = concatenated([signer.push(rest), signer.finish()]);
    parts.push(rest);
  }
  return chain.map(({ parts }) => concatenated(parts));
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
