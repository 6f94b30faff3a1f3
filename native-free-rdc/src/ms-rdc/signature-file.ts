/**
 * The signature file of [MS-RDC] 2.2: a header of 24 bytes, then 18 bytes for each chunk of the signed file, in order.
 *
 * The format has no count and no check. A file cut short after a whole record can be told only by the size of what it
 * signs, and a changed one not at all: whoever rebuilds a file from it must compare a strong hash of the whole
 * ([MS-RDC] 5.1).
 */
import { RdcError } from '../errors.ts';
import { MS_RDC_CHUNK_COUNT_MAX } from '../limits.ts';
import { MD4_BYTES } from './md4.ts';

export const MS_RDC_HEADER_BYTES = 24;
/** MD4 and a 16-bit length. */
export const MS_RDC_RECORD_BYTES = MD4_BYTES + 2;

// Offsets in the header, [MS-RDC] 2.2.1.2. The padding, at 12, is to be ignored.
const AT_HEADER_BYTES = 0;
const AT_VERSION = 4;
const AT_VERSION_MIN = 8;
const AT_FILE_TYPE = 16;

/** LibraryVersion 1, BuildNumber 1, [MS-RDC] 2.2.1.1. */
const VERSION = 0x00010001;
const FILE_TYPE_SIGNATURE = 1n;

/** What is known of a signed file: columns of one entry per chunk, in the order of the file. */
export interface MsRdcSignature {
  readonly chunkCount: number;
  /** MD4 of each chunk, 16 bytes each. */
  readonly hashes: Uint8Array;
  /** Bytes of each chunk, 1 to 65,535. */
  readonly lengths: Uint16Array;
  /** Bytes of the signed file: the sum of `lengths`. */
  readonly bytes: number;
}

export interface ReadMsRdcSignatureOptions {
  /** Bytes the signed file is known to have. Without it a signature cut short after a whole record passes. */
  readonly fileBytes?: number;
}

/** The header, freshly allocated. */
export function msRdcSignatureHeader(): Uint8Array {
  const header = new Uint8Array(MS_RDC_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(AT_HEADER_BYTES, MS_RDC_HEADER_BYTES, true);
  view.setUint32(AT_VERSION, VERSION, true);
  view.setUint32(AT_VERSION_MIN, VERSION, true);
  view.setBigUint64(AT_FILE_TYPE, FILE_TYPE_SIGNATURE, true);
  return header;
}

/**
 * The signature in `encoded`, of which nothing is kept. Allocates about as much as `encoded` has.
 *
 * Throws `RdcError` `signature-invalid` if it is not a signature file, cut short within a record, has a chunk of no
 * bytes or does not sign `fileBytes`; `limit-exceeded` if it has more than `MS_RDC_CHUNK_COUNT_MAX` chunks.
 */
export function readMsRdcSignature(encoded: Uint8Array, options: ReadMsRdcSignatureOptions = {}): MsRdcSignature {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  checkHeader(view);
  const recordsBytes = encoded.length - MS_RDC_HEADER_BYTES;
  const chunkCount = Math.floor(recordsBytes / MS_RDC_RECORD_BYTES);
  if (chunkCount * MS_RDC_RECORD_BYTES !== recordsBytes) {
    throw invalid(`its records have ${recordsBytes} bytes, expected a multiple of ${MS_RDC_RECORD_BYTES}`);
  }
  if (chunkCount > MS_RDC_CHUNK_COUNT_MAX) {
    throw new RdcError(
      'limit-exceeded',
      `Cannot read the RDC signature: it has ${chunkCount} chunks, expected at most ${MS_RDC_CHUNK_COUNT_MAX}`,
    );
  }
  const hashes = new Uint8Array(chunkCount * MD4_BYTES);
  const lengths = new Uint16Array(chunkCount);
  let bytes = 0;
  for (let index = 0, at = MS_RDC_HEADER_BYTES; index < chunkCount; index++, at += MS_RDC_RECORD_BYTES) {
    const length = view.getUint16(at + MD4_BYTES, true);
    if (length === 0) throw invalid(`chunk ${index} has no bytes`);
    for (let byte = 0; byte < MD4_BYTES; byte++) hashes[index * MD4_BYTES + byte] = encoded[at + byte] as number;
    lengths[index] = length;
    bytes += length;
  }
  if (options.fileBytes !== undefined && bytes !== options.fileBytes) {
    throw invalid(`it signs ${bytes} bytes, expected ${options.fileBytes}`);
  }
  return { chunkCount, hashes, lengths, bytes };
}

function checkHeader(view: DataView): void {
  if (view.byteLength < MS_RDC_HEADER_BYTES) {
    throw invalid(`it has ${view.byteLength} bytes, a header has ${MS_RDC_HEADER_BYTES}`);
  }
  expectField('header size', view.getUint32(AT_HEADER_BYTES, true), MS_RDC_HEADER_BYTES);
  expectField('version', view.getUint32(AT_VERSION, true), VERSION);
  expectField('least version', view.getUint32(AT_VERSION_MIN, true), VERSION);
  expectField('file type', view.getBigUint64(AT_FILE_TYPE, true), FILE_TYPE_SIGNATURE);
}

function expectField<T extends number | bigint>(name: string, value: T, wanted: T): void {
  if (value !== wanted) throw invalid(`its ${name} is ${value}, expected ${wanted}`);
}

function invalid(state: string): RdcError {
  return new RdcError('signature-invalid', `Cannot read the RDC signature: ${state}`);
}
