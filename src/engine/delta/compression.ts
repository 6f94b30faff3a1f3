/** Compression of payload blocks as jobs that run in any thread. */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { ReplicationError } from '../../errors.ts';
import type { Coding } from '../../wire/payload.ts';
import type { AnyJob, Job } from '../../world/threads.ts';

/**
 * Bytes before seconds on slow links: level 9 saves what level 3 leaves for about a quarter of its speed, and a
 * payload is made once for all destinations.
 */
const compressionLevel = 9;

/** The window must span the dictionary, or zstd forgets it (measured for the delta study, §5). */
function windowLogFor(bytes: number): number {
  return Math.min(27, Math.max(10, Math.ceil(Math.log2(bytes + 1))));
}

export interface CompressInput {
  readonly bytes: Uint8Array;
  /** Raw content that the block is likely to repeat. */
  readonly dictionary?: Uint8Array;
}

export interface Compressed {
  readonly coding: Coding;
  readonly body: Uint8Array;
}

/** The block in the smallest coding: what does not shrink stays raw. */
export const compressJob: Job<CompressInput, Compressed> = {
  name: 'payload.compress',
  run({ bytes, dictionary }) {
    const params = {
      [constants.ZSTD_c_compressionLevel]: compressionLevel,
      [constants.ZSTD_c_windowLog]: windowLogFor(bytes.byteLength + (dictionary?.byteLength ?? 0)),
    };
    const body = zstdCompressSync(bytes, dictionary === undefined ? { params } : { params, dictionary });
    if (body.byteLength >= bytes.byteLength) return { coding: 'raw', body: bytes };
    return { coding: dictionary === undefined ? 'zstd' : 'dictionary', body: new Uint8Array(body) };
  },
};

export interface DecompressInput {
  readonly body: Uint8Array;
  /** What the result must measure; already checked against the bound of a record. */
  readonly rawBytes: number;
  readonly dictionary?: Uint8Array;
}

/** Throws `payload-invalid` unless the body is exactly one frame of `rawBytes` bytes. */
export const decompressJob: Job<DecompressInput, Uint8Array> = {
  name: 'payload.decompress',
  run({ body, rawBytes, dictionary }) {
    const params = { [constants.ZSTD_d_windowLogMax]: 27 };
    const options = {
      params,
      maxOutputLength: Math.max(1, rawBytes),
      ...(dictionary === undefined ? {} : { dictionary }),
    };
    let raw: Buffer;
    try {
      raw = zstdDecompressSync(body, options);
    } catch (cause) {
      throw new ReplicationError('payload-invalid', 'Cannot unpack a block of a payload: it is damaged', { cause });
    }
    if (raw.byteLength !== rawBytes) {
      throw new ReplicationError(
        'payload-invalid',
        `Cannot unpack a block: ${raw.byteLength} bytes, ${rawBytes} announced`,
      );
    }
    return new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
  },
};

export const compressionJobs: readonly AnyJob[] = [compressJob as AnyJob, decompressJob as AnyJob];
