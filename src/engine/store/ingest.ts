/**
 * New contents on their way into the library.
 *
 * `add` streams a content into the staging directory while hashing it; `commit` makes all that was added durable and
 * visible: sync the files, rename them to their places, sync the directories, index. Killed before the index is
 * written, the library is as before (files already in place are found again by `rebuildIndex` or replaced by equals).
 * Memory: one block for a large content, one content for a small one.
 */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import pLimit from 'p-limit';
import { ReplicationError } from '../../errors.ts';
import { type ContentId, contentIdOf, emptyContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import { encodePackItemHead, encodePackPreamble } from '../../wire/pack.ts';
import type { FileHandle } from '../../world/files.ts';
import { randomHex } from '../../world/random.ts';
import type { World } from '../../world/world.ts';
import { type PublishPlace, staged, stagingPath } from './publish.ts';

/** Where a content lies: in a plain file of its own, or at `offset` of the segment `pack`. */
export interface IndexRow {
  readonly bytes: number;
  readonly pack?: string;
  readonly offset?: number;
}

/** The library as an ingest needs it. */
export interface Shelves {
  readonly publishPlace: PublishPlace;
  has(id: ContentId): boolean;
  /** Final place of a large content, and of a sealed segment. */
  pathOf(id: ContentId): string;
  packPath(pack: string): string;
  /** Makes contents visible whose files are durable. */
  index(rows: ReadonlyMap<ContentId, IndexRow>): Promise<void>;
}

export interface AddOptions {
  /** Length the source is said to have; a source of another length is refused with `content-damaged`. */
  readonly bytes: number;
  /** Identity the source is said to have; another one is refused with `content-damaged`. */
  readonly content?: ContentId;
}

interface OpenPack {
  readonly name: string;
  readonly path: string;
  readonly handle: FileHandle;
  bytes: number;
}

export class Ingest implements AsyncDisposable {
  readonly #world: World;
  readonly #shelves: Shelves;
  readonly #rows = new Map<ContentId, IndexRow>();
  /** Staged file and its final place. */
  readonly #moves: { readonly from: string; readonly to: string }[] = [];
  /** Additions to the open pack go one after another; large contents are written side by side. */
  readonly #packTurn = pLimit(1);
  #pack: OpenPack | undefined;
  #stagedBytes = 0;

  constructor(world: World, shelves: Shelves) {
    this.#world = world;
    this.#shelves = shelves;
  }

  /** Bytes staged since the last commit: what a kill now would cost. */
  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  /** Whether the content is in the library or waits here for the commit. */
  has(id: ContentId): boolean {
    return this.#rows.has(id) || this.#shelves.has(id);
  }

  /** Consumes `source` to its end, checks it, stages it unless it is already known. */
  async add(source: AsyncIterable<Uint8Array>, options: AddOptions): Promise<ContentId> {
    return options.bytes <= limits.packedContentBytesMax
      ? await this.#addSmall(source, options)
      : await this.#addLarge(source, options);
  }

  async #addSmall(source: AsyncIterable<Uint8Array>, options: AddOptions): Promise<ContentId> {
    const content = new Uint8Array(options.bytes);
    let filled = 0;
    for await (const block of source) {
      if (filled + block.byteLength > content.byteLength) throw wrongLength(options, filled + block.byteLength);
      content.set(block, filled);
      filled += block.byteLength;
    }
    if (filled !== content.byteLength) throw wrongLength(options, filled);
    return await this.addBytes(content, options.content);
  }

  /** As `add`, for a content that is in memory and at most `packedContentBytesMax` long. */
  async addBytes(bytes: Uint8Array, expected?: ContentId): Promise<ContentId> {
    const id = contentIdOf(createHash('sha256').update(bytes).digest());
    if (expected !== undefined && expected !== id) throw wrongHash(expected, id);
    if (id === emptyContentId || this.has(id)) return id;
    if (bytes.byteLength > limits.packedContentBytesMax) {
      return await this.#addLarge(oneBlock(bytes), { bytes: bytes.byteLength, content: id });
    }
    return await this.#packTurn(() => this.#appendToPack(id, bytes));
  }

  async #appendToPack(id: ContentId, bytes: Uint8Array): Promise<ContentId> {
    if (this.has(id)) return id;
    const pack = await this.#packFor(bytes.byteLength);
    const headOffset = pack.bytes;
    const head = encodePackItemHead({ content: id, bytes: bytes.byteLength });
    const item = new Uint8Array(head.byteLength + bytes.byteLength);
    item.set(head, 0);
    item.set(bytes, head.byteLength);
    await pack.handle.write(headOffset, item);
    pack.bytes += item.byteLength;
    this.#rows.set(id, { bytes: bytes.byteLength, pack: pack.name, offset: headOffset + head.byteLength });
    this.#stagedBytes += item.byteLength;
    return id;
  }

  async #packFor(bytes: number): Promise<OpenPack> {
    if (this.#pack !== undefined && this.#pack.bytes + bytes > limits.packBytesMax) await this.#sealPack();
    if (this.#pack !== undefined) return this.#pack;
    const name = randomHex(this.#world.random, 16);
    const path = stagingPath(this.#shelves.publishPlace, 'pack');
    const handle = await this.#world.files.open(path, 'create');
    const preamble = encodePackPreamble();
    await handle.write(0, preamble);
    this.#pack = { name, path, handle, bytes: preamble.byteLength };
    return this.#pack;
  }

  async #sealPack(): Promise<void> {
    const pack = this.#pack;
    if (pack === undefined) return;
    this.#pack = undefined;
    await pack.handle.sync();
    await pack.handle.close();
    this.#moves.push({ from: pack.path, to: this.#shelves.packPath(pack.name) });
  }

  async #addLarge(source: AsyncIterable<Uint8Array>, options: AddOptions): Promise<ContentId> {
    return await staged(this.#shelves.publishPlace, 'content', (path) => this.#stageLarge(path, source, options));
  }

  async #stageLarge(path: string, source: AsyncIterable<Uint8Array>, options: AddOptions): Promise<ContentId> {
    await using handle = await this.#world.files.open(path, 'create');
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const block of source) {
      if (bytes + block.byteLength > options.bytes) throw wrongLength(options, bytes + block.byteLength);
      hash.update(block);
      await handle.write(bytes, block);
      bytes += block.byteLength;
    }
    if (bytes !== options.bytes) throw wrongLength(options, bytes);
    const id = contentIdOf(hash.digest());
    if (options.content !== undefined && options.content !== id) throw wrongHash(options.content, id);
    if (this.has(id)) {
      await this.#world.files.remove(path);
      return id;
    }
    this.#rows.set(id, { bytes });
    this.#moves.push({ from: path, to: this.#shelves.pathOf(id) });
    this.#stagedBytes += bytes;
    return id;
  }

  /**
   * Commit point of contents: on return all that was added is in the library and survives a power cut. May be called
   * again after more additions. Not to be called while an `add` is under way.
   */
  async commit(): Promise<void> {
    const { files } = this.#world;
    await this.#sealPack();
    const limit = pLimit(limits.parallelSyncCount);
    await Promise.all(this.#moves.map((move) => limit(() => this.#syncStaged(move.from))));
    const directories = new Set(this.#moves.map((move) => dirname(move.to)));
    for (const directory of directories) await files.makeDirectory(directory);
    for (const move of this.#moves) await files.rename(move.from, move.to);
    // Both ends of a rename: until then a power cut may undo it.
    if (directories.size > 0) directories.add(this.#shelves.publishPlace.staging);
    await Promise.all([...directories].map((directory) => limit(() => files.syncDirectory(directory))));
    if (this.#rows.size > 0) await this.#shelves.index(this.#rows);
    this.#moves.length = 0;
    this.#rows.clear();
    this.#stagedBytes = 0;
  }

  async #syncStaged(path: string): Promise<void> {
    await using handle = await this.#world.files.open(path, 'update');
    await handle.sync();
  }

  /** Drops what was not committed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pack?.handle.close();
    if (this.#pack !== undefined) await this.#world.files.remove(this.#pack.path);
    for (const move of this.#moves) await this.#world.files.remove(move.from);
  }
}

async function* oneBlock(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function wrongLength(options: AddOptions, bytes: number): ReplicationError {
  return new ReplicationError(
    'content-damaged',
    `Cannot store a content: ${bytes} bytes came, ${options.bytes} were announced`,
  );
}

function wrongHash(expected: ContentId, actual: ContentId): ReplicationError {
  return new ReplicationError(
    'content-damaged',
    `Cannot store content ${expected}: the bytes that came hash to ${actual}`,
  );
}
