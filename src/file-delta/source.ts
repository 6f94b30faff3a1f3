/** What a command reads: a file the person named, read as it was when it was opened. */
import { DELTA_HEADER_BYTES } from 'native-free-rdc';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';
import type { FileFacts, FileHandle, Files } from '../world/files.ts';

/** Read as a stream or at random, as it was when it was opened. */
export class Source implements AsyncDisposable {
  readonly path: string;
  readonly bytes: number;
  /** Whether it has holes, as far as its volume tells. */
  readonly isSparse: boolean;
  readonly #handle: FileHandle;
  readonly #stamp: string;

  constructor(path: string, handle: FileHandle, facts: FileFacts) {
    this.path = path;
    this.bytes = facts.bytes;
    this.isSparse = facts.allocatedBytes < facts.bytes;
    this.#handle = handle;
    this.#stamp = stampOf(facts);
  }

  get handle(): FileHandle {
    return this.#handle;
  }

  read(offset: number, into: Uint8Array): Promise<number> {
    return this.#handle.read(offset, into);
  }

  /** Enough to tell what the file is. */
  async start(): Promise<Uint8Array> {
    const bytes = new Uint8Array(DELTA_HEADER_BYTES);
    return bytes.subarray(0, await this.#handle.read(0, bytes));
  }

  /** Each block is lent until the next one is asked for. */
  async *blocks(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const room = new Uint8Array(Math.min(limits.blockBytes, this.bytes));
    for (let offset = 0; offset < this.bytes; ) {
      signal.throwIfAborted();
      const block = room.subarray(0, Math.min(room.byteLength, this.bytes - offset));
      const count = await this.#handle.read(offset, block);
      if (count > 0) yield block.subarray(0, count);
      if (count < block.byteLength) return;
      offset += count;
    }
  }

  async expectUnchanged(): Promise<void> {
    if (stampOf(await this.#handle.facts()) === this.#stamp) return;
    throw new ReplicationError('source-changed', `Cannot use ${this.path}: it changed while it was read`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

function stampOf({ bytes, modifiedMs, changedMs }: FileFacts): string {
  return `${bytes} ${modifiedMs} ${changedMs}`;
}

/** Links are followed here: the person named the file. */
export async function openSource(files: Files, path: string): Promise<Source> {
  const handle = await files.open(await files.realPath(path), 'read');
  return new Source(path, handle, await handle.facts());
}

export async function readSmall(files: Files, path: string, bytesMax: number): Promise<Uint8Array> {
  await using source = await openSource(files, path);
  if (source.bytes > bytesMax)
    throw new ReplicationError(
      'limit-exceeded',
      `Cannot read ${path}: it has ${source.bytes} bytes, at most ${bytesMax} make sense`,
    );
  const bytes = new Uint8Array(source.bytes);
  const count = await source.read(0, bytes);
  return bytes.subarray(0, count);
}
