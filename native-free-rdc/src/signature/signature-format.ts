/**
 * A signature as bytes and back; FORMAT.md describes every byte.
 *
 * One signature has one encoding. The decoder treats its input as hostile: what it allocates is bounded by the length
 * of the input, and whatever it returns satisfies every promise of `Signature`.
 */
import { hash } from 'node:crypto';
import { type ChunkParameters, chunkParametersFault } from '../chunk/chunker.ts';
import { RdcError } from '../errors.ts';
import { BASIS_BYTES_MAX, CHUNK_COUNT_MAX, SALT_BYTES, SHA256_BYTES } from '../limits.ts';
import { ByteWriter, VarintReader } from '../varint.ts';
import type { Signature } from './signature.ts';

/** Grows when the layout, the cut rule or the chunk hash changes. */
export const SIGNATURE_FORMAT_VERSION = 1;

const MAGIC = Uint8Array.from('NFRDCSIG', (letter) => letter.charCodeAt(0));
const CHUNKER_GEAR32 = 1;
const HASH_XXH64_SALTED = 1;

// Offsets in the header; see FORMAT.md.
const AT_VERSION = 8;
const AT_CHUNKER = 9;
const AT_HASH = 10;
const AT_RESERVED = 11;
const AT_CHUNK_BYTES_MIN = 12;
const AT_CHUNK_BYTES_AVERAGE = 16;
const AT_CHUNK_BYTES_MAX = 20;
const AT_BASIS_BYTES = 24;
const AT_SALT = 32;
const AT_SHA256 = AT_SALT + SALT_BYTES;
const AT_CHUNK_COUNT = AT_SHA256 + SHA256_BYTES;
const AT_LENGTH_COLUMN_BYTES = AT_CHUNK_COUNT + 4;
const HEADER_BYTES = AT_LENGTH_COLUMN_BYTES + 4;
const HASH_BYTES = 8;
/** The first bytes of the SHA-256 of all before: tells damage, not malice. */
const CHECK_BYTES = 8;

/** The encoded form, freshly allocated: 80 + about 10 bytes per chunk + 8. Throws nothing for a well-formed signature. */
export function encodeSignature(signature: Signature): Uint8Array {
  const { parameters, chunkCount } = signature;
  const lengths = new ByteWriter(chunkCount * 2 + 16);
  for (let index = 0; index < chunkCount; index++) lengths.varint(signature.chunkLengths[index] as number);
  const encoded = new Uint8Array(HEADER_BYTES + lengths.length + chunkCount * HASH_BYTES + CHECK_BYTES);
  const view = new DataView(encoded.buffer);
  encoded.set(MAGIC);
  encoded[AT_VERSION] = SIGNATURE_FORMAT_VERSION;
  encoded[AT_CHUNKER] = CHUNKER_GEAR32;
  encoded[AT_HASH] = HASH_XXH64_SALTED;
  view.setUint32(AT_CHUNK_BYTES_MIN, parameters.chunkBytesMin, true);
  view.setUint32(AT_CHUNK_BYTES_AVERAGE, parameters.chunkBytesAverage, true);
  view.setUint32(AT_CHUNK_BYTES_MAX, parameters.chunkBytesMax, true);
  view.setBigUint64(AT_BASIS_BYTES, BigInt(signature.bytes), true);
  encoded.set(signature.salt, AT_SALT);
  encoded.set(signature.sha256, AT_SHA256);
  view.setUint32(AT_CHUNK_COUNT, chunkCount, true);
  view.setUint32(AT_LENGTH_COLUMN_BYTES, lengths.length, true);
  encoded.set(lengths.view(), HEADER_BYTES);
  let at = HEADER_BYTES + lengths.length;
  for (let index = 0; index < chunkCount; index++, at += HASH_BYTES) {
    view.setBigUint64(at, signature.chunkHashes[index] as bigint, true);
  }
  encoded.set(checkOf(encoded), at);
  return encoded;
}

/**
 * The signature in `encoded`, of which nothing is kept. Throws `RdcError` `signature-invalid` if it is damaged, cut
 * short, followed by anything or of another version, `limit-exceeded` if it is well formed but too large.
 */
