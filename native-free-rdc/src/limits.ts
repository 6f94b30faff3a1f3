/**
 * A limit on everything the library holds, reads or believes, and assertions on the relations between limits.
 *
 * Encoders keep these limits; decoders check a declared size against them *before* allocating. Sizes are in bytes.
 */

/** Bytes that influence one value of the rolling hash: a 32-bit word shifted by one bit per byte forgets after 32. */
export const ROLLING_WINDOW_BYTES = 32;

/** Smallest permitted `chunkBytesMin`: below it the rolling hash would see bytes from before the chunk's start. */
export const CHUNK_BYTES_MIN_FLOOR = ROLLING_WINDOW_BYTES;

/** Average chunk of files up to `BASIS_CHUNKS_AIM` times this size (measured best for WAN links: delta.md, table A). */
export const CHUNK_BYTES_AVERAGE_DEFAULT = 2 * 1024;

/** `chunkParametersFor` doubles the average until the basis has at most this many chunks of average size. */
export const BASIS_CHUNKS_AIM = 2 ** 20;

/** Largest permitted `chunkBytesMax`; one chunk always fits in one segment. */
export const CHUNK_BYTES_MAX_CEILING = 4 * 1024 * 1024;

/** min = average / 4, max = 8 × average. */
export const CHUNK_MIN_DIVISOR = 4;
export const CHUNK_MAX_FACTOR = 8;

/** Largest basis: `BASIS_CHUNKS_AIM` chunks of the largest average, 512 GiB. */
export const BASIS_BYTES_MAX = BASIS_CHUNKS_AIM * (CHUNK_BYTES_MAX_CEILING / CHUNK_MAX_FACTOR);

/** Chunks of one signature: even a hostile basis, cut everywhere at the minimum, has no more than 4 × the aim. */
export const CHUNK_COUNT_MAX = BASIS_CHUNKS_AIM * CHUNK_MIN_DIVISOR + 1;

/** Keys the chunk hashes (xxh64 seed), so that nobody can prepare colliding content in advance. */
export const SALT_BYTES = 8;
export const SHA256_BYTES = 32;

/** Chunks with one hash that the match index remembers; more are copies of the same bytes and teach nothing. */
export const CANDIDATES_PER_HASH_MAX = 8;

/** Slots one search or insertion looks at, so that crafted hashes cannot make matching quadratic. */
export const PROBES_MAX = 64;

/** Target bytes covered by one segment; the unit of memory, of damage detection and of resuming. */
export const SEGMENT_BYTES_MAX = 4 * 1024 * 1024;

/** Operations of one segment: one per 16 target bytes, finer than the one-sided engine ever writes. */
export const SEGMENT_OPS_MAX = SEGMENT_BYTES_MAX / 16;

/** One operation: varint(length × 4 + kind), at most 4 bytes, and varint(zigzag(displacement)), at most 6. */
export const OP_BYTES_MAX = varintBytes(SEGMENT_BYTES_MAX * 4 + 3) + varintBytes(BASIS_BYTES_MAX * 2);

/** The operations of one segment, before compression. */
export const OP_COLUMN_BYTES_MAX = SEGMENT_OPS_MAX * OP_BYTES_MAX;

/** Largest value of a varint, so that every one is an exact `number`. */
export const VARINT_MAX = Number.MAX_SAFE_INTEGER;

/** Seven bits a byte: 53 bits take 8. */
export const VARINT_BYTES_MAX = varintBytes(VARINT_MAX);

/** Largest target that can be described; the caller's `targetBytesMax` is usually far below. */
export const TARGET_BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** Window of a zstd frame the default `decompress` accepts, as a power of two: 8 MiB, what level 19 asks for. */
export const ZSTD_WINDOW_LOG_MAX = 23;

/** Neighbouring copies are read from the basis in one go of at most this size. */
export const READ_BATCH_BYTES_MAX = 256 * 1024;

function varintBytes(value: number): number {
  return Math.ceil(Math.log2(value + 1) / 7);
}

function assertRelation(holds: boolean, relation: string): void {
  if (!holds) throw new RangeError(`Limits of native-free-rdc contradict each other: ${relation}`);
}

assertRelation(CHUNK_BYTES_MIN_FLOOR >= ROLLING_WINDOW_BYTES, 'a chunk holds at least one rolling window');
assertRelation(
  CHUNK_BYTES_AVERAGE_DEFAULT / CHUNK_MIN_DIVISOR >= CHUNK_BYTES_MIN_FLOOR,
  'the default minimum is permitted',
);
assertRelation(CHUNK_BYTES_MAX_CEILING <= SEGMENT_BYTES_MAX, 'any chunk fits in a segment');
assertRelation(SEGMENT_BYTES_MAX + CHUNK_BYTES_MAX_CEILING <= 8 * 1024 * 1024, 'createDelta() buffers at most 8 MiB');
assertRelation(SEGMENT_BYTES_MAX / CHUNK_BYTES_MIN_FLOOR + 1 <= SEGMENT_OPS_MAX, 'one op per chunk fits in a segment');
assertRelation(CHUNK_COUNT_MAX < 2 ** 31, 'chunk indexes fit in Int32Array');
assertRelation(CHUNK_COUNT_MAX * CHUNK_BYTES_MAX_CEILING <= VARINT_MAX, 'any sum of chunk lengths is exact');
assertRelation(BASIS_BYTES_MAX * 2 <= VARINT_MAX, 'any zigzag displacement is exact');
assertRelation(SEGMENT_BYTES_MAX * 4 + 3 < 2 ** 31, 'an op word is a positive Int32');
assertRelation(VARINT_BYTES_MAX === 8, 'eight bytes hold any varint');
assertRelation(SEGMENT_BYTES_MAX <= 2 ** ZSTD_WINDOW_LOG_MAX, 'a frame of one segment fits in the window');
