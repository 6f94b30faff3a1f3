/**
 * A limit on everything the library holds, reads or believes, and assertions on the relations between limits.
 *
 * Encoders keep these limits; decoders check a declared size against them *before* allocating. Sizes are in bytes.
 */

/** Bytes that have a say in the hash of a position: four doublings of two. */
export const HASHED_BYTES = 32;

/** Horizons are multiples of it, and at least one: the kernel looks at blocks of this size. */
export const HORIZON_BYTES_STEP = 64;

/** Horizon of files up to 2 × `BASIS_CHUNKS_AIM` times this size: chunks of 2 KiB (measured: README.md). */
export const HORIZON_BYTES_DEFAULT = 1024;

/** Largest horizon, chunks of 128 KiB on average: beyond, many of the 65,536 hash values tie and cuts become rare. */
export const HORIZON_BYTES_CEILING = 64 * 1024;

/** `chunkParametersFor` doubles the horizon until the basis has at most this many chunks of average size. */
export const BASIS_CHUNKS_AIM = 2 ** 20;

/** Largest permitted `chunkBytesMax`; one chunk always fits in one segment. */
export const CHUNK_BYTES_MAX_CEILING = 4 * 1024 * 1024;

/** Greatest chunk in horizons: eight averages, which ordinary content does not reach; and the fewest permitted. */
export const CHUNK_MAX_HORIZONS = 16;
export const CHUNK_MAX_HORIZONS_MIN = 4;

/** Largest basis, 512 GiB. */
export const BASIS_BYTES_MAX = 2 ** 39;

/** Chunks of one signature: a basis of 512 GiB under the largest horizon, cut as densely as a hostile one can be. */
export const CHUNK_COUNT_MAX =
  Math.floor(BASIS_BYTES_MAX / (HORIZON_BYTES_CEILING + 1)) +
  BASIS_BYTES_MAX / (HORIZON_BYTES_CEILING * CHUNK_MAX_HORIZONS) +
  1;

/** Bytes kept of a chunk's hash: at least, at most, and unless said otherwise (FORMAT.md argues the width). */
export const CHUNK_HASH_BYTES_MIN = 4;
export const CHUNK_HASH_BYTES_MAX = 8;
export const CHUNK_HASH_BYTES_DEFAULT = 8;

/** Leaves of the tree hash. */
export const TREE_BLOCK_BYTES = 4 * 1024 * 1024;

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

/** Target bytes whose copied fields are predicted in one way. */
export const FIELD_BLOCK_BYTES_LOG = 12;
export const FIELD_BLOCK_BYTES = 2 ** FIELD_BLOCK_BYTES_LOG;

/** Slots of the table that learns where places moved, as a power of two: 512 KiB. Part of the format. */
export const FIELD_TABLE_BITS = 16;

/** Old bytes that prime the decompression of literals. Below 8 bytes zstd ignores a dictionary. */
export const DICTIONARY_BYTES_MIN = 8;
export const DICTIONARY_BYTES_MAX = 8 * 1024 * 1024;

/** Old bytes at hand while a segment is compared: twice a segment. */
export const WINDOW_BYTES_MAX = 8 * 1024 * 1024;

/** Old bytes chosen or left out of a window as one. */
export const WINDOW_BLOCK_BYTES = 64 * 1024;

/** Anchors remembered of a basis; the larger it is, the sparser they are sampled. */
export const ANCHOR_COUNT_AIM = 2 ** 20;

/** One place in 512 is sampled, in a basis of up to 512 MiB. */
export const ANCHOR_RATE_LOG_MIN = 9;

/** Largest value of a varint, so that every one is an exact `number`. */
export const VARINT_MAX = Number.MAX_SAFE_INTEGER;

/** Seven bits a byte: 53 bits take 8. */
export const VARINT_BYTES_MAX = varintBytes(VARINT_MAX);

/** Largest target that can be described; the caller's `targetBytesMax` is usually far below. */
export const TARGET_BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** Window of a zstd frame the default `decompress` accepts, as a power of two: a dictionary and a segment fit. */
export const ZSTD_WINDOW_LOG_MAX = 24;

/** Room for what a segment copies, and as much again in the gaps between. */
export const READ_BATCH_PER_TARGET_BYTE = 2;

