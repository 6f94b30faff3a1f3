/**
 * How finely a file is cut: the horizon of the local-maximum rule, and the longest chunk.
 *
 * A chunk is 2 × horizon + 1 bytes on average (17 % more at the largest horizon, where hashes tie) and at least
 * horizon + 1, but for the last one and what is left over behind chunks of the greatest length.
 */
import { RdcError } from '../errors.ts';
import {
  BASIS_BYTES_MAX,
  BASIS_CHUNKS_AIM,
  CHUNK_BYTES_MAX_CEILING,
  CHUNK_MAX_HORIZONS,
  CHUNK_MAX_HORIZONS_MIN,
  HORIZON_BYTES_CEILING,
  HORIZON_BYTES_DEFAULT,
  HORIZON_BYTES_STEP,
} from '../limits.ts';

/** Sizes in bytes. Two files are comparable chunk by chunk only under the same parameters. */
export interface ChunkParameters {
  /** A multiple of 64, from 64 to 65,536. */
  readonly horizonBytes: number;
  /** Where no cut is found, one is forced; from 4 × horizonBytes to 4 MiB. */
  readonly chunkBytesMax: number;
}

/**
 * The parameters for a file of this size: chunks of 2 KiB on average up to 2 GiB, then doubled as the file doubles up
 * to 128 KiB, so that ordinary content has no more than 2^20 chunks up to 128 GiB.
 *
 * Throws `RangeError` unless `fileBytes` is a size, `RdcError('limit-exceeded')` above `BASIS_BYTES_MAX`.
 */
export function chunkParametersFor(fileBytes: number): ChunkParameters {
  if (!Number.isSafeInteger(fileBytes) || fileBytes < 0) {
    throw new RangeError(`Cannot choose chunk sizes: fileBytes is ${fileBytes}, expected a size in bytes`);
  }
  if (fileBytes > BASIS_BYTES_MAX) {
    throw new RdcError(
      'limit-exceeded',
      `Cannot choose chunk sizes: the file has ${fileBytes} bytes, expected at most ${BASIS_BYTES_MAX}`,
    );
  }
  let horizonBytes = HORIZON_BYTES_DEFAULT;
  while (fileBytes > 2 * horizonBytes * BASIS_CHUNKS_AIM && horizonBytes < HORIZON_BYTES_CEILING) horizonBytes *= 2;
  return { horizonBytes, chunkBytesMax: horizonBytes * CHUNK_MAX_HORIZONS };
}

/** What is wrong with the parameters, in words, or undefined. */
export function chunkParametersFault(parameters: ChunkParameters): string | undefined {
  const { horizonBytes: horizon, chunkBytesMax: max } = parameters;
  if (!Number.isInteger(horizon / HORIZON_BYTES_STEP) || horizon <= 0 || horizon > HORIZON_BYTES_CEILING) {
    return `horizonBytes is ${horizon}, expected a multiple of ${HORIZON_BYTES_STEP} up to ${HORIZON_BYTES_CEILING}`;
  }
  const least = CHUNK_MAX_HORIZONS_MIN * horizon;
  if (!Number.isSafeInteger(max) || max < least || max > CHUNK_BYTES_MAX_CEILING) {
    return `chunkBytesMax is ${max}, expected ${least} to ${CHUNK_BYTES_MAX_CEILING}`;
  }
  return undefined;
}

/** The most chunks a file can have, whatever is in it: cuts found lie a horizon apart, forced ones a greatest length. */
export function chunkCountMaxOf(fileBytes: number, parameters: ChunkParameters): number {
  const { horizonBytes, chunkBytesMax } = parameters;
  return Math.floor(fileBytes / (horizonBytes + 1)) + Math.floor(fileBytes / chunkBytesMax) + 1;
}
