/** Writes the folder a delta leads to, into a place nobody sees yet. */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import pLimit from 'p-limit';
import { mapAhead } from '../engine/delta/map-ahead.ts';
import { StreamCutter } from '../engine/delta/stream-cutter.ts';
import { SequentialWriter } from '../engine/store/sequential-writer.ts';
import { ReplicationError } from '../errors.ts';
import { type ContentId, contentIdOf } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import { type FileEntry, fileEntries, type Manifest, type ManifestEntry } from '../wire/manifest.ts';
import type { FileHandle, Files } from '../world/files.ts';
import type { Tree } from './tree.ts';
import { contentBytes } from './tree-reader.ts';

/** Files copied from the basis at once. */
const writeCountMax = 8;
/** Files being made durable at once, and files written that wait for it. */
const syncCountMax = 16;
const syncAheadCountMax = 64;

/** A file from `start` to its end; each block is lent until the next one is asked for. */
export async function* fromOffset(handle: FileHandle, start: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(limits.blockBytes);
  for (let offset = start; ; ) {
    signal.throwIfAborted();
    const count = await handle.read(offset, block);
    if (count > 0) yield block.subarray(0, count);
    if (count < block.byteLength) return;
    offset += count;
  }
}

/** Writes a folder file by file; every content is verified as it is written, every file durable in the end. */
export class FolderWriter {
  readonly #files: Files;
  readonly #root: string;
  readonly #target: Manifest;
  readonly #sparse: ReadonlySet<ContentId>;
  readonly #directories = new Map<string, Promise<void>>();
  readonly #syncSlots = pLimit(syncCountMax);
  readonly #syncing: Promise<void>[] = [];

  constructor(
    files: Files,
    root: string,
    { target, sparse }: { readonly target: Manifest; readonly sparse: ReadonlySet<ContentId> },
  ) {
    this.#files = files;
    this.#root = root;
    this.#directories.set(root, Promise.resolve());
    this.#target = target;
    this.#sparse = sparse;
  }

  /** Links, directories, and files whose content the basis has. */
  async copyKnown(basis: Tree, signal: AbortSignal): Promise<void> {
    const rooms: Uint8Array[] = [];
    const copy = async (entry: ManifestEntry): Promise<void> => {
      signal.throwIfAborted();
      const path = join(this.#root, entry.path);
      if (entry.kind === 'directory') await this.#makeDirectory(path);
      else if (entry.kind === 'symlink') {
        await this.#makeDirectory(dirname(path));
        await this.#files.makeLink(path, entry.target);
      } else if (entry.bytes === 0) await this.#writeFile(entry, []);
      else if (basis.places.has(entry.content)) {
        const room = rooms.pop() ?? new Uint8Array(limits.blockBytes);
        await this.#writeFile(entry, contentBytes(this.#files, basis, [entry.content], { signal, room }));
        rooms.push(room);
      }
    };
    for await (const _ of mapAhead(this.#target.entries, writeCountMax, copy));
  }

  /** The contents that travelled, in their order. */
  async writeStream(pieces: AsyncIterable<Uint8Array>, wanted: ReadonlyMap<ContentId, number>): Promise<void> {
    const entries = new Map<ContentId, FileEntry[]>();
    for (const entry of fileEntries(this.#target)) {
      if (wanted.has(entry.content)) entries.set(entry.content, [...(entries.get(entry.content) ?? []), entry]);
    }
    await using stream = new StreamCutter(pieces);
    for (const [content, bytes] of wanted) {
      const [first, ...copies] = entries.get(content) ?? [];
      if (first === undefined) continue;
      await this.#writeFile(first, stream.next(bytes));
      for (const copy of copies) await this.#writeFile(copy, this.#read(first));
    }
    await stream.finish();
  }

  /** Makes all contents and names durable. */
  async finish(): Promise<void> {
    await Promise.all(this.#syncing);
    const slots = pLimit(syncCountMax);
    await slots.map(this.#directories.keys(), (directory) => this.#files.syncDirectory(directory));
  }

  async *#read(entry: FileEntry): AsyncGenerator<Uint8Array> {
    await using handle = await this.#files.open(join(this.#root, entry.path), 'read');
    yield* fromOffset(handle, 0, new AbortController().signal);
  }

  async #writeFile(entry: FileEntry, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const path = join(this.#root, entry.path);
    await this.#makeDirectory(dirname(path));
    const handle = await this.#files.open(path, 'create');
    try {
      const hash = createHash('sha256');
      const writer = new SequentialWriter(handle, { isSparse: this.#sparse.has(entry.content) });
      for await (const piece of pieces) {
        hash.update(piece);
        await writer.write(piece);
      }
      await writer.finish();
      if (contentIdOf(hash.digest()) !== entry.content) {
        throw new ReplicationError(
          'verification-failed',
          `Cannot rebuild ${entry.path}: it has not the SHA-256 the delta names`,
        );
      }
      if (entry.isExecutable) await this.#files.makeExecutable(path);
    } catch (error) {
      await handle.close();
      throw error;
    }
    await this.#syncLater(handle);
  }

  /** Syncs go on beside the writing of the next files: the disk takes many at once for the price of one. */
  async #syncLater(handle: FileHandle): Promise<void> {
    const sync = async (): Promise<void> => {
      await using synced = handle;
      await synced.sync();
    };
    const syncing = this.#syncSlots(sync);
    // A failure is told by `finish`, or by the next file.
    syncing.catch(() => undefined);
    this.#syncing.push(syncing);
    if (this.#syncing.length >= syncAheadCountMax) await this.#syncing.shift();
  }

  /** Several may ask for one at the same time: the first makes it, all wait. Names are durable after `finish`. */
  #makeDirectory(path: string): Promise<void> {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    const making = this.#makeDirectory(dirname(path)).then(() => this.#files.makeSubdirectory(path));
    this.#directories.set(path, making);
    return making;
  }
}
