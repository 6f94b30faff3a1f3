/**
 * The content library: every content once, whole, under its SHA-256. See DESIGN.md for why whole files.
 *
 * Large contents are plain files, small ones lie in sealed pack segments. The database only says where; it can be made
 * anew from the disk (`rebuildIndex`). A content is visible only after an `Ingest` committed it: verified, synced,
 * renamed, indexed, in that order.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { ReplicationError } from '../../errors.ts';
import { type ByteRange, type ContentId, contentIdOf, emptyContentId, isContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import { decodePackItemHead, isPackPreamble, packItemHeadBytes, packPreambleBytes } from '../../wire/pack.ts';
import type { Database, RecordValue } from '../../world/database.ts';
import type { FileHandle } from '../../world/files.ts';
import type { World } from '../../world/world.ts';
import { type IndexRow, Ingest } from './ingest.ts';
import type { PublishPlace } from './publish.ts';

const indexTable = 'content';
const markTable = 'content-mark';
const markKey = 'index-is-complete';

const indexRow = z.object({
  bytes: z.int().positive(),
  pack: z.string().optional(),
  offset: z.int().positive().optional(),
});

/** Reads one content; holds a file open until disposed. */
export interface ContentReader extends AsyncDisposable {
  readonly bytes: number;
  /** Fills `into` from `offset` of the content; fewer bytes only at its end. */
  read(offset: number, into: Uint8Array): Promise<number>;
}

export interface StorePlaces {
  readonly content: string;
  readonly packs: string;
  readonly staging: string;
}

export class ContentStore {
  readonly #world: World;
  readonly #database: Database;
  readonly #places: StorePlaces;
  #lossCount = 0;
  /** Called after each loss; what else remembers the content as installed must forget it. */
  onLoss: (ids: readonly ContentId[]) => Promise<void> = async () => {};

  private constructor(world: World, database: Database, places: StorePlaces) {
    this.#world = world;
    this.#database = database;
    this.#places = places;
  }

  /** Opens the library below `root`; clears the staging directory; makes the index anew when it is not complete. */
  static async open(world: World, database: Database, root: string): Promise<ContentStore> {
    const places = { content: join(root, 'content'), packs: join(root, 'packs'), staging: join(root, 'staging') };
    await settleStaging(world, places.staging);
    for (const place of Object.values(places)) await world.files.makeDirectory(place);
    const store = new ContentStore(world, database, places);
    if (database.get(markTable, markKey) !== true) await store.#rebuildIndex();
    return store;
  }

  get publishPlace(): PublishPlace {
    return { files: this.#world.files, random: this.#world.random, staging: this.#places.staging };
  }

  /** Size of a content that is here, else `undefined`. The index is believed; opening tells the truth. */
  bytesOf(id: ContentId): number | undefined {
    return id === emptyContentId ? 0 : this.#row(id)?.bytes;
  }

  has(id: ContentId): boolean {
    return this.bytesOf(id) !== undefined;
  }

  /** Identities here that begin with `prefix` (lower-case hex), in order. */
  startingWith(prefix: string): ContentId[] {
    const entries = this.#database.entries(indexTable, { start: prefix, end: `${prefix}g` });
    return entries.map((entry) => entry.key).filter(isContentId);
  }

  #row(id: ContentId): IndexRow | undefined {
    const value = this.#database.get(indexTable, id);
    return value === undefined ? undefined : (indexRow.parse(value) as IndexRow);
  }

  #pathOf(id: ContentId): string {
    return join(this.#places.content, id.slice(0, 2), id);
  }

  #packPath(pack: string): string {
    return join(this.#places.packs, `${pack}.pack`);
  }

  /** Where a content lies, as the index says; the empty one lies nowhere. */
  placeOf(id: ContentId): { readonly path: string; readonly startByte: number; readonly bytes: number } | undefined {
    const row = this.#row(id);
    if (row === undefined) return undefined;
    const path = row.pack === undefined ? this.#pathOf(id) : this.#packPath(row.pack);
    return { path, startByte: row.offset ?? 0, bytes: row.bytes };
  }

