/**
 * A folder as a manifest, and its distinct contents as one basis or one target.
 *
 * Contents are laid end to end in the order of the manifest, so that a file finds its relatives wherever they lie in
 * the other folder, under any name, and small files travel together.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type BasisReader, concatenatedBasis } from 'native-free-rdc';
import pLimit from 'p-limit';
import { type FoundEntry, walkFolder } from '../engine/snapshot/walk.ts';
import { OpenFiles } from '../engine/store/open-files.ts';
import { ReplicationError } from '../errors.ts';
import { type ContentId, contentIdOf } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import { type PackageId, packageIdOf } from '../model/package.ts';
import type { SiteCode } from '../model/site.ts';
import { encodeManifest, fileEntries, type Manifest, type ManifestEntry } from '../wire/manifest.ts';
import type { FileFacts, FileHandle, Files } from '../world/files.ts';

/** Files begin at multiples of this in the basis, as the fields in them expect. */
const alignBytes = 16;
/** Files hashed at once: small ones are waited for longer than they are read. */
const hashAheadCount = 4;

/** A folder without a package: the same listing gives the same bytes, whenever and wherever it is read. */
const folderId: PackageId = packageIdOf('FLD' as SiteCode, 1);

export interface Tree {
  readonly root: string;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  /** Where each distinct content can be read, in the order of the manifest. Empty contents are left out. */
  readonly places: ReadonlyMap<ContentId, Place>;
  /** Contents that had holes where they have zeros, as far as their volume tells. */
  readonly sparse: ReadonlySet<ContentId>;
}

/** A file, and how it was when it was hashed. */
export interface Place {
  readonly path: string;
  readonly bytes: number;
  readonly stamp: string;
  readonly isSparse: boolean;
}

/** Reads and hashes everything. Throws as `walkFolder`, and `source-changed`. */
export async function readTree(files: Files, folder: string, signal: AbortSignal): Promise<Tree> {
  const { entries: found } = await walkFolder(files, folder, signal);
  const root = await files.realPath(folder);
  const slots = pLimit(hashAheadCount);
  const hash = async (entry: FoundEntry): Promise<{ readonly entry: ManifestEntry; readonly place?: Place }> => {
    if (entry.kind !== 'file') return { entry };
    const { content, place } = await hashFile(files, join(root, entry.path), signal);
    const { isExecutable } = entry.facts;
    return { entry: { kind: 'file', path: entry.path, bytes: place.bytes, content, isExecutable }, place };
  };
  const entries: ManifestEntry[] = [];
  const places = new Map<ContentId, Place>();
  for (const { entry, place } of await slots.map(found, hash)) {
    entries.push(entry);
    if (entry.kind !== 'file' || entry.bytes === 0 || place === undefined) continue;
    if (!places.has(entry.content)) places.set(entry.content, place);
  }
  const manifest: Manifest = { packageId: folderId, packageName: 'folder', version: 1, createdMs: 0, entries };
  const sparse = new Set([...places].filter(([, place]) => place.isSparse).map(([content]) => content));
  return { root, manifest, manifestBytes: encodeManifest(manifest), places, sparse };
}

interface HashedFile {
  readonly content: ContentId;
  readonly place: Place;
}

async function hashFile(files: Files, path: string, signal: AbortSignal): Promise<HashedFile> {
  await using handle = await files.open(path, 'read');
  const facts = await handle.facts();
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const block of blocksOf(handle, signal)) {
    hash.update(block);
    bytes += block.byteLength;
  }
  return {
    content: contentIdOf(hash.digest()),
    place: { path, bytes, stamp: stampOf(facts), isSparse: facts.allocatedBytes < bytes },
  };
}

/** Another value after any change: nobody can set the time of the last change of metadata. */
function stampOf({ bytes, modifiedMs, changedMs, identity }: FileFacts): string {
  return `${identity} ${bytes} ${modifiedMs} ${changedMs}`;
}

/** Each block is lent until the next one is asked for. */
async function* blocksOf(handle: FileHandle, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { bytes } = await handle.facts();
  // One more than it has, so that growth is seen.
  const block = new Uint8Array(Math.min(limits.blockBytes, bytes + 1));
  for (let offset = 0; ; ) {
    signal.throwIfAborted();
    const count = await handle.read(offset, block);
    if (count > 0) yield block.subarray(0, count);
    if (count < block.byteLength) return;
    offset += count;
  }
}

/** The contents of a target that no file of the basis has, in the order in which they travel. */
export function newContents(target: Manifest, basis: Manifest): Map<ContentId, number> {
  const known = new Set(fileEntries(basis).map((entry) => entry.content));
  const wanted = new Map<ContentId, number>();
  for (const { content, bytes } of fileEntries(target))
    if (bytes > 0 && !known.has(content)) wanted.set(content, bytes);
  return wanted;
}

/** Random access to all contents of a tree, with few files open at a time. */
export class TreeBasis implements AsyncDisposable {
  readonly reader: BasisReader;
  /** Where each content begins in `reader`. */
  readonly starts: ReadonlyMap<ContentId, number>;
  readonly #openFiles: OpenFiles;

  constructor(files: Files, tree: Tree) {
    this.#openFiles = new OpenFiles(files);
    const parts = [...tree.places.values()].map(({ path, bytes }) => ({
      bytes,
      read: (offset: number, into: Uint8Array) => this.#openFiles.read(path, offset, into),
    }));
    this.reader = concatenatedBasis(parts, alignBytes);
    const starts = new Map<ContentId, number>();
    let start = 0;
    for (const [content, { bytes }] of tree.places) {
      starts.set(content, start);
      start += Math.ceil(bytes / alignBytes) * alignBytes;
    }
    this.starts = starts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#openFiles[Symbol.asyncDispose]();
  }
}

/**
 * The bytes of some contents, end to end; each block is lent until the next one is asked for. Throws `source-changed` if
 * a file was touched since it was hashed.
 */
export async function* contentBytes(
  files: Files,
  tree: Tree,
  contents: Iterable<ContentId>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const content of contents) {
    const place = tree.places.get(content);
    if (place === undefined) throw new RangeError(`no file of the tree has content ${content}`);
    await using handle = await files.open(place.path, 'read');
    yield* blocksOf(handle, signal);
    if (stampOf(await handle.facts()) === place.stamp) continue;
    throw new ReplicationError('source-changed', `Cannot use ${place.path}: it changed while it was read`);
  }
}
