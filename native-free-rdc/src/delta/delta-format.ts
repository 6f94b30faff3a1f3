/**
 * The delta's fixed-size parts as bytes and back; FORMAT.md describes every byte.
 *
 * header, segments, trailer. Each decoder takes exactly its part and checks every field against `limits.ts`, so that
 * whoever allocates afterwards allocates no more than a limit.
 */
import { RdcError } from '../errors.ts';
import {
  BASIS_BYTES_MAX,
  DICTIONARY_BYTES_MAX,
  DICTIONARY_BYTES_MIN,
  FIELD_BLOCK_BYTES,
  OP_COLUMN_BYTES_MAX,
  SEGMENT_BYTES_MAX,
  SHA256_BYTES,
  TARGET_BYTES_MAX,
} from '../limits.ts';

/** Grows when the layout changes or an operation gains a meaning. */
export const DELTA_FORMAT_VERSION = 2;

/** Bytes that `readDeltaHeader` needs. */
export const DELTA_HEADER_BYTES = 56;
/** The tag that tells a segment from a trailer. */
export const TAG_BYTES = 1;
export const SEGMENT_HEAD_BYTES = 72;
export const TRAILER_BYTES = 44;

export const TAG_SEGMENT = 1;
export const TAG_TRAILER = 2;

/** What happens to the basis and the target around the delta. None yet; opening compressed containers later. */
const FILTER_NONE = 0;
/** Flags of the header. */
const FLAG_SPARSE = 1;

const MAGIC = Uint8Array.from('NFRDCDLT', (letter) => letter.charCodeAt(0));

/** What a delta says about itself before its first segment. */
export interface DeltaHeader {
  readonly formatVersion: number;
  /** 0: none. */
  readonly filter: number;
  /** No segment covers more target bytes than this; at most `SEGMENT_BYTES_MAX`. */
  readonly segmentBytesMax: number;
  readonly basisBytes: number;
  /** What the basis is called, 32 bytes: the tree hash of a file, whatever its maker chose for several. */
  readonly basisId: Uint8Array;
  /** Whether the target had holes where it has zeros: a hint for whoever writes it. */
  readonly isTargetSparse: boolean;
}

/** How a column travels. `zstd` only when that is smaller; `dictionary`: zstd that begins with old bytes, literals only. */
export type Coding = 'raw' | 'zstd' | 'dictionary';

const CODINGS: readonly Coding[] = ['raw', 'zstd', 'dictionary'];

/** The columns of a segment, in their order. */
export const COLUMNS = ['ops', 'kinds', 'gaps', 'values', 'literals'] as const;
export type Column = (typeof COLUMNS)[number];

/** A run of bytes inside a segment: `rawBytes` once decoded, `encodedBytes` in the delta. */
export interface ColumnHead {
  readonly coding: Coding;
  readonly rawBytes: number;
  readonly encodedBytes: number;
}

/** The head of a segment; its columns follow in this order. */
export interface SegmentHead {
  /** In [1, segmentBytesMax]. */
  readonly targetBytes: number;
  readonly columns: Readonly<Record<Column, ColumnHead>>;
  /** The part of the basis that is the dictionary of the literals; 0 bytes if they have none. */
  readonly dictionaryStart: number;
  readonly dictionaryBytes: number;
  /** xxh64, seed 0, of the target bytes the segment covers: tells damage early. */
  readonly targetHash: bigint;
}

export interface DeltaTrailer {
  readonly targetBytes: number;
  readonly targetSha256: Uint8Array;
}

export function encodeDeltaHeader(
  header: Pick<DeltaHeader, 'basisBytes' | 'basisId'> & Partial<Pick<DeltaHeader, 'isTargetSparse'>>,
): Uint8Array {
  const bytes = new Uint8Array(DELTA_HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC);
  bytes[8] = DELTA_FORMAT_VERSION;
  bytes[9] = FILTER_NONE;
  bytes[10] = header.isTargetSparse === true ? FLAG_SPARSE : 0;
  view.setUint32(12, SEGMENT_BYTES_MAX, true);
  view.setBigUint64(16, BigInt(header.basisBytes), true);
  bytes.set(header.basisId, 24);
  return bytes;
}

