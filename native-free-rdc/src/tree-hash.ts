/**
 * The identity of a file: a SHA-256 over the SHA-256 of its blocks of 4 MiB, so that many threads can make it.
 *
 * The tree hash of a file of n bytes is SHA-256(n as 8 bytes, little-endian ‖ SHA-256 of each block in order); the
 * last block may be short, an empty file has none. As strong as SHA-256: the length says which digests there are, so
 * two files with one tree hash are a collision of SHA-256, of the root or of a block.
 */
import { createHash, type Hash, hash } from 'node:crypto';
import { SHA256_BYTES, TREE_BLOCK_BYTES } from './limits.ts';

/** Makes a tree hash from a stream, in pieces of any size. Holds the state of one SHA-256 and 32 bytes per block. */
export class TreeHash {
  #digests = new Uint8Array(SHA256_BYTES);
  #blockCount = 0;
  #block: Hash | undefined;
  #blockBytes = 0;

  /** Takes the next bytes of the file; keeps no reference to them. */
  update(piece: Uint8Array): void {
    for (let taken = 0; taken < piece.length; ) {
      const part = piece.subarray(taken, taken + TREE_BLOCK_BYTES - this.#blockBytes);
      this.#block ??= createHash('sha256');
      this.#block.update(part);
      this.#blockBytes += part.length;
      taken += part.length;
      if (this.#blockBytes === TREE_BLOCK_BYTES) this.#endBlock();
    }
  }

  /** The 32 bytes of the tree hash, freshly allocated. Call once, last. */
  digest(): Uint8Array {
    const bytes = this.#blockCount * TREE_BLOCK_BYTES + this.#blockBytes;
    this.#endBlock();
    return treeHashOf(this.#digests.subarray(0, this.#blockCount * SHA256_BYTES), bytes);
  }

  #endBlock(): void {
    if (this.#block === undefined) return;
    const at = this.#blockCount * SHA256_BYTES;
    if (at === this.#digests.length) {
      const grown = new Uint8Array(at * 2);
      grown.set(this.#digests);
      this.#digests = grown;
    }
    this.#digests.set(this.#block.digest(), at);
    this.#blockCount++;
    this.#block = undefined;
    this.#blockBytes = 0;
  }
}

/** The SHA-256 of each block of `bytes`, 32 bytes each, one behind the other. `bytes` starts where a block does. */
export function blockDigestsOf(bytes: Uint8Array): Uint8Array {
  const digests = new Uint8Array(blockCountOf(bytes.length) * SHA256_BYTES);
  for (let start = 0, at = 0; start < bytes.length; start += TREE_BLOCK_BYTES, at += SHA256_BYTES) {
    digests.set(hash('sha256', bytes.subarray(start, start + TREE_BLOCK_BYTES), 'buffer'), at);
  }
  return digests;
}

/**
 * The tree hash, 32 bytes, of a file of `bytes` bytes with these block digests, one behind the other. Throws
 * `RangeError` if a file of that size has not that many blocks.
 */
export function treeHashOf(blockDigests: Uint8Array, bytes: number): Uint8Array {
  if (blockDigests.length !== blockCountOf(bytes) * SHA256_BYTES) {
    throw new RangeError(
      `Cannot make a tree hash: ${blockDigests.length} bytes of digests, expected ${blockCountOf(bytes) * SHA256_BYTES}`,
    );
  }
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes), true);
  return Uint8Array.from(createHash('sha256').update(length).update(blockDigests).digest());
}

function blockCountOf(bytes: number): number {
  return Math.ceil(bytes / TREE_BLOCK_BYTES);
}
