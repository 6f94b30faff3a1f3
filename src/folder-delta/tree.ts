/**
 * A folder as a manifest, and where its distinct contents lie.
 *
 * Contents are laid end to end in the order of the manifest, so that a file finds its relatives wherever they lie in
 * the other folder, under any name, and small files travel together.
 */
import { createHash, hash } from 'node:crypto';
import { join } from 'node:path';
import { mapAhead } from '../engine/delta/map-ahead.ts';
import { type FoundEntry, walkFolder } from '../engine/snapshot/walk.ts';
import { ReplicationError } from '../errors.ts';
import { type ContentId, contentIdOf } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import { type PackageId, packageIdOf } from '../model/package.ts';
import type { PackagePath } from '../model/package-path.ts';
import type { SiteCode } from '../model/site.ts';
import { encodeManifest, fileEntries, type Manifest, type ManifestEntry } from '../wire/manifest.ts';
import type { FileFacts, Files } from '../world/files.ts';

/** Up to here a file is read at once. */
export const smallFileBytesMax: number = 256 * 1024;
/** Files hashed at once: large ones are waited for while others are hashed. */
const hashAheadCount = 4;

/** A folder without a package: the same listing gives the same bytes, whenever and wherever it is read. */
const folderId: PackageId = packageIdOf('FLD' as SiteCode, 1);

export interface Tree {
  readonly root: string;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  /** Where each distinct content can be read, in the order of the manifest. Empty contents are left out. */
  readonly places: ReadonlyMap<ContentId, Place>;
}

/** A file, and how it was when it was hashed. There may be hundreds of thousands: nothing is held that can be told. */
export interface Place {
  /** Below the root of its tree. */
  readonly path: PackagePath;
  readonly bytes: number;
  /** Later after any change: nobody can set the time of the last change of metadata. */
  readonly changedMs: number;
  /** Whether it had holes where it has zeros, as far as its volume tells. */
  readonly isSparse: boolean;
}

/** Reads and hashes everything. Throws as `walkFolder`, and `source-changed`. */
export async function readTree(files: Files, folder: string, signal: AbortSignal): Promise<Tree> {
  const found = await walkFolder(files, folder, signal);
  const root = await files.realPath(folder);
  const hasher = new Hasher(files, root, signal);
  const entries: ManifestEntry[] = [];
  const places = new Map<ContentId, Place>();
  for await (const { entry, place } of mapAhead(found, hashAheadCount, (entry) => hasher.read(entry))) {
    entries.push(entry);
    if (entry.kind !== 'file' || entry.bytes === 0 || place === undefined) continue;
    if (!places.has(entry.content)) places.set(entry.content, place);
  }
  const manifest: Manifest = { packageId: folderId, packageName: 'folder', version: 1, createdMs: 0, entries };
  return { root, manifest, manifestBytes: encodeManifest(manifest), places };
}

class Hasher {
  readonly #files: Files;
  readonly #root: string;
  readonly #signal: AbortSignal;
  /** Used again: a buffer for each of many files is work for the garbage collector, done too late. */
  readonly #rooms: Uint8Array[] = [];

  constructor(files: Files, root: string, signal: AbortSignal) {
    this.#files = files;
    this.#root = root;
    this.#signal = signal;
  }

  async read(found: FoundEntry): Promise<{ readonly entry: ManifestEntry; readonly place?: Place }> {
    if (found.kind !== 'file') return { entry: found };
    this.#signal.throwIfAborted();
    const path = join(this.#root, found.path);
    const room = this.#rooms.pop() ?? new Uint8Array(limits.blockBytes);
    const hashed = found.facts.bytes <= smallFileBytesMax ? this.#small(path, room) : this.#large(path, room);
    const { content, bytes, facts } = await hashed;
    this.#rooms.push(room);
    const isSparse = facts.allocatedBytes < bytes;
    return {
      entry: { kind: 'file', path: found.path, bytes, content, isExecutable: facts.isExecutable },
      place: { path: found.path, bytes, changedMs: facts.changedMs, isSparse },
    };
  }

  async #small(path: string, room: Uint8Array): Promise<HashedFile> {
    const { facts, bytes } = await this.#files.readStart(path, room);
    const content = contentIdOf(hash('sha256', room.subarray(0, bytes), 'buffer'));
    if (bytes !== facts.bytes) throw changed(path);
    return { content, bytes, facts };
  }

  async #large(path: string, block: Uint8Array): Promise<HashedFile> {
    await using handle = await this.#files.open(path, 'read');
    const facts = await handle.facts();
    const sha256 = createHash('sha256');
    let bytes = 0;
    for (let count = block.byteLength; count === block.byteLength; bytes += count) {
      this.#signal.throwIfAborted();
      count = await handle.read(bytes, block);
      sha256.update(block.subarray(0, count));
    }
    if (!isUnchanged(await handle.facts(), { bytes, changedMs: facts.changedMs })) throw changed(path);
    return { content: contentIdOf(sha256.digest()), bytes, facts };
  }
}

interface HashedFile {
  readonly content: ContentId;
  readonly bytes: number;
  readonly facts: FileFacts;
}

/** Whether a file is as it was when it was hashed. */
export function isUnchanged(facts: FileFacts, was: Pick<Place, 'bytes' | 'changedMs'>): boolean {
  return facts.bytes === was.bytes && facts.changedMs === was.changedMs;
}

export function changed(path: string): ReplicationError {
  return new ReplicationError('source-changed', `Cannot use ${path}: it changed while it was read`);
}

/** The contents of a target that no file of the basis has, in the order in which they travel. */
export function newContents(target: Manifest, basis: Tree): Map<ContentId, number> {
  const wanted = new Map<ContentId, number>();
  for (const { content, bytes } of fileEntries(target))
    if (bytes > 0 && !basis.places.has(content)) wanted.set(content, bytes);
  return wanted;
}
