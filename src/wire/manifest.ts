/**
 * The manifest: everything a package version consists of. Its bytes are framed (see FORMATS.md), carried unchanged from
 * the creating site to the last branch, and stored as they came.
 *
 * Decoding is the gate for hostile manifests: whoever holds a `Manifest` may rely on safe, unique, ordered paths that
 * form a tree, links that stay inside, sizes that add up.
 */
import { z } from 'zod';
import { ReplicationError } from '../errors.ts';
import { type ContentId, contentIdBytes, contentIdOf, digestOf, emptyContentId } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import { isPackageId, isPrintable, type PackageId, type Version } from '../model/package.ts';
import { linkFault, type PackagePath, pathFault } from '../model/package-path.ts';
import { decodeFrame, encodeFrame, type FrameKind } from './frame.ts';
import { decodeForeign, encodeWithList } from './msgpack.ts';

export interface FileEntry {
  readonly kind: 'file';
  readonly path: PackagePath;
  readonly bytes: number;
  readonly content: ContentId;
  readonly isExecutable: boolean;
}

/** A directory that has no entries of its own; others are implied by the paths below them. */
export interface DirectoryEntry {
  readonly kind: 'directory';
  readonly path: PackagePath;
}

export interface SymlinkEntry {
  readonly kind: 'symlink';
  readonly path: PackagePath;
  readonly target: string;
}

export type ManifestEntry = FileEntry | DirectoryEntry | SymlinkEntry;

export interface Manifest {
  readonly packageId: PackageId;
  readonly packageName: string;
  readonly version: Version;
  /** When the snapshot was taken, wall clock of the creating site. */
  readonly createdMs: number;
  /** In ascending order of path by UTF-16 code units; paths are unique. */
  readonly entries: readonly ManifestEntry[];
}

const manifestFrame: FrameKind = {
  magic: 'SFMF',
  version: 1,
  bodyBytesMax: limits.manifestBytesMax,
  noun: 'manifest',
};

/**
 * On the wire an entry is an array: `[path, 'f', bytes, sha256, flags]`, `[path, 'd']` or `[path, 'l', target]`. Entries are
 * checked by hand and up to the first fault: a schema library collects the faults of a million bad ones until memory ends.
 */
const wireManifest = z.strictObject({
  package: z.string().max(16),
  name: z.string().min(1).max(limits.packageNameCharactersMax).refine(isPrintable, 'has control characters'),
  version: z.int().min(1).max(limits.versionMax),
  createdMs: z.number().nonnegative(),
  entries: z.custom<readonly unknown[]>(Array.isArray, 'is not a list'),
});

const isExecutableFlag = 1;

export function encodeManifest(manifest: Manifest): Uint8Array {
  const fault = entriesFault(manifest.entries);
  if (fault !== undefined) throw new ReplicationError('manifest-invalid', `Cannot write a manifest: ${fault}`);
  const { packageId, packageName: name, version, createdMs } = manifest;
  const body = encodeWithList({ package: packageId, name, version, createdMs }, 'entries', {
    count: manifest.entries.length,
    slice: (start, end) => manifest.entries.slice(start, end).map(toWireEntry),
  });
  return encodeFrame(manifestFrame, body);
}

/** Whether the bytes are a manifest as somebody wrote it: a look at the frame only. */
export function isIntactManifest(bytes: Uint8Array): boolean {
  try {
    decodeFrame(manifestFrame, bytes);
    return true;
  } catch {
    return false;
  }
}

/** Throws `manifest-invalid` (or `format-invalid` when not even the frame is right). */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const body = decodeFrame(manifestFrame, bytes);
  const document = decodeForeign(body, 'a manifest', { itemCountMax: 8 * limits.manifestEntryCountMax });
  const parsed = wireManifest.safeParse(document);
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error).slice(0, 500));
  const { package: packageId, name, version, createdMs } = parsed.data;
  if (!isPackageId(packageId)) throw invalid(`"${packageId}" is not a package id`);
  if (parsed.data.entries.length > limits.manifestEntryCountMax) throw invalid('it has too many entries');
  const entries = parsed.data.entries.map(fromWireEntry);
  const fault = entriesFault(entries);
  if (fault !== undefined) throw invalid(fault);
  return { packageId, packageName: name, version, createdMs, entries };
}

function invalid(state: string): ReplicationError {
  return new ReplicationError('manifest-invalid', `Cannot accept a manifest: ${state}`);
}

function toWireEntry(entry: ManifestEntry): unknown[] {
  switch (entry.kind) {
    case 'file':
      return [entry.path, 'f', entry.bytes, digestOf(entry.content), entry.isExecutable ? isExecutableFlag : 0];
    case 'directory':
      return [entry.path, 'd'];
    case 'symlink':
      return [entry.path, 'l', entry.target];
  }
}

