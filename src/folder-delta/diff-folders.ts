/**
 * What leads from one folder to another, as one file (folder-format.ts): files that only moved or were renamed cost
 * their manifest entry, all others what changed in them.
 */
import { createDiff, type DiffJobs, type DiffLevel, type DiffSummary } from 'native-free-rdc';
import { hintsByName } from '../engine/delta/hints.ts';
import { fileEntries, type Manifest } from '../wire/manifest.ts';
import type { Files } from '../world/files.ts';
import { encodeFolderHead, sha256Of } from './folder-format.ts';
import { newContents, readTree } from './tree.ts';
import { contentBytes, TreeBasis } from './tree-reader.ts';

export interface FolderDiffSummary extends Omit<DiffSummary, 'targetSha256'> {
  readonly files: {
    readonly same: number;
    readonly renamed: number;
    readonly changed: number;
    readonly new: number;
    readonly deleted: number;
  };
}

/** The delta, piece by piece. Throws as `readTree`; `source-changed` if a folder changes meanwhile. */
export async function* diffFolders(
  files: Files,
  paths: { readonly basis: string; readonly target: string },
  options: {
    readonly level: DiffLevel;
    readonly jobs: DiffJobs | undefined;
    readonly signal: AbortSignal;
    readonly onSummary: (summary: FolderDiffSummary) => void;
  },
): AsyncGenerator<Uint8Array, void> {
  const { level, jobs, signal } = options;
  const [basis, target] = await Promise.all([
    readTree(files, paths.basis, signal),
    readTree(files, paths.target, signal),
  ]);
  const head = encodeFolderHead(basis, target);
  yield head;
  await using old = new TreeBasis(files, basis);
  const contents = newContents(target.manifest, basis);
  let made: DiffSummary | undefined;
  yield* createDiff(old.reader, contentBytes(files, target, contents.keys(), { signal }), {
    level,
    basisId: sha256Of(basis.manifestBytes),
    hintsFor: hintsByName(contents, target.manifest, { manifest: basis.manifest, starts: old.starts }),
    ...(jobs === undefined ? {} : { jobs }),
    onSummary: (summary) => {
      made = summary;
    },
  });
  await old.expectUnchanged();
  if (made === undefined) throw new Error('createDiff() ended without a summary');
  const targetBytes = fileEntries(target.manifest).reduce((sum, entry) => sum + entry.bytes, 0);
  options.onSummary({
    targetBytes,
    deltaBytes: head.byteLength + made.deltaBytes,
    // What does not travel at all is copied at the receiver.
    copyBytes: targetBytes - made.addBytes - made.literalBytes,
    addBytes: made.addBytes,
    literalBytes: made.literalBytes,
    files: compareFiles(basis.manifest, target.manifest),
  });
}

function compareFiles(basis: Manifest, target: Manifest): FolderDiffSummary['files'] {
  const old = new Map(fileEntries(basis).map((entry) => [entry.path, entry]));
  const known = new Set(fileEntries(basis).map((entry) => entry.content));
  const counts = { same: 0, renamed: 0, changed: 0, new: 0, deleted: 0 };
  for (const entry of fileEntries(target)) {
    const before = old.get(entry.path);
    old.delete(entry.path);
    if (before?.content === entry.content) counts.same += 1;
    else if (known.has(entry.content)) counts.renamed += 1;
    else if (before !== undefined) counts.changed += 1;
    else counts.new += 1;
  }
  counts.deleted = old.size;
  return counts;
}