/** Gaps between copies that are read rather than left out: 16 KiB take as long as a call. */
export const READ_GAP_BYTES_MAX = 16 * 1024;

/** Chunks of one [MS-RDC] signature, and of all seeds together: 32 GiB at DFS-R's parameters, 302 MB of signature. */
export const MS_RDC_CHUNK_COUNT_MAX = 2 ** 24;

/** Seeds of one list of needs: msrdc.h numbers them 2 to 255. */
export const MS_RDC_SEED_COUNT_MAX = 254;

/** Groups of a signature's records: horizon, most records, bytes kept of the SHA-256. */
export const GROUP_HORIZON_RECORDS = 16;
export const GROUP_RECORDS_MAX = 256;
export const GROUP_ID_BYTES = 16;

/** A signature up to this size is sent whole. */
export const OUTLINED_BYTES_MIN = 64 * 1024;

/** Ranges of one need list; a plan with more fetches short copies as well until it has no more. */
export const NEED_RANGES_MAX = 2 ** 18;

/** Copies shorter than this between two needed ranges are fetched too. */
export const NEED_GAP_BYTES_DEFAULT = 1024;

/** Neighbouring needs are read in one go of at most this size. */
export const ANSWER_BATCH_BYTES_MAX = 256 * 1024;

/** Needed bytes compressed as one. */
export const ANSWER_FRAME_BYTES_MAX = 4 * 1024 * 1024;

/** Pieces in which a target is rebuilt, and how far ahead of copies from a seed is read. */
export const REBUILT_PIECE_BYTES = 1024 * 1024;
export const READ_AHEAD_BYTES_MAX = 64 * 1024;

function varintBytes(value: number): number {
  return Math.ceil(Math.log2(value + 1) / 7);
}

function assertRelation(holds: boolean, relation: string): void {
  if (!holds) throw new RangeError(`Limits of native-free-rdc contradict each other: ${relation}`);
}

assertRelation(SEGMENT_BYTES_MAX === TREE_BLOCK_BYTES, 'a block read of the basis is one of its tree hash');
assertRelation(
  CHUNK_MAX_HORIZONS * HORIZON_BYTES_CEILING <= CHUNK_BYTES_MAX_CEILING,
  'the largest horizon has its greatest chunk',
);
assertRelation(HORIZON_BYTES_STEP > HASHED_BYTES, 'a cut depends on no byte from before the start of a file');
assertRelation(CHUNK_BYTES_MAX_CEILING <= SEGMENT_BYTES_MAX, 'any chunk fits in a segment');
assertRelation(SEGMENT_BYTES_MAX + CHUNK_BYTES_MAX_CEILING <= 8 * 1024 * 1024, 'createDelta() buffers at most 8 MiB');
assertRelation(SEGMENT_BYTES_MAX / HORIZON_BYTES_STEP + 1 <= SEGMENT_OPS_MAX, 'one op per chunk fits in a segment');
assertRelation(CHUNK_COUNT_MAX < 2 ** 31, 'chunk indexes fit in Int32Array');
assertRelation(CHUNK_COUNT_MAX * CHUNK_BYTES_MAX_CEILING <= VARINT_MAX, 'any sum of chunk lengths is exact');
assertRelation(BASIS_BYTES_MAX * 2 <= VARINT_MAX, 'any zigzag displacement is exact');
assertRelation(SEGMENT_BYTES_MAX * 4 + 3 < 2 ** 31, 'an op word is a positive Int32');
assertRelation(MS_RDC_CHUNK_COUNT_MAX <= 2 ** 29, 'the slots of an index of seeds fit in an Int32Array');
assertRelation(VARINT_BYTES_MAX === 8, 'eight bytes hold any varint');
assertRelation(GROUP_RECORDS_MAX < 2 ** 14, 'two bytes hold the records of a group');
assertRelation(READ_AHEAD_BYTES_MAX <= REBUILT_PIECE_BYTES, 'reading ahead fits in a piece');
assertRelation(ANSWER_FRAME_BYTES_MAX <= 2 ** ZSTD_WINDOW_LOG_MAX, 'a frame of an answer fits in the window');
assertRelation(SEGMENT_BYTES_MAX <= 2 ** ZSTD_WINDOW_LOG_MAX, 'a frame of one segment fits in the window');