export function decodeSignature(encoded: Uint8Array): Signature {
  if (encoded.length < HEADER_BYTES + CHECK_BYTES) throw invalid(`it has ${encoded.length} bytes, a header has more`);
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  if (MAGIC.some((byte, index) => encoded[index] !== byte)) throw invalid('it does not start with NFRDCSIG');
  expectByte(encoded, AT_VERSION, SIGNATURE_FORMAT_VERSION, 'version');
  expectByte(encoded, AT_CHUNKER, CHUNKER_GEAR32, 'chunker');
  expectByte(encoded, AT_HASH, HASH_XXH64_SALTED, 'hash');
  expectByte(encoded, AT_RESERVED, 0, 'reserved byte');
  const chunkCount = view.getUint32(AT_CHUNK_COUNT, true);
  if (chunkCount > CHUNK_COUNT_MAX) {
    throw new RdcError('limit-exceeded', `Cannot read the signature: it has ${chunkCount} chunks`);
  }
  const lengthColumnBytes = view.getUint32(AT_LENGTH_COLUMN_BYTES, true);
  const expectedBytes = HEADER_BYTES + lengthColumnBytes + chunkCount * HASH_BYTES + CHECK_BYTES;
  if (encoded.length !== expectedBytes) throw invalid(`it has ${encoded.length} bytes, expected ${expectedBytes}`);
  const check = checkOf(encoded);
  if (check.some((byte, index) => encoded[encoded.length - CHECK_BYTES + index] !== byte)) {
    throw invalid('its check does not match its bytes');
  }
  const parameters: ChunkParameters = {
    chunkBytesMin: view.getUint32(AT_CHUNK_BYTES_MIN, true),
    chunkBytesAverage: view.getUint32(AT_CHUNK_BYTES_AVERAGE, true),
    chunkBytesMax: view.getUint32(AT_CHUNK_BYTES_MAX, true),
  };
  const fault = chunkParametersFault(parameters);
  if (fault !== undefined) throw invalid(fault);
  const bytes = view.getBigUint64(AT_BASIS_BYTES, true);
  if (bytes > BigInt(BASIS_BYTES_MAX)) {
    throw new RdcError('limit-exceeded', `Cannot read the signature: its basis has ${bytes} bytes`);
  }
  const hashesAt = HEADER_BYTES + lengthColumnBytes;
  return {
    parameters,
    // Not `slice`: a Buffer's is a view of the caller's bytes.
    salt: Uint8Array.from(encoded.subarray(AT_SALT, AT_SALT + SALT_BYTES)),
    bytes: Number(bytes),
    sha256: Uint8Array.from(encoded.subarray(AT_SHA256, AT_SHA256 + SHA256_BYTES)),
    chunkCount,
    chunkLengths: decodeLengths(encoded.subarray(HEADER_BYTES, hashesAt), {
      chunkCount,
      basisBytes: Number(bytes),
      parameters,
    }),
    chunkHashes: decodeHashes(view, { hashesAt, chunkCount }),
  };
}

/** The length column: every chunk within [min, max], the last within [1, max], and all together the basis. */
function decodeLengths(
  column: Uint8Array,
  expected: { readonly chunkCount: number; readonly basisBytes: number; readonly parameters: ChunkParameters },
): Uint32Array {
  const { chunkCount, basisBytes, parameters } = expected;
  if (column.length < chunkCount) throw invalid('its length column is too short for its chunks');
  const lengths = new Uint32Array(chunkCount);
  const reader = new VarintReader(column);
  let sum = 0;
  for (let index = 0; index < chunkCount; index++) {
    const length = reader.read();
    const lengthMin = index === chunkCount - 1 ? 1 : parameters.chunkBytesMin;
    if (length < lengthMin || length > parameters.chunkBytesMax) {
      throw invalid(`chunk ${index} has ${length} bytes, expected ${lengthMin} to ${parameters.chunkBytesMax}`);
    }
    lengths[index] = length;
    sum += length;
  }
  if (!reader.isAtEnd) throw invalid('its length column goes on after the last chunk');
  if (sum !== basisBytes) throw invalid(`its chunks have ${sum} bytes, expected ${basisBytes}`);
  return lengths;
}

function decodeHashes(
  view: DataView,
  where: { readonly hashesAt: number; readonly chunkCount: number },
): BigUint64Array {
  const hashes = new BigUint64Array(where.chunkCount);
  for (let index = 0; index < where.chunkCount; index++) {
    hashes[index] = view.getBigUint64(where.hashesAt + index * HASH_BYTES, true);
  }
  return hashes;
}

function checkOf(encoded: Uint8Array): Uint8Array {
  return hash('sha256', encoded.subarray(0, encoded.length - CHECK_BYTES), 'buffer').subarray(0, CHECK_BYTES);
}

function expectByte(encoded: Uint8Array, at: number, wanted: number, name: string): void {
  if (encoded[at] !== wanted) throw invalid(`its ${name} is ${encoded[at]}, expected ${wanted}`);
}

function invalid(state: string): RdcError {
  return new RdcError('signature-invalid', `Cannot read the signature: ${state}`);
}
