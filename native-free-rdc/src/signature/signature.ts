/**
 * The signature of a basis: its chunks' lengths and keyed hashes, enough to make a delta without having the basis.
 *
 * About half a per cent of the basis. It reveals which chunks two holders share, so it is for peers one trusts to know.
 */
import { createHash } from 'node:crypto';
import type { ByteSource } from '../byte-source.ts';
import { type ChunkHash, loadChunkHash } from '../chunk/chunk-hash.ts';
import { Chunker, type ChunkParameters, chunkParametersFor } from '../chunk/chunker.ts';
import { RdcError } from '../errors.ts';
import { CHUNK_COUNT_MAX, SALT_BYTES } from '../limits.ts';

/** What is known of a basis. The arrays belong to the signature: read only, `chunkCount` long, in basis order. */
export interface Signature {
  readonly parameters: ChunkParameters;
  /** 8 bytes that key the chunk hashes. Fresh random ones per signature unless there is a reason. */
  readonly salt: Uint8Array;
  /** Bytes of the basis: the sum of `chunkLengths`. */
  readonly bytes: number;
  /** SHA-256 of the whole basis, 32 bytes. */
  readonly sha256: Uint8Array;
  readonly chunkCount: number;
  readonly chunkLengths: Uint32Array;
  /** xxh64 of each chunk, seeded with `salt` as a little-endian number. */
  readonly chunkHashes: BigUint64Array;
}

export interface CreateSignatureOptions {
  /** Bytes the basis is going to have; giving another number of them is an error. */
  readonly basisBytes: number;
  /** 8 bytes; the library has no chance of its own, so the caller draws them. */
  readonly salt: Uint8Array;
  /** Default: `chunkParametersFor(basisBytes)`. */
  readonly parameters?: ChunkParameters;
}

/**
 * Reads the basis once and signs it. Holds one chunk and the signature.
 *
 * Throws `RangeError` for a wrong salt, size or parameters; `RdcError` `basis-short` or `basis-mismatch` if the basis
 * has fewer or more bytes than `basisBytes`, `limit-exceeded` if it is too large or has too many chunks.
 */
export async function createSignature(basis: ByteSource, options: CreateSignatureOptions): Promise<Signature> {
  const { basisBytes, salt } = options;
  if (salt.length !== SALT_BYTES) {
    throw new RangeError(`Cannot sign the basis: salt has ${salt.length} bytes, expected ${SALT_BYTES}`);
  }
  const parameters = options.parameters ?? chunkParametersFor(basisBytes);
  chunkParametersFor(basisBytes); // refuses what is not a size, or above the limit, with given parameters too
  const chunks = new ChunkColumns(await loadChunkHash(salt), basisBytes, parameters);
  const sha256 = createHash('sha256');
  let bytes = 0;
  for await (const piece of basis) {
    bytes += piece.length;
    if (bytes > basisBytes) {
      throw new RdcError('basis-mismatch', `Cannot sign the basis: it goes on after the expected ${basisBytes} bytes`);
    }
    sha256.update(piece);
    chunks.take(piece);
  }
  if (bytes < basisBytes) {
    throw new RdcError('basis-short', `Cannot sign the basis: it has ${bytes} bytes, expected ${basisBytes}`);
  }
  return {
    parameters,
    salt: Uint8Array.from(salt),
    bytes,
    sha256: Uint8Array.from(sha256.digest()),
    ...chunks.finish(),
  };
}

/** Cuts the basis into chunks and grows the two columns of its signature. Synchronous, for the speed of the cut loop. */
class ChunkColumns {
  readonly #hash: ChunkHash;
  readonly #chunker: Chunker;
  /** The start of a chunk that reaches beyond its piece of the basis. */
  readonly #carry: Uint8Array;
  #carryBytes = 0;
  #count = 0;
  #lengths: Uint32Array;
  #hashes: BigUint64Array;

  constructor(hash: ChunkHash, basisBytes: number, parameters: ChunkParameters) {
    this.#hash = hash;
    this.#chunker = new Chunker(parameters);
    this.#carry = new Uint8Array(Math.min(parameters.chunkBytesMax, basisBytes));
    // A quarter more than expected, so that ordinary content never grows the columns.
    const expected = Math.ceil((basisBytes / parameters.chunkBytesAverage) * 1.25) + 16;
    const capacity = Math.min(expected, CHUNK_COUNT_MAX);
    this.#lengths = new Uint32Array(capacity);
    this.#hashes = new BigUint64Array(capacity);
  }

  /** Takes the next piece of the basis; keeps a copy of what the next one may continue. */
  take(piece: Uint8Array): void {
    let start = 0;
    for (let cut = this.#chunker.next(piece, 0); cut !== -1; cut = this.#chunker.next(piece, cut)) {
      if (this.#carryBytes === 0) {
        this.#push(piece.subarray(start, cut));
      } else {
        this.#carry.set(piece.subarray(start, cut), this.#carryBytes);
        this.#push(this.#carry.subarray(0, this.#carryBytes + cut - start));
        this.#carryBytes = 0;
      }
      start = cut;
    }
    this.#carry.set(piece.subarray(start), this.#carryBytes);
    this.#carryBytes += piece.length - start;
  }

  finish(): Pick<Signature, 'chunkCount' | 'chunkLengths' | 'chunkHashes'> {
    if (this.#carryBytes > 0) this.#push(this.#carry.subarray(0, this.#carryBytes));
    this.#carryBytes = 0;
    return {
      chunkCount: this.#count,
      chunkLengths: this.#lengths.slice(0, this.#count),
      chunkHashes: this.#hashes.slice(0, this.#count),
    };
  }

  #push(chunk: Uint8Array): void {
    if (this.#count === this.#lengths.length) this.#grow();
    this.#lengths[this.#count] = chunk.length;
    this.#hashes[this.#count] = this.#hash(chunk);
    this.#count++;
  }

  #grow(): void {
    if (this.#count === CHUNK_COUNT_MAX) {
      throw new RdcError('limit-exceeded', `Cannot sign the basis: it has more than ${CHUNK_COUNT_MAX} chunks`);
    }
    const capacity = Math.min(this.#count * 2, CHUNK_COUNT_MAX);
    const lengths = new Uint32Array(capacity);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
    const hashes = new BigUint64Array(capacity);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
  }
}
