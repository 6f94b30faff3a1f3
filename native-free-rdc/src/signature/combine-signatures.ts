/**
 * Several bases as one: their signatures, and so their bytes, one behind the other.
 *
 * A delta against the combined signature copies from all of them, and is applied to the `concatenatedBasis` of the same
 * bases in the same order. Nothing else has to know that there was more than one.
 */
import { createHash } from 'node:crypto';
import { RdcError } from '../errors.ts';
import { BASIS_BYTES_MAX, CHUNK_COUNT_MAX } from '../limits.ts';
import type { Signature } from './signature.ts';

/** Said before the parts, so that no combination has the tree hash of a file or of another combination. */
const COMBINATION = 'native-free-rdc combination 1';

/**
 * The signature of the bases one behind the other. Its tree hash is that of the combination: SHA-256 of a label and of
 * each basis's size and tree hash, or the tree hash of the only one. It is for making deltas, not for encoding: the
 * last chunk of each basis is in the middle of it. All signatures are made with one salt, one hash width and the
 * same parameters.
 *
 * Throws `RangeError` for none, or for signatures of different kinds; `RdcError` `limit-exceeded` for too many bytes or
 * chunks together.
 */
export function combineSignatures(signatures: readonly Signature[]): Signature {
  const [first] = signatures;
  if (first === undefined) throw new RangeError('Cannot combine signatures: there are none');
  if (signatures.length === 1) return first;
  let bytes = 0;
  let chunkCount = 0;
  for (const signature of signatures) {
    assertComparable(signature, first);
    bytes += signature.bytes;
    chunkCount += signature.chunkCount;
  }
  if (bytes > BASIS_BYTES_MAX || chunkCount > CHUNK_COUNT_MAX) {
    throw new RdcError('limit-exceeded', `Cannot combine signatures: ${chunkCount} chunks of ${bytes} bytes`);
  }
  const chunkLengths = new Uint32Array(chunkCount);
  const chunkHashes = new BigUint64Array(chunkCount);
  const identity = createHash('sha256').update(COMBINATION);
  const size = Buffer.alloc(8);
  let at = 0;
  for (const signature of signatures) {
    chunkLengths.set(signature.chunkLengths, at);
    chunkHashes.set(signature.chunkHashes, at);
    at += signature.chunkCount;
    size.writeBigUInt64LE(BigInt(signature.bytes));
    identity.update(size).update(signature.treeHash);
  }
  const { parameters, salt, hashBytes } = first;
  const treeHash = Uint8Array.from(identity.digest());
  return { parameters, salt, hashBytes, bytes, treeHash, chunkCount, chunkLengths, chunkHashes };
}

/** What decides whether equal chunks have equal hashes. */
type Comparable = Pick<Signature, 'parameters' | 'salt' | 'hashBytes'>;

/** Throws `RangeError` unless equal chunks have equal hashes in both. */
export function assertComparable(signature: Comparable, other: Comparable): void {
  const isSame =
    signature.parameters.horizonBytes === other.parameters.horizonBytes &&
    signature.parameters.chunkBytesMax === other.parameters.chunkBytesMax &&
    signature.hashBytes === other.hashBytes &&
    signature.salt.every((byte, index) => byte === other.salt[index]);
  if (!isSame) throw new RangeError('Cannot compare signatures: they differ in salt, hash width or chunk sizes');
}
