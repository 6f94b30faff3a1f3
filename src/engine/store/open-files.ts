/**
 * Files that are read here and there: the ones used last stay open, at most `openContentFileCountMax` of them, so that a
 * hundred thousand contents in a hundred packs cost a hundred openings and sixteen descriptors.
 */
import pLimit from 'p-limit';
import { limits } from '../../model/limits.ts';
import type { FileHandle, Files } from '../../world/files.ts';

interface OpenFile {
  readonly handle: Promise<FileHandle>;
  userCount: number;
}

export class OpenFiles implements AsyncDisposable {
  readonly #files: Files;
  /** Least recently used first. */
  readonly #open = new Map<string, OpenFile>();
  /** As many readers as files: whoever gets its turn finds a file that nobody reads, or room for one more. */
  readonly #turn = pLimit(limits.openContentFileCountMax);

  constructor(files: Files) {
    this.#files = files;
  }

  /** As `FileHandle.read`; throws what opening the file throws. */
  read(path: string, offset: number, into: Uint8Array): Promise<number> {
    return this.#turn(async () => {
      const file = this.#open.get(path) ?? this.#openFile(path);
      this.#open.delete(path);
      this.#open.set(path, file);
      file.userCount += 1;
      try {
        const handle = await file.handle;
        return await handle.read(offset, into);
      } finally {
        file.userCount -= 1;
      }
    });
  }

  #openFile(path: string): OpenFile {
    const idle = this.#open.size < limits.openContentFileCountMax ? undefined : this.#takeIdle();
    const handle = (async () => {
      await (await idle?.handle)?.close();
      return await this.#files.open(path, 'read');
    })();
    const file = { handle, userCount: 0 };
    // A file that cannot be opened is not kept; whoever waits for it hears why.
    handle.catch(() => {
      if (this.#open.get(path) === file) this.#open.delete(path);
    });
    return file;
  }

  #takeIdle(): OpenFile | undefined {
    for (const [path, file] of this.#open) {
      if (file.userCount > 0) continue;
      this.#open.delete(path);
      return file;
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { handle } of open) await (await handle).close();
  }
}
