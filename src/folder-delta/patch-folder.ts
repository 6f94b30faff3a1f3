/** The other end of a folder delta. Nothing appears under the output's name before every file of it was verified. */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { type ApplyJobs, applyDelta } from 'native-free-rdc';
import { fileEntries, type Manifest } from '../wire/manifest.ts';
import type { FileHandle, Files } from '../world/files.ts';
import { readFolderHead } from './folder-format.ts';
import { FolderWriter, fromOffset } from './folder-writer.ts';
import { newContents, readTree } from './tree.ts';
import { TreeBasis } from './tree-reader.ts';

/**
 * Rebuilds the target folder of a delta at `output`, which must not exist. Throws `basis-mismatch` before anything is
 * written if the folder is not the one the delta was made from, `delta-invalid`, `verification-failed`.
 */
export async function patchFolder(
  files: Files,
  paths: { readonly basis: string; readonly output: string; readonly draft: string },
  delta: FileHandle,
  { jobs, signal }: { readonly jobs: ApplyJobs | undefined; readonly signal: AbortSignal },
): Promise<{ readonly targetBytes: number; readonly manifest: string }> {
  const basis = await readTree(files, paths.basis, signal);
  const { target, sparse, deltaStart } = await readFolderHead(delta, basis);
  await using old = new TreeBasis(files, basis);
  try {
    await files.makeDirectory(paths.draft);
    const writer = new FolderWriter(files, paths.draft, { target, sparse });
    const wanted = newContents(target, basis);
    const bytesWanted = [...wanted.values()].reduce((sum, bytes) => sum + bytes, 0);
    await together(signal, (either) => {
      const pieces = applyDelta(old.reader, fromOffset(delta, deltaStart, either), {
        targetBytesMax: bytesWanted,
        isLent: true,
        ...(jobs === undefined ? {} : { jobs }),
      });
      // While threads rebuild what changed, this one copies what did not.
      return [writer.writeStream(pieces, wanted), writer.copyKnown(basis, either)];
    });
    await writer.finish();
    await files.rename(paths.draft, paths.output);
    await files.syncDirectory(dirname(paths.output));
  } finally {
    await files.removeTree(paths.draft);
  }
  const targetBytes = fileEntries(target).reduce((sum, entry) => sum + entry.bytes, 0);
  return { targetBytes, manifest: sha256Hex(target) };
}

/** Ends when all of `work` has; the first failure aborts the rest and is thrown. */
async function together(signal: AbortSignal, work: (either: AbortSignal) => readonly Promise<void>[]): Promise<void> {
  const failure = new AbortController();
  const either = AbortSignal.any([signal, failure.signal]);
  await Promise.all(work(either).map((done) => done.catch((error) => failure.abort(error))));
  either.throwIfAborted();
}

function sha256Hex(target: Manifest): string {
  const lines = target.entries.map((entry) => JSON.stringify(entry)).join('\n');
  return createHash('sha256').update(lines).digest('hex');
}
