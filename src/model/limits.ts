/**
 * Every bound in the system, in one table. Whatever queues, buffers, retries or accepts looks here; the relations
 * between the numbers are asserted below, so a change that breaks one fails at start.
 */
const KIB = 1024;
const MIB = 1024 * KIB;

export const limits = {
  // Packages.
  /** Facts §2: a package's name. */
  packageNameCharactersMax: 50,
  /** Versions have at most nine digits, in file names too. */
  versionMax: 999_999_999,
  /** One part of a path, in UTF-8: what Linux, APFS and NTFS all hold. */
  pathPartBytesMax: 255,
  /** A whole path inside a package, in UTF-8. */
  pathBytesMax: 4096,
  /** Entries of one manifest: 1 million files at about 150 bytes each stay within `manifestBytesMax`. */
  manifestEntryCountMax: 1_000_000,
  manifestBytesMax: 256 * MIB,
  /** A file's content, and the sum of a package: what a double counts exactly. */
  contentBytesMax: Number.MAX_SAFE_INTEGER,
  /** How many offending paths an error names before it only counts them. */
  namedPathCountMax: 20,
  /** Reads of one source file that changes under us before the snapshot gives up. */
  sourceReadCountMax: 3,

  // The content library.
  /** Below this a content goes into a pack segment; from it on it is a plain file. */
  packedContentBytesMax: 128 * KIB,
  /** A pack segment is sealed when it reaches this. */
  packBytesMax: 32 * MIB,
  /** Files synced to disk at once: 5,900/s instead of 247/s one at a time (measured for the reliability study). */
  parallelSyncCount: 32,
  /** Files of the library kept open at once by one who reads here and there in many contents. */
  openContentFileCountMax: 16,
  /** Bytes read or written in one go, everywhere. */
  blockBytes: MIB,

  // Payloads.
  /** Raw bytes behind one record of a payload: the unit of compression, of memory and of a thread's job. */
  payloadBlockBytesMax: 4 * MIB,
  /** A record of a payload: a block that did not shrink, and its head. */
  payloadRecordBytesMax: 4 * MIB + 256 * KIB,
  /** Staged bytes after which a despooler commits what it has: what a kill then costs is done again at most. */
  despoolCommitBytes: 64 * MIB,
  /** A manifest of the basis up to this size is the dictionary of the next one. */
  manifestDictionaryBytesMax: 8 * MIB,
  /** Blocks compressed or decompressed ahead of their consumer. */
  compressAheadCount: 4,
  /** Segments of a diff under way at once, 4 MiB of target and at most 8 MiB of basis each. */
  diffAheadCount: 5,

  // Transfer.
  /** One acknowledged, durable piece of an upload; also the most that is sent twice after a kill. */
  uploadPieceBytesMax: MIB,
  /** A transfer begins with pieces of this size, and returns to it on thin links. */
  uploadPieceBytesMin: 64 * KIB,
  /** Pieces grow while they take less than a quarter of this, and shrink when they take more. */
  uploadPieceMsGoal: 8_000,
  /** One ranged request of a download. */
  downloadRangeBytesMax: 4 * MIB,
  /** A checkpoint of a download is made durable each time this much arrived. */
  downloadCheckpointBytes: MIB,
  /** Uploads a receiver keeps open at once. */
  openUploadCountMax: 64,
  /** An upload that nobody went on with for so long gives way to a new one. */
  abandonedUploadMs: 6 * 3_600_000,
  /** Finished uploads a receiver remembers, for senders that died before they heard the outcome. */
  settledUploadCountMax: 1_000,
  /** A payload a receiver accepts: the disk decides below this. */
  payloadBytesMax: 1024 ** 5,
  /** Answers of a receiver that move us to another offset without having taken a piece, one after another. */
  movedUploadCountMax: 3,
  /** How long a request may hear nothing. */
  silenceMsMax: 60_000,
  /** Disk that stays free after a payload was accepted. */
  freeBytesMin: 64 * MIB,

  // Serving.
  connectionCountMax: 512,
  requestHeadBytesMax: 16 * KIB,
  /** From accepting a connection to the end of a request's head. */
  requestHeadMsMax: 15_000,
  requestBodyBytesMax: 4 * MIB,
  /** A JSON answer we read from a peer. */
  answerBytesMax: 16 * MIB,
  /** Contents asked about in one `missing` question. */
  missingQuestionCountMax: 100_000,

  // Work.
  /** Facts §5: packages distributed at once. */
  distributedPackageCountMax: 3,
  despoolCountMax: 3,
  retryDelayMsMin: 250,
  retryDelayMsMax: 60_000,
  /** How often a site asks its destinations what they really hold. */
  inventoryIntervalMs: 6 * 3_600_000,
  /** How often a sender asks whether its payload was installed. */
  confirmPollMsMin: 50,
  confirmPollMsMax: 2_000,
  /** How long it asks before it gives its place to another send. */
  confirmWaitMsMax: 15_000,
  queuedJobCountMax: 1_000_000,

  // Storage of records.
  databaseKeyBytesMax: 400,
  databaseValueBytesMax: 4 * MIB,
  journalEntryCountMax: 20_000,

  // Decoding.
  /** Nesting of a msgpack document from outside. */
  msgpackDepthMax: 16,
} as const;

function assertRelation(holds: boolean, relation: string): void {
  if (!holds) throw new RangeError(`limits.ts: ${relation}`);
}

assertRelation(limits.payloadRecordBytesMax > limits.payloadBlockBytesMax, 'a record must hold an unshrunk block');
// A bit for each content of the target, and for each of both manifests that may be basis.
assertRelation(
  3 * limits.manifestEntryCountMax < 8 * limits.payloadBlockBytesMax,
  'a record must hold a list of contents',
);
assertRelation(limits.packedContentBytesMax <= limits.blockBytes, 'a packed content is handled in one block');
assertRelation(limits.payloadBlockBytesMax % limits.blockBytes === 0, 'a payload block is made of whole blocks');
assertRelation(limits.uploadPieceBytesMax <= limits.requestBodyBytesMax, 'a piece must fit a request');
assertRelation(limits.uploadPieceBytesMin <= limits.uploadPieceBytesMax, 'piece sizes are ordered');
assertRelation(2 * limits.uploadPieceMsGoal < limits.silenceMsMax, 'a piece must not look like silence');
assertRelation(limits.packBytesMax > limits.packedContentBytesMax, 'a pack must hold a packed content');
assertRelation(limits.retryDelayMsMin <= limits.retryDelayMsMax, 'retry delays are ordered');
