/**
 * What an encoded signature and an encoded outline begin with: everything but the columns; FORMAT.md describes it.
 *
 * The reader believes nothing: after it, sizes are within the limits and do not contradict each other.
 */
import { hash } from 'node:crypto';
import { type ChunkParameters, chunkCountMaxOf, chunkParametersFault } from '../chunk/chunk-parameters.ts';
import { RdcError } from '../errors.ts';
import {
  BASIS_BYTES_MAX,
  CHUNK_COUNT_MAX,
  CHUNK_HASH_BYTES_MAX,
  CHUNK_HASH_BYTES_MIN,
  SALT_BYTES,
  SHA256_BYTES,
} from '../limits.ts';
import type { Fault, PackedColumn } from './chunk-codec.ts';
import type { Signature } from './signature.ts';

const CHUNKER_LM16 = 2;
const HASH_XXH64_SALTED = 1;

const AT_VERSION = 8;
const AT_CHUNKER = 9;
const AT_HASH = 10;
const AT_HASH_BYTES = 11;
const AT_HORIZON_BYTES = 12;
const AT_CHUNK_BYTES_MAX = 16;
const AT_CHUNK_COUNT = 20;
const AT_FILE_BYTES = 24;
const AT_SALT = 32;
const AT_TREE_HASH = AT_SALT + SALT_BYTES;
const AT_COLUMN_BYTES = AT_TREE_HASH + SHA256_BYTES;
const AT_COLUMN_CODING = AT_COLUMN_BYTES + 4;
const AT_RESERVED = AT_COLUMN_CODING + 1;
const RESERVED_BYTES = 3;

/** Bytes of the header. */
export const SIGNATURE_HEADER_BYTES: number = AT_RESERVED + RESERVED_BYTES;

/** The first bytes of the SHA-256 of all before: tells damage, not malice. */
export const CHECK_BYTES = 8;

/** A signature without its columns. */
export type SignatureHead = Omit<Signature, 'chunkLengths' | 'chunkHashes'>;

/** What tells one kind of file from another. */
export interface HeaderKind {
  /** 8 letters. */
  readonly magic: string;
  readonly version: number;
  readonly fault: Fault;
}

/** A header, a packed column behind it, what follows that up to the check. */
export interface Framed {
  readonly head: SignatureHead;
  readonly column: PackedColumn;
  readonly rest: Uint8Array;
}

/** Header, column, rest and check in one, freshly allocated. */
export function frame(kind: HeaderKind, framed: Framed): Uint8Array {
  const { head, column, rest } = framed;
  const encoded = new Uint8Array(SIGNATURE_HEADER_BYTES + column.bytes.length + rest.length + CHECK_BYTES);
  const view = new DataView(encoded.buffer);
  encoded.set(Buffer.from(kind.magic, 'latin1'));
  encoded[AT_VERSION] = kind.version;
  encoded[AT_CHUNKER] = CHUNKER_LM16;
  encoded[AT_HASH] = HASH_XXH64_SALTED;
  encoded[AT_HASH_BYTES] = head.hashBytes;
  view.setUint32(AT_HORIZON_BYTES, head.parameters.horizonBytes, true);
  view.setUint32(AT_CHUNK_BYTES_MAX, head.parameters.chunkBytesMax, true);
  view.setUint32(AT_CHUNK_COUNT, head.chunkCount, true);
  view.setBigUint64(AT_FILE_BYTES, BigInt(head.bytes), true);
  encoded.set(head.salt, AT_SALT);
  encoded.set(head.treeHash, AT_TREE_HASH);
  view.setUint32(AT_COLUMN_BYTES, column.bytes.length, true);
  encoded[AT_COLUMN_CODING] = column.coding;
  encoded.set(column.bytes, SIGNATURE_HEADER_BYTES);
  encoded.set(rest, SIGNATURE_HEADER_BYTES + column.bytes.length);
  encoded.set(checkOf(encoded), encoded.length - CHECK_BYTES);
  return encoded;
}

/**
 * Undoes `frame`; column and rest are views of `encoded`, the head is a copy. Throws what `kind.fault` makes, and
 * `RdcError` `limit-exceeded` for sizes above the limits.
 */
