/**
 * Joined contents that are compared with their names while somebody reads them for a purpose of his own.
 *
 * A rotten basis makes a delta that nobody can apply, found only after a transfer in vain; and a large basis is read
 * once less when whoever makes the delta reads it for both. What is wrong is forgotten by the library and thrown, so
 * that the next plan does without. Only what was read and compared is proven: files may rot between two readings.
 */
import { createHash, type Hash } from 'node:crypto';
import { ReplicationError } from '../../errors.ts';
import { type ContentId, contentIdOf } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import type { Files } from '../../world/files.ts';
import type { ContentStore } from './content-store.ts';
import { type JoinedContent, JoinedContents, joinedBytesOf } from './joined-contents.ts';

export class ProvenContents implements AsyncDisposable {
  readonly bytes: number;
  readonly #store: ContentStore;
  readonly #contents: readonly JoinedContent[];
  readonly #joined: JoinedContents;
  /** Bytes that were or are being read in order. */
  #claimedBytes = 0;
  /** The comparison of what was claimed last. */
  #comparison: Promise<void> = Promise.resolve();
  /** Contents before this one are right; of it and the zeros behind, so many bytes were seen. */
  #index = 0;
  #seenBytes = 0;
  #hash: Hash = createHash('sha256');

  constructor(files: Files, store: ContentStore, contents: readonly JoinedContent[]) {
    this.#store = store;
    this.#contents = contents;
    this.#joined = new JoinedContents(files, store, contents);
    this.bytes = this.#joined.bytes;
  }

  starts(): Map<ContentId, number> {
    return this.#joined.starts();
  }

  /**
   * As `JoinedContents.read`. What goes on where the calls before it end is compared before it is returned, however
   * many calls are under way; `content-damaged` when it completes a content that is not what its name says.
   */
  async read(offset: number, into: Uint8Array): Promise<number> {
    if (offset !== this.#claimedBytes || offset === this.bytes) return await this.#joined.read(offset, into);
    this.#claimedBytes = Math.min(this.bytes, offset + into.byteLength);
    const reading = this.#joined.read(offset, into);
    const comparison = this.#compareAfter(this.#comparison, reading, into);
    this.#comparison = comparison;
    await comparison;
    return await reading;
  }

  /** Reads what was not read in order. On return every content was what its name says. Throws as `read`. */
  async proveRest(): Promise<void> {
    const block = new Uint8Array(limits.blockBytes);
    while (this.#claimedBytes < this.bytes) await this.read(this.#claimedBytes, block);
    await this.#comparison;
  }

  async #compareAfter(before: Promise<void>, reading: Promise<number>, into: Uint8Array): Promise<void> {
    const [, filled] = await Promise.all([before, reading]);
    for (let at = 0; at < filled; ) {
      const { content, bytes } = this.#contents[this.#index] as JoinedContent;
      const joinedBytes = joinedBytesOf(bytes);
      const part = into.subarray(at, Math.min(filled, at + joinedBytes - this.#seenBytes));
      this.#hash.update(part.subarray(0, Math.max(0, bytes - this.#seenBytes)));
      this.#seenBytes += part.byteLength;
      at += part.byteLength;
      if (this.#seenBytes < joinedBytes) continue;
      await refuseOther(this.#store, content, this.#hash);
      this.#index += 1;
      this.#seenBytes = 0;
      this.#hash = createHash('sha256');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#joined[Symbol.asyncDispose]();
  }
}

/**
 * The contents end to end, without zeros between them; each block is lent until the next one is asked for. The end is
 * reached only when all were what their names say. Throws as `ProvenContents.read`.
 */
export async function* provenBlocks(
  files: Files,
  store: ContentStore,
  contents: readonly JoinedContent[],
): AsyncGenerator<Uint8Array> {
  await using joined = new JoinedContents(files, store, contents);
  const block = new Uint8Array(limits.blockBytes);
  let start = 0;
  for (const { content, bytes } of contents) {
    const hash = createHash('sha256');
    for (let at = 0; at < bytes; at += block.byteLength) {
      const part = block.subarray(0, Math.min(block.byteLength, bytes - at));
      await joined.read(start + at, part);
      hash.update(part);
      yield part;
    }
    await refuseOther(store, content, hash);
    start += joinedBytesOf(bytes);
  }
}

async function refuseOther(store: ContentStore, content: ContentId, hash: Hash): Promise<void> {
  if (contentIdOf(hash.digest()) === content) return;
  await store.forget(content);
  throw new ReplicationError(
    'content-damaged',
    `Cannot use content ${content}: the library holds other bytes under its name`,
  );
}