function fromWireEntry(wire: unknown): ManifestEntry {
  const [path, kind, ...rest]: readonly unknown[] = Array.isArray(wire) ? wire : [];
  if (typeof path !== 'string') throw invalid('an entry has no path');
  const name = JSON.stringify(path.slice(0, 200));
  if (kind === 'd' && rest.length === 0) return { kind: 'directory', path };
  if (kind === 'l' && rest.length === 1 && typeof rest[0] === 'string')
    return { kind: 'symlink', path, target: rest[0] };
  const [bytes, digest, flags] = rest;
  if (kind !== 'f' || rest.length !== 3 || !(digest instanceof Uint8Array))
    throw invalid(`${name} is no entry we know`);
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0)
    throw invalid(`${name} has an impossible size`);
  if (digest.byteLength !== contentIdBytes) throw invalid(`${name} has a hash of ${digest.byteLength} bytes`);
  if (flags !== 0 && flags !== isExecutableFlag) throw invalid(`${name} has flags we do not know`);
  return { kind: 'file', path, bytes, content: contentIdOf(digest), isExecutable: flags === isExecutableFlag };
}

/** Order by UTF-16 code units: what `<` does, the same on every machine and locale. */
export function comparePaths(left: PackagePath, right: PackagePath): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The first reason why `entries` are not a tree of safe, unique, ordered paths. */
function entriesFault(entries: readonly ManifestEntry[]): string | undefined {
  if (entries.length > limits.manifestEntryCountMax) return `it has more than ${limits.manifestEntryCountMax} entries`;
  const sizes = new Map<ContentId, number>();
  let totalBytes = 0;
  let previous: PackagePath | undefined;
  for (const entry of entries) {
    const { path } = entry;
    const name = JSON.stringify(path);
    const fault = pathFault(path) ?? (entry.kind === 'symlink' ? linkFault(path, entry.target) : undefined);
    if (fault !== undefined) return `${name} is refused: ${fault}`;
    if (previous !== undefined && comparePaths(previous, path) >= 0) return `${name} is out of order or twice there`;
    previous = path;
    if (entry.kind !== 'file') continue;
    totalBytes += entry.bytes;
    if (totalBytes > limits.contentBytesMax) return 'its sizes add up beyond what can be counted';
    if ((entry.bytes === 0) !== (entry.content === emptyContentId))
      return `${name} has a size that its hash contradicts`;
    if ((sizes.get(entry.content) ?? entry.bytes) !== entry.bytes)
      return `${name} has a hash that also has another size`;
    sizes.set(entry.content, entry.bytes);
  }
  return nestingFault(entries);
}

/**
 * Entries are leaves: nothing may lie below one. With the separator as the smallest character, whatever lies below a path
 * comes right behind it, so one sort and a look at neighbours suffices however deep the paths are.
 */
function nestingFault(entries: readonly ManifestEntry[]): string | undefined {
  const keys = entries.map(({ path }) => path.replaceAll('/', '\0')).sort();
  const index = keys.findIndex((key, at) => keys[at + 1]?.startsWith(`${key}\0`));
  const path = (key: string | undefined): string => JSON.stringify(key?.replaceAll('\0', '/').slice(0, 200));
  return index === -1 ? undefined : `${path(keys[index + 1])} lies below ${path(keys[index])}, which is no parent`;
}

export function fileEntries(manifest: Manifest): FileEntry[] {
  return manifest.entries.filter((entry) => entry.kind === 'file');
}

/** Sum of all files' sizes: what a client would download without us. */
export function logicalBytes(manifest: Manifest): number {
  return fileEntries(manifest).reduce((sum, entry) => sum + entry.bytes, 0);
}

/** Every content of the manifest once, with its size; the empty content left out, which nobody stores or sends. */
export function contentsOf(manifest: Manifest): Map<ContentId, number> {
  const contents = new Map<ContentId, number>();
  for (const entry of fileEntries(manifest)) {
    if (entry.content !== emptyContentId) contents.set(entry.content, entry.bytes);
  }
  return contents;
}

/** Whether two versions would give a client the same tree. */
export function sameTree(left: Manifest, right: Manifest): boolean {
  if (left.entries.length !== right.entries.length) return false;
  return left.entries.every((entry, index) => {
    const other = right.entries[index];
    return other !== undefined && JSON.stringify(toComparable(entry)) === JSON.stringify(toComparable(other));
  });
}

function toComparable(entry: ManifestEntry): unknown[] {
  return entry.kind === 'file'
    ? [entry.path, entry.kind, entry.bytes, entry.content, entry.isExecutable]
    : [entry.path, entry.kind, entry.kind === 'symlink' ? entry.target : ''];
}
