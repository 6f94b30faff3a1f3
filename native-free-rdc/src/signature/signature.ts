/**
 * The signature of a file: its chunks' lengths and keyed hashes, enough to find them elsewhere without having the file.
 *
 * About half a per cent of the file. It reveals which chunks two holders share, so it is for peers one trusts to know.
 * The holder of a basis signs it, and gets a delta; or the holder of a target signs that, and is asked for ranges.
 */
import type { ByteSource } from '../byte-source.ts';
import { loadChunkHash } from '../chunk/chunk-hash.ts';
import { type ChunkParameters, chunkParametersFault, chunkParametersFor } from '../chunk/chunk-parameters.ts';
import { Chunker } from '../chunk/chunker.ts';
import { RdcError } from '../errors.ts';
import { CHUNK_HASH_BYTES_DEFAULT, CHUNK_HASH_BYTES_MAX, CHUNK_HASH_BYTES_MIN, SALT_BYTES } from '../limits.ts';
import { TreeHash } from '../tree-hash.ts';
import { ChunkColumns } from './chunk-columns.ts';

/** What is known of a file. The arrays belong to the signature: read only, `chunkCount` long, in file order. */
export interface Signature {
  readonly parameters: ChunkParameters;
  /** 8 bytes that key the chunk hashes. Fresh random ones per signature unless there is a reason. */
  readonly salt: Uint8Array;
  /** Bytes kept of each chunk hash, 4 to 8. */
  readonly hashBytes: number;
  /** Bytes of the file: the sum of `chunkLengths`. */
  readonly bytes: number;
  /** The identity of the file, 32 bytes: see tree-hash.ts. */
  readonly treeHash: Uint8Array;
  readonly chunkCount: number;
  readonly chunkLengths: Uint32Array;
  /** xxh64 of each chunk, seeded with `salt` as a little-endian number, its lowest `hashBytes` bytes. */
  readonly chunkHashes: BigUint64Array;
}

/** How chunks are cut and hashed. */
export interface SignatureKind {
  /** 8 bytes; the library has no chance of its own, so the caller draws them. */
  readonly salt: Uint8Array;
  /** Default: 8. Fewer make a smaller signature and more false matches, each of which costs a second transfer. */
  readonly hashBytes?: number;
  /** Default: `chunkParametersFor` the size of the file. */
  readonly parameters?: ChunkParameters;
}

export interface CreateSignatureOptions extends SignatureKind {
  /** Bytes the file is going to have; giving another number of them is an error. */
  readonly basisBytes: number;
}

/**
 * Reads the file once and signs it. Holds what a `Chunker` holds, and the signature.
 *
 * Throws `RangeError` for a wrong salt, size or parameters; `RdcError` `basis-short` or `basis-mismatch` if the file
 * has fewer or more bytes than `basisBytes`, `limit-exceeded` if it is too large.
 */
export async function createSignature(basis: ByteSource, options: CreateSignatureOptions): Promise<Signature> {
  const { basisBytes } = options;
  const kind = signatureKindOf(options, basisBytes);
  const columns = new ChunkColumns(await loadChunkHash(kind.salt, kind.hashBytes), basisBytes, kind.parameters);
  const chunker = new Chunker(kind.parameters);
  const treeHash = new TreeHash();
  let bytes = 0;
  for await (const piece of basis) {
    bytes += piece.length;
    if (bytes > basisBytes) {
      throw new RdcError('basis-mismatch', `Cannot sign the basis: it goes on after the expected ${basisBytes} bytes`);
    }
    treeHash.update(piece);
    for (let taken = 0; taken < piece.length; ) {
      taken = chunker.feed(piece, taken);
      pushAll(chunker, columns);
    }
  }
  if (bytes < basisBytes) {
    throw new RdcError('basis-short', `Cannot sign the basis: it has ${bytes} bytes, expected ${basisBytes}`);
  }
  chunker.end();
  pushAll(chunker, columns);
  return signatureOf(kind, { bytes, treeHash: treeHash.digest(), columns });
}

/** The parts of a signature that are known before the file is read, checked, defaults filled in. */
export function signatureKindOf(
  kind: SignatureKind,
  fileBytes: number,
): { readonly salt: Uint8Array; readonly hashBytes: number; readonly parameters: ChunkParameters } {
  const { salt, hashBytes = CHUNK_HASH_BYTES_DEFAULT } = kind;
  if (salt.length !== SALT_BYTES) {
    throw new RangeError(`Cannot sign: salt has ${salt.length} bytes, expected ${SALT_BYTES}`);
  }
  if (!Number.isInteger(hashBytes) || hashBytes < CHUNK_HASH_BYTES_MIN || hashBytes > CHUNK_HASH_BYTES_MAX) {
    throw new RangeError(
      `Cannot sign: hashBytes is ${hashBytes}, expected ${CHUNK_HASH_BYTES_MIN} to ${CHUNK_HASH_BYTES_MAX}`,
    );
  }
  // Refuses what is not a size, or above the limit, with given parameters too.
  const usual = chunkParametersFor(fileBytes);
  const parameters = kind.parameters ?? usual;
  const fault = chunkParametersFault(parameters);
  if (fault !== undefined) throw new RangeError(`Cannot sign: ${fault}`);
  return { salt: Uint8Array.from(salt), hashBytes, parameters };
}

export function signatureOf(
  kind: ReturnType<typeof signatureKindOf>,
  file: { readonly bytes: number; readonly treeHash: Uint8Array; readonly columns: ChunkColumns },
): Signature {
  const { chunkLengths, chunkHashes } = file.columns.finish();
  const { bytes, treeHash } = file;
  const { parameters, salt, hashBytes } = kind;
  return { parameters, salt, hashBytes, bytes, treeHash, chunkCount: chunkLengths.length, chunkLengths, chunkHashes };
}

function pushAll(chunker: Chunker, columns: ChunkColumns): void {
  for (let chunk = chunker.next(); chunk !== undefined; chunk = chunker.next()) columns.push(chunk);
}
