/**
 * The demo's own look at a folder: every file hashed, every link and empty directory noted. On purpose not the engine's
 * walk: what proves the engine right must not share its mistakes.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ReplicationError } from '../../errors.ts';
import type { ContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import type { Manifest } from '../../wire/manifest.ts';
import type { Files } from '../../world/files.ts';

export type FolderEntry =
  | { readonly kind: 'file'; readonly bytes: number; readonly sha256: string; readonly isExecutable: boolean }
  | { readonly kind: 'directory' }
  | { readonly kind: 'symlink'; readonly target: string };

export interface Folder {
  /** Absolute, links resolved. */
  readonly path: string;
  /** By path with `/` between the parts; directories only where they are empty. */
  readonly entries: ReadonlyMap<string, FolderEntry>;
  readonly bytes: number;
}

/** Throws `source-missing` and `source-empty`; reads every byte. */
export async function readFolder(files: Files, path: string, signal: AbortSignal): Promise<Folder> {
  const root = await files.realPath(path).catch(() => undefined);
  if (root === undefined || (await files.facts(root))?.kind !== 'directory') {
    const state = root === undefined ? 'there is no such folder' : 'it is not a folder';
    throw new ReplicationError('source-missing', `Cannot replicate ${path}: ${state}`, {
      hint: 'siteferry demo OLD NEW',
    });
  }
  const entries = new Map<string, FolderEntry>();
  let bytes = 0;
  const visit = async (directory: string, prefix: string): Promise<void> => {
    const names = await files.list(directory);
    if (names.length === 0 && prefix !== '') entries.set(prefix, { kind: 'directory' });
    for (const name of names) {
      signal.throwIfAborted();
      const at = join(directory, name);
      const shown = prefix === '' ? name : `${prefix}/${name}`;
      const facts = await files.facts(at);
      if (facts?.kind === 'directory') await visit(at, shown);
      else if (facts?.kind === 'symlink') entries.set(shown, { kind: 'symlink', target: await files.readLink(at) });
      else if (facts?.kind === 'file') {
        const { isExecutable } = facts;
        const hashed = await hashFile(files, at, signal);
        entries.set(shown, { kind: 'file', ...hashed, isExecutable });
        bytes += hashed.bytes;
      } else {
        throw new ReplicationError('source-unsupported', `Cannot replicate ${at}: it is no file, folder or link`);
      }
    }
  };
  await visit(root, '');
  if (entries.size === 0) {
    throw new ReplicationError('source-empty', `Cannot replicate ${path}: the folder is empty`, {
      hint: 'siteferry demo OLD NEW, with two folders that hold files',
    });
  }
  return { path: root, entries, bytes };
}

async function hashFile(
  files: Files,
  path: string,
  signal: AbortSignal,
): Promise<{ readonly bytes: number; readonly sha256: string }> {
  await using handle = await files.open(path, 'read');
  const sha256 = createHash('sha256');
  const block = new Uint8Array(limits.blockBytes);
  let bytes = 0;
  for (;;) {
    signal.throwIfAborted();
    const count = await handle.read(bytes, block);
    sha256.update(block.subarray(0, count));
    bytes += count;
    if (count < block.byteLength) return { bytes, sha256: sha256.digest('hex') };
  }
}

/** Whether two folders would be the same package version. */
export function isSameFolder(left: Folder, right: Folder): boolean {
  if (left.entries.size !== right.entries.size) return false;
  return [...left.entries].every(([path, entry]) => JSON.stringify(right.entries.get(path)) === JSON.stringify(entry));
}

/** What a manifest says that the folder does not, or the other way round; empty when they agree. */
export function manifestFaults(folder: Folder, manifest: Manifest): string[] {
  const faults: string[] = [];
  const named = new Set<string>();
  for (const entry of manifest.entries) {
    named.add(entry.path);
    const real = folder.entries.get(entry.path);
    const claimed: FolderEntry =
      entry.kind === 'file'
        ? {
            kind: 'file',
            bytes: entry.bytes,
            sha256: entry.content satisfies ContentId,
            isExecutable: entry.isExecutable,
          }
        : entry.kind === 'symlink'
          ? { kind: 'symlink', target: entry.target }
          : { kind: 'directory' };
    if (real === undefined) faults.push(`${entry.path} is in the manifest and not in ${folder.path}`);
    else if (JSON.stringify(real) !== JSON.stringify(claimed))
      faults.push(
        `${entry.path} is ${JSON.stringify(claimed)} in the manifest, ${JSON.stringify(real)} in ${folder.path}`,
      );
  }
  for (const path of folder.entries.keys()) if (!named.has(path)) faults.push(`${path} is missing in the manifest`);
  return faults;
}
