/** Contents of the library end to end, read at random as if they were one file: what a delta takes as its basis. */
import { ReplicationError } from '../../errors.ts';
import type { ContentId } from '../../model/content.ts';
import type { Files } from '../../world/files.ts';
import type { ContentStore } from './content-store.ts';
import { OpenFiles } from './open-files.ts';

export class JoinedContents implements AsyncDisposable {
  /** Length of the whole. */
  readonly bytes: number;
  readonly #store: ContentStore;
  readonly #contents: readonly { readonly content: ContentId; readonly bytes: number }[];
  readonly #starts: Float64Array;
  readonly #openFiles: OpenFiles;

  constructor(
    files: Files,
    store: ContentStore,
    contents: readonly { readonly content: ContentId; readonly bytes: number }[],
  ) {
    this.#store = store;
    this.#contents = contents;
    this.#openFiles = new OpenFiles(files);
    this.#starts = new Float64Array(contents.length);
    let bytes = 0;
    contents.forEach((content, index) => {
      this.#starts[index] = bytes;
      bytes += content.bytes;
    });
    this.bytes = bytes;
  }

  /**
   * Fills `into` from `offset` on; fewer bytes only at the end of the whole. Throws `content-missing` or
   * `content-damaged` (and the library forgets the content) when a file is gone or shorter than the index says; whether
   * the bytes are right is not looked at.
   */
  async read(offset: number, into: Uint8Array): Promise<number> {
    let filled = 0;
    for (let index = this.#indexAt(offset); index < this.#contents.length && filled < into.byteLength; index += 1) {
      const { content, bytes } = this.#contents[index] as { content: ContentId; bytes: number };
      const at = offset + filled - (this.#starts[index] as number);
      const part = into.subarray(filled, filled + Math.max(0, bytes - at));
      if (part.byteLength > 0) await this.#readPart(content, bytes, at, part);
      filled += part.byteLength;
    }
    return filled;
  }

  /** The content that `offset` lies in. */
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
