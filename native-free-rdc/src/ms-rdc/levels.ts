/**
 * How files are cut at each level of recursion, and how many levels pay: the numbers of [MS-RDC] and [MS-FRS2].
 *
 * Level 1 is the signature of a file, level 2 the signature of that signature, and so on.
 */
import { MS_RDC_HEADER_BYTES, MS_RDC_RECORD_BYTES } from './signature-file.ts';

/** How one level is cut. Both sides of a transfer must use the same. */
export interface MsRdcParameters {
  /** Bytes that influence one value of the rolling hash: 2 to 96. */
  readonly windowBytes: number;
  /** A cut's hash exceeds those of as many positions on either side: 128 to 16,384. Chunks average twice as much. */
  readonly horizonBytes: number;
}

/** [MS-RDC] 3.1.5.1.2. */
export const MS_RDC_WINDOW_BYTES_MIN = 2;
export const MS_RDC_WINDOW_BYTES_MAX = 96;
/** [MS-FRS2] 2.2.1.1.7 and 2.2.1.1.8. The prose of [MS-RDC] 3.1.5.1.2 leaves out 16,384 itself; nobody else does. */
export const MS_RDC_HORIZON_BYTES_MIN = 128;
export const MS_RDC_HORIZON_BYTES_MAX = 16_384;
/** [MS-RDC] 3.1.5.3.1 and its note 2. */
export const MS_RDC_LEVEL_COUNT_MAX = 8;

/** What DFS-R always uses, [MS-FRS2] note 30. */
const FILE_PARAMETERS: MsRdcParameters = { windowBytes: 48, horizonBytes: 1024 };
const SIGNATURE_PARAMETERS: MsRdcParameters = { windowBytes: 2, horizonBytes: 128 };

/** [MS-FRS2] note 35: smaller files and signatures are sent as they are. */
const FILE_BYTES_MIN = 65_536;
const SIGNATURE_BYTES_MIN = 32_768;
/**
 * Chunk sizes that the same note reckons with. A file's is the horizon, half of what its chunks average, and a
 * signature's twice 256; neither may be put right here, since both sides of a transfer reckon alike.
 */
const FILE_CHUNK_BYTES = 1024;
const SIGNATURE_CHUNK_BYTES = 2 * 256;

/** What is wrong with the parameters, in words, or undefined. */
export function msRdcParametersFault(parameters: MsRdcParameters): string | undefined {
  const { windowBytes, horizonBytes } = parameters;
  if (!isWithin(windowBytes, MS_RDC_WINDOW_BYTES_MIN, MS_RDC_WINDOW_BYTES_MAX)) {
    return `windowBytes is ${windowBytes}, expected ${MS_RDC_WINDOW_BYTES_MIN} to ${MS_RDC_WINDOW_BYTES_MAX}`;
  }
  if (!isWithin(horizonBytes, MS_RDC_HORIZON_BYTES_MIN, MS_RDC_HORIZON_BYTES_MAX)) {
    return `horizonBytes is ${horizonBytes}, expected ${MS_RDC_HORIZON_BYTES_MIN} to ${MS_RDC_HORIZON_BYTES_MAX}`;
  }
  return undefined;
}

/**
 * How many levels of signatures DFS-R makes of a file of this size, 0 to 8; 0 means to send the file whole.
 * [MS-FRS2] 3.3.1.5, note 35.
 *
 * Throws `RangeError` unless `fileBytes` is a size.
 */
export function msRdcLevelCountFor(fileBytes: number): number {
  if (!Number.isSafeInteger(fileBytes) || fileBytes < 0) {
    throw new RangeError(`Cannot choose levels: fileBytes is ${fileBytes}, expected a size in bytes`);
  }
  // Sizes keep their fractions, as in the note; the divisors are powers of two.
  let bytes = fileBytes;
  let bytesMin = FILE_BYTES_MIN;
  let chunkBytes = FILE_CHUNK_BYTES;
  let levelCount = 0;
  while (levelCount < MS_RDC_LEVEL_COUNT_MAX && bytes > bytesMin) {
    bytes = bytes * (MS_RDC_RECORD_BYTES / chunkBytes) + MS_RDC_HEADER_BYTES;
    bytesMin = SIGNATURE_BYTES_MIN;
    chunkBytes = SIGNATURE_CHUNK_BYTES;
    levelCount++;
  }
  return levelCount;
}

/**
 * DFS-R's parameters of the levels 1 to `levelCount`, in that order.
 *
 * Throws `RangeError` unless `levelCount` is 0 to 8.
 */
export function msRdcLevels(levelCount: number): readonly MsRdcParameters[] {
  if (!isWithin(levelCount, 0, MS_RDC_LEVEL_COUNT_MAX)) {
    throw new RangeError(`Cannot choose levels: count is ${levelCount}, expected 0 to ${MS_RDC_LEVEL_COUNT_MAX}`);
  }
  return Array.from({ length: levelCount }, (_, index) => (index === 0 ? FILE_PARAMETERS : SIGNATURE_PARAMETERS));
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