export function unframe(kind: HeaderKind, encoded: Uint8Array): Framed {
  if (encoded.length < SIGNATURE_HEADER_BYTES + CHECK_BYTES) {
    throw kind.fault(`it has ${encoded.length} bytes, expected at least ${SIGNATURE_HEADER_BYTES + CHECK_BYTES}`);
  }
  const magic = Buffer.from(encoded.subarray(0, kind.magic.length)).toString('latin1');
  if (magic !== kind.magic) throw kind.fault(`it does not start with ${kind.magic}`);
  const expectByte = (at: number, wanted: number, name: string): void => {
    if (encoded[at] !== wanted) throw kind.fault(`its ${name} is ${encoded[at]}, expected ${wanted}`);
  };
  expectByte(AT_VERSION, kind.version, 'version');
  expectByte(AT_CHUNKER, CHUNKER_LM16, 'chunker');
  expectByte(AT_HASH, HASH_XXH64_SALTED, 'hash');
  for (let at = AT_RESERVED; at < SIGNATURE_HEADER_BYTES; at++) expectByte(at, 0, 'reserved byte');
  const head = readHead(kind, encoded);
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const restAt = SIGNATURE_HEADER_BYTES + view.getUint32(AT_COLUMN_BYTES, true);
  const checkAt = encoded.length - CHECK_BYTES;
  if (restAt > checkAt) throw kind.fault(`it has ${encoded.length} bytes, expected at least ${restAt + CHECK_BYTES}`);
  if (checkOf(encoded).some((byte, index) => encoded[checkAt + index] !== byte)) {
    throw kind.fault('its check does not match its bytes');
  }
  return {
    head,
    column: {
      coding: encoded[AT_COLUMN_CODING] as number,
      bytes: encoded.subarray(SIGNATURE_HEADER_BYTES, restAt),
    },
    rest: encoded.subarray(restAt, checkAt),
  };
}

function readHead(kind: HeaderKind, encoded: Uint8Array): SignatureHead {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const hashBytes = encoded[AT_HASH_BYTES] as number;
  if (hashBytes < CHUNK_HASH_BYTES_MIN || hashBytes > CHUNK_HASH_BYTES_MAX) {
    const wanted = `${CHUNK_HASH_BYTES_MIN} to ${CHUNK_HASH_BYTES_MAX}`;
    throw kind.fault(`its hashes have ${hashBytes} bytes, expected ${wanted}`);
  }
  const parameters: ChunkParameters = {
    horizonBytes: view.getUint32(AT_HORIZON_BYTES, true),
    chunkBytesMax: view.getUint32(AT_CHUNK_BYTES_MAX, true),
  };
  const parametersFault = chunkParametersFault(parameters);
  if (parametersFault !== undefined) throw kind.fault(parametersFault);
  const fileBytes = view.getBigUint64(AT_FILE_BYTES, true);
  const chunkCount = view.getUint32(AT_CHUNK_COUNT, true);
  if (fileBytes > BigInt(BASIS_BYTES_MAX) || chunkCount > CHUNK_COUNT_MAX) {
    const sizes = `${chunkCount} chunks of ${fileBytes} bytes`;
    throw new RdcError('limit-exceeded', `Cannot read the signature: it is of ${sizes}`);
  }
  const bytes = Number(fileBytes);
  if (chunkCount > chunkCountMaxOf(bytes, parameters)) throw kind.fault(`${bytes} bytes have no ${chunkCount} chunks`);
  return {
    parameters,
    // Not `slice`: a Buffer's is a view of the caller's bytes.
    salt: Uint8Array.from(encoded.subarray(AT_SALT, AT_TREE_HASH)),
    hashBytes,
    bytes,
    treeHash: Uint8Array.from(encoded.subarray(AT_TREE_HASH, AT_COLUMN_BYTES)),
    chunkCount,
  };
}

function checkOf(encoded: Uint8Array): Uint8Array {
  return hash('sha256', encoded.subarray(0, encoded.length - CHECK_BYTES), 'buffer').subarray(0, CHECK_BYTES);
}