/**
 * What the delta beginning with `start` was made against, so that a wrong basis is told before work starts. `start`
 * holds at least `DELTA_HEADER_BYTES`; nothing of it is kept.
 *
 * Throws `RdcError` `delta-truncated` if it holds fewer, `delta-invalid` if this is no delta or one of another version
 * or filter, `limit-exceeded` if its sizes are beyond this library's.
 */
export function readDeltaHeader(start: Uint8Array): DeltaHeader {
  const magic = start.subarray(0, MAGIC.length);
  if (magic.some((byte, index) => byte !== MAGIC[index])) throw invalid('it does not start with NFRDCDLT');
  if (start.length < DELTA_HEADER_BYTES) {
    throw new RdcError(
      'delta-truncated',
      `Cannot read the delta: it ends after ${start.length} bytes, its header has ${DELTA_HEADER_BYTES}`,
    );
  }
  const view = viewOf(start);
  const formatVersion = view.getUint8(8);
  if (formatVersion !== DELTA_FORMAT_VERSION) {
    throw invalid(`its version is ${formatVersion}, expected ${DELTA_FORMAT_VERSION}`);
  }
  const filter = view.getUint8(9);
  if (filter !== FILTER_NONE) throw invalid(`its filter is ${filter}, expected ${FILTER_NONE}`);
  const flags = view.getUint16(10, true);
  if (flags > FLAG_SPARSE) throw invalid(`its flags are ${flags}, expected 0 or ${FLAG_SPARSE}`);
  const segmentBytesMax = view.getUint32(12, true);
  if (segmentBytesMax === 0) throw invalid('its segments are empty');
  if (segmentBytesMax > SEGMENT_BYTES_MAX) {
    throw exceeded(`its segments have up to ${segmentBytesMax} bytes, expected at most ${SEGMENT_BYTES_MAX}`);
  }
  const basisBytes = view.getBigUint64(16, true);
  if (basisBytes > BigInt(BASIS_BYTES_MAX)) {
    throw exceeded(`its basis has ${basisBytes} bytes, expected at most ${BASIS_BYTES_MAX}`);
  }
  // Not `slice`: a Buffer's is a view of the caller's bytes.
  const basisId = Uint8Array.from(start.subarray(24, 24 + SHA256_BYTES));
  return {
    formatVersion,
    filter,
    segmentBytesMax,
    basisBytes: Number(basisBytes),
    basisId,
    isTargetSparse: flags === FLAG_SPARSE,
  };
}

const COLUMNS_AT = 16;
const COLUMN_HEAD_BYTES = 8;
/** The two highest bits of a column's decoded length hold its coding; lengths stay below 2^30. */
const CODING_SHIFT = 30;
const DICTIONARY_AT = COLUMNS_AT + COLUMNS.length * COLUMN_HEAD_BYTES;

export function encodeSegmentHead(head: SegmentHead): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEAD_BYTES);
  const view = viewOf(bytes);
  bytes[0] = TAG_SEGMENT;
  view.setUint32(4, head.targetBytes, true);
  view.setBigUint64(8, head.targetHash, true);
  COLUMNS.forEach((name, index) => {
    const { coding, rawBytes, encodedBytes } = head.columns[name];
    const at = COLUMNS_AT + index * COLUMN_HEAD_BYTES;
    view.setUint32(at, rawBytes + CODINGS.indexOf(coding) * 2 ** CODING_SHIFT, true);
    view.setUint32(at + 4, encodedBytes, true);
  });
  view.setBigUint64(DICTIONARY_AT, BigInt(head.dictionaryStart), true);
  view.setUint32(DICTIONARY_AT + 8, head.dictionaryBytes, true);
  return bytes;
}