  /** Throws `content-missing` when it is not here or its file is gone (the index forgets it then). */
  async open(id: ContentId): Promise<ContentReader> {
    if (id === emptyContentId) return emptyReader;
    const place = this.placeOf(id);
    if (place === undefined)
      throw new ReplicationError('content-missing', `Cannot read content ${id}: it is not in the library`);
    try {
      const handle = await this.#world.files.open(place.path, 'read');
      return readerOver(handle, place.startByte, place.bytes);
    } catch (error) {
      if (!(error instanceof ReplicationError && error.code === 'file-missing')) throw error;
      await this.forget(id);
      throw new ReplicationError('content-missing', `Cannot read content ${id}: its file is gone`, { cause: error });
    }
  }

  /** Collects new contents that become visible together. */
  ingest(): Ingest {
    return new Ingest(this.#world, {
      publishPlace: this.publishPlace,
      has: (id) => this.has(id),
      pathOf: (id) => this.#pathOf(id),
      packPath: (pack) => this.#packPath(pack),
      index: (rows) => this.#index(rows),
    });
  }

  /** How many contents were found missing or damaged since the start: what was complete before a loss may not be. */
  get lossCount(): number {
    return this.#lossCount;
  }

  /**
   * Those of `contents` (with their sizes) that are not here as the index says, judged by the files' presence and
   * lengths: cheap enough to do before anything is promised. They are forgotten.
   */
  async findLost(contents: Iterable<readonly [ContentId, number]>): Promise<ContentId[]> {
    const packBytes = new Map<string, number>();
    const lost: ContentId[] = [];
    for (const [id, bytes] of contents) {
      const row = this.#row(id);
      const path = row?.pack === undefined ? this.#pathOf(id) : this.#packPath(row.pack);
      const fileBytes = packBytes.get(path) ?? (await this.#world.files.facts(path))?.bytes ?? 0;
      if (row?.pack !== undefined) packBytes.set(path, fileBytes);
      const isHere =
        row?.bytes === bytes && (row.pack === undefined ? fileBytes === bytes : fileBytes >= (row.offset ?? 0) + bytes);
      if (!isHere) lost.push(id);
    }
    // What was never here was not lost.
    await this.forget(...lost.filter((id) => this.#row(id) !== undefined));
    return lost;
  }

  /** The index no longer claims these; the bytes on disk stay for a person to look at. */
  async forget(...ids: readonly ContentId[]): Promise<void> {
    if (ids.length === 0) return;
    this.#lossCount += ids.length;
    await this.#database.transaction((transaction) => {
      for (const id of ids) transaction.remove(indexTable, id);
    });
    await this.onLoss(ids);
  }

  /** Reads a whole content and compares it with its name. `damaged` and `missing` contents are forgotten. */
  async verify(id: ContentId): Promise<'intact' | 'damaged' | 'missing'> {
    const hash = createHash('sha256');
    try {
      for await (const block of readContent(this, id)) hash.update(block);
    } catch (error) {
      if (error instanceof ReplicationError && error.code === 'content-missing') return 'missing';
      if (!(error instanceof ReplicationError && error.code === 'content-damaged')) throw error;
    }
    if (contentIdOf(hash.digest()) === id) return 'intact';
    await this.forget(id);
    return 'damaged';
  }

  async #index(rows: ReadonlyMap<ContentId, IndexRow>): Promise<void> {
    await this.#database.transaction((transaction) => {
      for (const [id, row] of rows) transaction.put(indexTable, id, { ...row } as RecordValue);
    });
  }

  /** Reads names and pack heads, not contents: verification is `verify`'s. Safe to repeat and to interrupt. */
  async #rebuildIndex(): Promise<void> {
    const rows = new Map<ContentId, IndexRow>();
    const { files } = this.#world;
    await files.syncDirectory(this.#places.packs);
    for (const shard of await files.list(this.#places.content)) {
      await files.syncDirectory(join(this.#places.content, shard));
      for (const name of await files.list(join(this.#places.content, shard))) {
        const facts = await files.facts(join(this.#places.content, shard, name));
        if (isContentId(name) && facts?.kind === 'file' && facts.bytes > 0) rows.set(name, { bytes: facts.bytes });
      }
    }
    for (const name of await files.list(this.#places.packs)) {
      if (name.endsWith('.pack')) await this.#scanPack(name.slice(0, -'.pack'.length), rows);
    }
    await this.#index(rows);
    await this.#database.transaction((transaction) => transaction.put(markTable, markKey, true));
    this.#world.log('info', 'content index rebuilt from disk', { contents: rows.size });
  }

  async #scanPack(pack: string, rows: Map<ContentId, IndexRow>): Promise<void> {
    await using handle = await this.#world.files.open(this.#packPath(pack), 'read');
    const { bytes: packBytes } = await handle.facts();
    const preamble = new Uint8Array(packPreambleBytes);
    await handle.read(0, preamble);
    if (!isPackPreamble(preamble)) return;
    const head = new Uint8Array(packItemHeadBytes);
    for (let offset = packPreambleBytes; offset + packItemHeadBytes < packBytes; ) {
      await handle.read(offset, head);
      const item = readItemHead(head);
      offset += packItemHeadBytes;
      if (item === undefined || offset + item.bytes > packBytes) return;
      rows.set(item.content, { bytes: item.bytes, pack, offset });
      offset += item.bytes;
    }
  }
}

/**
 * Clears what a dead process left. Before that, renames out of the directory are made durable: after a kill they are
 * visible, and a power cut later would still undo what by then others rely on (found by the simulation, seed 67).
 */
async function settleStaging({ files }: World, staging: string): Promise<void> {
  if ((await files.facts(staging)) === undefined) return;
  await files.syncDirectory(staging);
  await files.removeTree(staging);
}

function readItemHead(head: Uint8Array): ReturnType<typeof decodePackItemHead> | undefined {
  try {
    return decodePackItemHead(head);
  } catch {
    return undefined;
  }
}

const emptyReader: ContentReader = { bytes: 0, read: async () => 0, [Symbol.asyncDispose]: async () => {} };

function readerOver(handle: FileHandle, startByte: number, bytes: number): ContentReader {
  return {
    bytes,
    read: (offset, into) =>
      handle.read(startByte + offset, into.subarray(0, Math.max(0, Math.min(into.byteLength, bytes - offset)))),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/**
 * All bytes of a content, as `readContent` gives them, compared with its name as they pass. The last block is given only
 * when all were right: whoever reads to the end has the right bytes, and nobody gets a whole wrong content. One that is
 * wrong is forgotten, and `content-damaged` thrown.
 */
export async function* readVerified(store: ContentStore, id: ContentId): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let held: Uint8Array | undefined;
  for await (const block of readContent(store, id)) {
    if (held !== undefined) yield held;
    hash.update(block);
    held = block;
  }
  if (contentIdOf(hash.digest()) !== id) {
    await store.forget(id);
    throw new ReplicationError(
      'content-damaged',
      `Cannot use content ${id}: the library holds other bytes under its name`,
    );
  }
  if (held !== undefined) yield held;
}

/**
 * The bytes of a content, or of a half-open part of it, in blocks of at most `blockBytes`, each a buffer of its own.
 * Throws `content-damaged` when the file is shorter than the index says.
 */
export async function* readContent(store: ContentStore, id: ContentId, range?: ByteRange): AsyncGenerator<Uint8Array> {
  await using reader = await store.open(id);
  const endByte = Math.min(range?.endByte ?? reader.bytes, reader.bytes);
  for (let offset = range?.startByte ?? 0; offset < endByte; ) {
    const block = new Uint8Array(Math.min(limits.blockBytes, endByte - offset));
    const read = await reader.read(offset, block);
    if (read !== block.byteLength) {
      await store.forget(id);
      throw new ReplicationError('content-damaged', `Cannot read content ${id}: it ends at byte ${offset + read}`);
    }
    yield block;
    offset += read;
  }
}
