/**
 * Contents of the library one behind the other, read at random as if they were one file: what a delta leads from.
 *
 * Each begins at a multiple of `joinedAlignBytes`, as the fields in it expect of a file; zeros lie between them and end
 * the whole. Whether the bytes are right is not looked at: `ProvenContents` does.
 */
import { ReplicationError } from '../../errors.ts';
import type { ContentId } from '../../model/content.ts';
import type { Files } from '../../world/files.ts';
import type { ContentStore } from './content-store.ts';
import { OpenFiles } from './open-files.ts';

/** Part of the payload's format. Nothing that compilers lay out is aligned more widely but by request. */
export const joinedAlignBytes = 16;

/** What a content of `bytes` bytes takes with the zeros behind it. */
export function joinedBytesOf(bytes: number): number {
  return Math.ceil(bytes / joinedAlignBytes) * joinedAlignBytes;
}

/** Not the empty one, which nobody stores. */
export interface JoinedContent {
  readonly content: ContentId;
  readonly bytes: number;
}

export class JoinedContents implements AsyncDisposable {
  /** Length of the whole. */
  readonly bytes: number;
  readonly #store: ContentStore;
  readonly #contents: readonly JoinedContent[];
  readonly #starts: Float64Array;
  readonly #openFiles: OpenFiles;

  constructor(files: Files, store: ContentStore, contents: readonly JoinedContent[]) {
    this.#store = store;
    this.#contents = contents;
    this.#openFiles = new OpenFiles(files);
    this.#starts = new Float64Array(contents.length);
    let bytes = 0;
    contents.forEach((content, index) => {
      this.#starts[index] = bytes;
      bytes += joinedBytesOf(content.bytes);
    });
    this.bytes = bytes;
  }

  /** Where each content begins. */
  starts(): Map<ContentId, number> {
    return new Map(this.#contents.map(({ content }, index) => [content, this.#starts[index] as number]));
  }

  /**
   * Fills `into` from `offset` on; fewer bytes only at the end of the whole. Throws `content-missing` or
   * `content-damaged` (and the library forgets the content) when a file is gone or shorter than the index says.
   */
  async read(offset: number, into: Uint8Array): Promise<number> {
    let filled = 0;
    for (let index = this.#indexAt(offset); index < this.#contents.length && filled < into.byteLength; index += 1) {
      const { content, bytes } = this.#contents[index] as JoinedContent;
      const at = offset + filled - (this.#starts[index] as number);
      const part = into.subarray(filled, filled + Math.max(0, bytes - at));
      if (part.byteLength > 0) await this.#readPart(content, bytes, at, part);
      filled += part.byteLength;
      const zeros = into.subarray(filled, (this.#starts[index + 1] ?? this.bytes) - offset);
      zeros.fill(0);
      filled += zeros.byteLength;
    }
    return filled;
  }

  /** The content that `offset` lies in or behind. */
  #indexAt(offset: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async #readPart(content: ContentId, bytes: number, at: number, into: Uint8Array): Promise<void> {
    const place = this.#store.placeOf(content);
    if (place?.bytes !== bytes) {
      throw new ReplicationError('content-missing', `Cannot read content ${content}: it is not in the library so`);
    }
    let read: number;
    try {
      read = await this.#openFiles.read(place.path, place.startByte + at, into);
    } catch (error) {
      if (!(error instanceof ReplicationError && error.code === 'file-missing')) throw error;
      await this.#store.forget(content);
      const state = `Cannot read content ${content}: its file is gone`;
      throw new ReplicationError('content-missing', state, { cause: error });
    }
    if (read === into.byteLength) return;
    await this.#store.forget(content);
    throw new ReplicationError('content-damaged', `Cannot read content ${content}: it ends at byte ${at + read}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#openFiles[Symbol.asyncDispose]();
  }
}