/** `bytes` is the whole head, tag included. Throws `RdcError` `delta-invalid`. */
export function decodeSegmentHead(bytes: Uint8Array, header: DeltaHeader): SegmentHead {
  const view = viewOf(bytes);
  const targetBytes = view.getUint32(4, true);
  if (targetBytes === 0 || targetBytes > header.segmentBytesMax) {
    throw invalid(`a segment covers ${targetBytes} target bytes, expected 1 to ${header.segmentBytesMax}`);
  }
  if (view.getUint32(0, true) !== TAG_SEGMENT || view.getUint32(DICTIONARY_AT + 12, true) !== 0) {
    throw invalid('the reserved fields of a segment are not zero');
  }
  const columns = {
    ops: decodeColumnHead(view, 'ops', OP_COLUMN_BYTES_MAX),
    kinds: decodeColumnHead(view, 'kinds', Math.ceil(targetBytes / FIELD_BLOCK_BYTES)),
    gaps: decodeColumnHead(view, 'gaps', targetBytes * 2),
    values: decodeColumnHead(view, 'values', targetBytes),
    literals: decodeColumnHead(view, 'literals', targetBytes),
  };
  const dictionary = decodeDictionary(view, {
    isUsed: columns.literals.coding === 'dictionary',
    // Reading a dictionary takes time, so a small segment must not ask for a large one.
    bytesMax: Math.min(DICTIONARY_BYTES_MAX, targetBytes * 2),
    basisBytes: header.basisBytes,
  });
  return { targetBytes, columns, ...dictionary, targetHash: view.getBigUint64(8, true) };
}

function decodeDictionary(
  view: DataView,
  expected: { readonly isUsed: boolean; readonly bytesMax: number; readonly basisBytes: number },
): Pick<SegmentHead, 'dictionaryStart' | 'dictionaryBytes'> {
  const start = view.getBigUint64(DICTIONARY_AT, true);
  const dictionaryBytes = view.getUint32(DICTIONARY_AT + 8, true);
  const isPlausible = expected.isUsed
    ? dictionaryBytes >= DICTIONARY_BYTES_MIN &&
      dictionaryBytes <= expected.bytesMax &&
      start + BigInt(dictionaryBytes) <= BigInt(expected.basisBytes)
    : start === 0n && dictionaryBytes === 0;
  if (!isPlausible) throw invalid(`a segment has a dictionary of ${dictionaryBytes} bytes at ${start}`);
  return { dictionaryStart: Number(start), dictionaryBytes };
}

function decodeColumnHead(view: DataView, name: Column, rawBytesMax: number): ColumnHead {
  const at = COLUMNS_AT + COLUMNS.indexOf(name) * COLUMN_HEAD_BYTES;
  const word = view.getUint32(at, true);
  const coding = CODINGS[word >>> CODING_SHIFT];
  const rawBytes = word % 2 ** CODING_SHIFT;
  const encodedBytes = view.getUint32(at + 4, true);
  if (coding === undefined || (coding === 'dictionary' && name !== 'literals')) {
    throw invalid(`the ${name} of a segment have coding ${word >>> CODING_SHIFT}`);
  }
  if (rawBytes > rawBytesMax) {
    throw invalid(`the ${name} of a segment have ${rawBytes} bytes, expected at most ${rawBytesMax}`);
  }
  const isPlausible = coding === 'raw' ? encodedBytes === rawBytes : encodedBytes > 0 && encodedBytes < rawBytes;
  if (!isPlausible) throw invalid(`the ${name} of a segment, ${coding}, have ${encodedBytes} bytes for ${rawBytes}`);
  return { coding, rawBytes, encodedBytes };
}

export function encodeDeltaTrailer(trailer: DeltaTrailer): Uint8Array {
  const bytes = new Uint8Array(TRAILER_BYTES);
  bytes[0] = TAG_TRAILER;
  viewOf(bytes).setBigUint64(4, BigInt(trailer.targetBytes), true);
  bytes.set(trailer.targetSha256, 12);
  return bytes;
}

/** `bytes` is the whole trailer, tag included. Throws `RdcError` `delta-invalid`. */
export function decodeDeltaTrailer(bytes: Uint8Array): DeltaTrailer {
  const view = viewOf(bytes);
  if (view.getUint8(1) !== 0 || view.getUint16(2, true) !== 0)
    throw invalid("the trailer's reserved bytes are not zero");
  const targetBytes = view.getBigUint64(4, true);
  if (targetBytes > BigInt(TARGET_BYTES_MAX)) throw invalid(`its target has ${targetBytes} bytes`);
  return { targetBytes: Number(targetBytes), targetSha256: Uint8Array.from(bytes.subarray(12, 12 + SHA256_BYTES)) };
}

/** The delta is not what it claims to be. */
export function invalid(state: string, cause?: unknown): RdcError {
  return new RdcError('delta-invalid', `Cannot read the delta: ${state}`, cause === undefined ? {} : { cause });
}

function exceeded(state: string): RdcError {
  return new RdcError('limit-exceeded', `Cannot read the delta: ${state}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
