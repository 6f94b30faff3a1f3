/**
 * Which ranges of a target its receiver lacks, and that list as bytes; FORMAT.md describes every byte.
 *
 * The sender reads it from a stranger, so the decoder treats it as hostile: ranges ascend, do not touch, lie within the
 * target and are bounded in number, so nobody can have a byte sent twice. What it allocates is bounded by its input.
 */
import { hash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { RdcError } from '../errors.ts';
import { BASIS_BYTES_MAX, NEED_RANGES_MAX, SHA256_BYTES, VARINT_BYTES_MAX, ZSTD_WINDOW_LOG_MAX } from '../limits.ts';
import { ByteWriter, VarintReader } from '../varint.ts';

/** Grows when the layout changes. */
export const NEEDS_FORMAT_VERSION = 1;

/** Ranges of one target, ascending, apart from each other, none empty. The arrays are `rangeCount` long. */
export interface NeedList {
  /** The target they are ranges of. */
  readonly targetBytes: number;
  readonly targetTreeHash: Uint8Array;
  readonly rangeCount: number;
  /** First byte of each range. */
  readonly starts: Float64Array;
  readonly lengths: Float64Array;
  /** The sum of `lengths`. */
  readonly neededBytes: number;
}

const MAGIC = Uint8Array.from('NFRDCNED', (letter) => letter.charCodeAt(0));

// Offsets in the header; see FORMAT.md.
const AT_VERSION = 8;
const AT_CODING = 9;
const AT_RESERVED = 10;
const AT_RANGE_COUNT = 12;
const AT_TARGET_BYTES = 16;
const AT_TREE_HASH = 24;
const AT_COLUMN_BYTES = AT_TREE_HASH + SHA256_BYTES;
const HEADER_BYTES = AT_COLUMN_BYTES + 4;
const CHECK_BYTES = 8;
const CODING_RAW = 0;
const CODING_ZSTD = 1;

/** The list as bytes, freshly allocated. */
export function encodeNeeds(needs: NeedList): Uint8Array {
  const writer = new ByteWriter(needs.rangeCount * 4);
  let end = 0;
  for (let index = 0; index < needs.rangeCount; index++) {
    writer.varint((needs.starts[index] as number) - end);
    end = (needs.starts[index] as number) + (needs.lengths[index] as number);
  }
  for (let index = 0; index < needs.rangeCount; index++) writer.varint(needs.lengths[index] as number);
  const raw = writer.view();
  const compressed = zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
  const isCompressed = compressed.length < raw.length;
  const column = isCompressed ? compressed : raw;
  const encoded = new Uint8Array(HEADER_BYTES + column.length + CHECK_BYTES);
  const view = new DataView(encoded.buffer);
  encoded.set(MAGIC);
  encoded[AT_VERSION] = NEEDS_FORMAT_VERSION;
  encoded[AT_CODING] = isCompressed ? CODING_ZSTD : CODING_RAW;
  view.setUint32(AT_RANGE_COUNT, needs.rangeCount, true);
  view.setBigUint64(AT_TARGET_BYTES, BigInt(needs.targetBytes), true);
  encoded.set(needs.targetTreeHash, AT_TREE_HASH);
  view.setUint32(AT_COLUMN_BYTES, column.length, true);
  encoded.set(column, HEADER_BYTES);
  encoded.set(checkOf(encoded), encoded.length - CHECK_BYTES);
  return encoded;
}

/**
 * The list in `encoded`, of which nothing is kept. Throws `RdcError` `needs-invalid` if it is damaged, cut short,
 * followed by anything or of another version, `limit-exceeded` for a target or a number of ranges above the limits.
 */
export function decodeNeeds(encoded: Uint8Array): NeedList {
  if (encoded.length < HEADER_BYTES + CHECK_BYTES) {
    throw invalid(`it has ${encoded.length} bytes, expected at least ${HEADER_BYTES + CHECK_BYTES}`);
  }
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  if (MAGIC.some((byte, index) => encoded[index] !== byte)) throw invalid('it does not start with NFRDCNED');
  if (encoded[AT_VERSION] !== NEEDS_FORMAT_VERSION) throw invalid(`its version is ${encoded[AT_VERSION]}`);
  if (view.getUint16(AT_RESERVED, true) !== 0) throw invalid('its reserved bytes are not zero');
  const expectedBytes = HEADER_BYTES + view.getUint32(AT_COLUMN_BYTES, true) + CHECK_BYTES;
  if (encoded.length !== expectedBytes) throw invalid(`it has ${encoded.length} bytes, expected ${expectedBytes}`);
  const check = checkOf(encoded);
  if (check.some((byte, index) => encoded[encoded.length - CHECK_BYTES + index] !== byte)) {
    throw invalid('its check does not match its bytes');
  }
  const rangeCount = view.getUint32(AT_RANGE_COUNT, true);
  const targetBytes = view.getBigUint64(AT_TARGET_BYTES, true);
  if (rangeCount > NEED_RANGES_MAX || targetBytes > BigInt(BASIS_BYTES_MAX)) {
    throw new RdcError('limit-exceeded', `Cannot read the needs: ${rangeCount} ranges of ${targetBytes} bytes`);
  }
  const column = decompress(encoded.subarray(HEADER_BYTES, -CHECK_BYTES), encoded[AT_CODING] as number, rangeCount);
  return {
    targetBytes: Number(targetBytes),
    targetTreeHash: Uint8Array.from(encoded.subarray(AT_TREE_HASH, AT_COLUMN_BYTES)),
    ...decodeRanges(column, rangeCount, Number(targetBytes)),
  };
}

function decodeRanges(
  column: Uint8Array,
  rangeCount: number,
  targetBytes: number,
): Pick<NeedList, 'rangeCount' | 'starts' | 'lengths' | 'neededBytes'> {
  // Two varints of at least a byte each.
  if (column.length < 2 * rangeCount) throw invalid('its column is too short for its ranges');
  const starts = new Float64Array(rangeCount);
  const lengths = new Float64Array(rangeCount);
  const reader = new VarintReader(column);
  for (let index = 0; index < rangeCount; index++) {
    const gap = reader.read();
    if (gap === -1 || (gap === 0 && index > 0)) throw invalid(`range ${index} does not lie behind the one before`);
    starts[index] = gap;
  }
  let end = 0;
  let neededBytes = 0;
  for (let index = 0; index < rangeCount; index++) {
    const length = reader.read();
    if (length <= 0) throw invalid(`range ${index} is empty or malformed`);
    const start = end + (starts[index] as number);
    end = start + length;
    // Checked at each step, so that no sum is inexact: both terms are below 2^53 and the first is within the target.
    if (end > targetBytes) throw invalid(`range ${index} ends behind the target`);
    starts[index] = start;
    lengths[index] = length;
    neededBytes += length;
  }
  if (!reader.isAtEnd) throw invalid('its column goes on after the last range');
  return { rangeCount, starts, lengths, neededBytes };
}

function decompress(encoded: Uint8Array, coding: number, rangeCount: number): Uint8Array {
  if (coding === CODING_RAW) return encoded;
  if (coding !== CODING_ZSTD) throw invalid(`its column has coding ${coding}`);
  try {
    return zstdDecompressSync(encoded, {
      maxOutputLength: Math.max(1, rangeCount * 2 * VARINT_BYTES_MAX),
      params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    });
  } catch (error) {
    throw invalid('its column does not decompress', error);
  }
}

function checkOf(encoded: Uint8Array): Uint8Array {
  return hash('sha256', encoded.subarray(0, encoded.length - CHECK_BYTES), 'buffer').subarray(0, CHECK_BYTES);
}

function invalid(state: string, cause?: unknown): RdcError {
  return new RdcError('needs-invalid', `Cannot read the needs: ${state}`, { cause });
}
