/**
 * Takes a snapshot of a package source: every file copied into the library while it is hashed, and a manifest of it
 * all. Compared by content, never by attributes: an unchanged source gives no new version.
 *
 * A file that changes while it is read is read again, and given up as `source-changed` after a few times: a snapshot
 * holds each file as it was at one moment, or there is no snapshot.
 */
import { join } from 'node:path';
import { ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import type { PackageId, Version } from '../../model/package.ts';
import { encodeManifest, type FileEntry, type Manifest, type ManifestEntry, sameTree } from '../../wire/manifest.ts';
import type { FileFacts, FileHandle } from '../../world/files.ts';
import type { World } from '../../world/world.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { Ingest } from '../store/ingest.ts';
import { type FoundEntry, walkSource } from './walk.ts';

export interface SnapshotOrder {
  readonly packageId: PackageId;
  readonly packageName: string;
  readonly source: string;
  /** The node's own directory, with its secrets: the source may neither contain it nor lie in it. */
  readonly nodeDirectory: string;
  /** The version the source was last seen as, when there is one. */
  readonly previous: Manifest | undefined;
  /** The new version's number is above this one: what anyone is known to hold. */
  readonly versionFloor: Version | 0;
}

export type Snapshot =
  | { readonly changed: false }
  | {
      readonly changed: true;
      readonly manifest: Manifest;
      readonly manifestBytes: Uint8Array;
      readonly portabilityWarnings: readonly string[];
    };

/** On return all contents of the manifest are in the library; publishing the manifest is the caller's commit point. */
export async function takeSnapshot(
  world: World,
  store: ContentStore,
  order: SnapshotOrder,
  signal: AbortSignal,
): Promise<Snapshot> {
  await refuseOwnDirectory(world, order);
  const { entries: found, portabilityWarnings } = await walkSource(world.files, order.source, signal);
  await using ingest = store.ingest();
  const root = await world.files.realPath(order.source);
  const entries: ManifestEntry[] = [];
  for (const entry of found) {
    signal.throwIfAborted();
    entries.push(entry.kind === 'file' ? await readEntry(world, ingest, root, entry) : entry);
    if (ingest.stagedBytes >= limits.despoolCommitBytes) await ingest.commit();
  }
  // Also when nothing changed: contents the library had lost are back now.
  await ingest.commit();
  const version: Version = Math.max(order.previous?.version ?? 0, order.versionFloor) + 1;
  if (version > limits.versionMax) {
    throw new ReplicationError(
      'limit-exceeded',
      `Cannot take version ${version} of ${order.packageId}: versions end at ${limits.versionMax}`,
    );
  }
  const { packageId, packageName } = order;
  const manifest: Manifest = { packageId, packageName, version, createdMs: world.clock.wallMs(), entries };
  if (order.previous !== undefined && sameTree(order.previous, manifest)) return { changed: false };
  return { changed: true, manifest, manifestBytes: encodeManifest(manifest), portabilityWarnings };
}

/** A node that publishes its own directory publishes its tokens, and itself again with each version. */
async function refuseOwnDirectory({ files }: World, order: SnapshotOrder): Promise<void> {
  if ((await files.facts(order.source)) === undefined) return;
  const [source, own] = [await files.realPath(order.source), await files.realPath(order.nodeDirectory)];
  const isWithin = (inner: string, outer: string): boolean =>
    `${inner}/`.startsWith(outer.endsWith('/') ? outer : `${outer}/`);
  if (!isWithin(own, source) && !isWithin(source, own)) return;
  throw new ReplicationError(
    'path-refused',
    `Cannot publish ${order.source}: the site's own directory ${own} must not be part of a package`,
  );
}

async function readEntry(
  world: World,
  ingest: Ingest,
  root: string,
  entry: FoundEntry & { kind: 'file' },
): Promise<FileEntry> {
  const path = join(root, entry.path);
  for (let readCount = 1; ; readCount += 1) {
    try {
      const { content, facts } = await readOnce(world, ingest, path);
      return { kind: 'file', path: entry.path, bytes: facts.bytes, content, isExecutable: facts.isExecutable };
    } catch (cause) {
      const error = cause instanceof ReplicationError ? cause : undefined;
      if (error === undefined || error.code === 'disk-full') throw cause;
      const hasChanged = error.code === 'source-changed' || error.code === 'content-damaged';
      if (hasChanged && readCount < limits.sourceReadCountMax) continue;
      const code = hasChanged
        ? 'source-changed'
        : error.code === 'file-missing'
          ? 'source-changed'
          : 'source-unreadable';
      throw new ReplicationError(
        code,
        `Cannot read ${path} for a snapshot: ${hasChanged ? 'it keeps changing' : error.message}`,
        { cause },
      );
    }
  }
}

async function readOnce(
  world: World,
  ingest: Ingest,
  path: string,
): Promise<{ content: FileEntry['content']; facts: FileFacts }> {
  await using handle = await world.files.open(path, 'read');
  const before = await handle.facts();
  const content = await ingest.add(blocksOf(handle, before.bytes), { bytes: before.bytes });
  const after = await handle.facts();
  const isSame =
    before.bytes === after.bytes && before.modifiedMs === after.modifiedMs && before.changedMs === after.changedMs;
  if (!isSame) throw new ReplicationError('source-changed', `${path} changed while it was read`);
  return { content, facts: after };
}

/** Reads one byte more than expected, so that a file that grows is noticed. */
async function* blocksOf(handle: FileHandle, bytes: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset <= bytes; ) {
    const block = new Uint8Array(Math.min(limits.blockBytes, bytes - offset + 1));
    const read = await handle.read(offset, block);
    if (read > 0) yield block.subarray(0, read);
    if (read < block.byteLength) return;
    offset += read;
  }
}
