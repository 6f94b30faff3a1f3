/**
 * xxh64 of a run of bytes, keyed: the hint by which equal chunks are found.
 *
 * xxh64 is fast (11 GB/s in WASM) and not cryptographic. The salt keeps strangers from preparing collisions for a
 * signature they have not seen; the SHA-256 of the whole file decides whether a hint was right.
 */
import createXxhash, { type XXHashAPI } from 'xxhash-wasm';
import { CHUNK_HASH_BYTES_MAX } from '../limits.ts';

/** Hashes bytes with the key it was made with. */
export type ChunkHash = (bytes: Uint8Array) => bigint;

let xxhash: Promise<XXHashAPI> | undefined;

/**
 * The hash keyed by `salt`, 8 bytes read as a little-endian seed, of which the lowest `hashBytes` (4 to 8, default 8)
 * bytes are kept. The first call instantiates the WASM module.
 */
export async function loadChunkHash(salt: Uint8Array, hashBytes: number = CHUNK_HASH_BYTES_MAX): Promise<ChunkHash> {
  xxhash ??= createXxhash();
  const { h64Raw } = await xxhash;
  const seed = new DataView(salt.buffer, salt.byteOffset, salt.byteLength).getBigUint64(0, true);
  if (hashBytes === CHUNK_HASH_BYTES_MAX) return (bytes) => h64Raw(bytes, seed);
  const bits = hashBytes * 8;
  return (bytes) => BigInt.asUintN(bits, h64Raw(bytes, seed));
}

/** xxh64 with seed 0: tells damage, not malice. */
export function loadDamageDetector(): Promise<ChunkHash> {
  return loadChunkHash(new Uint8Array(8));
}
