/**
 * `siteferry patch`: the target of a delta rebuilt from its basis, a file or a folder.
 *
 * A file is published only after its SHA-256 was the one the delta names. Folders are the business of folder-delta.
 */
import { applyDelta, type DeltaHeader, readDeltaHeader, treeHashOfBasis } from 'native-free-rdc';
import { applyJobsOn, diffJobsOn } from '../engine/delta/diff-jobs.ts';
import { ReplicationError } from '../errors.ts';
import { isFolderDelta } from '../folder-delta/is-folder-delta.ts';
import type { Threads } from '../world/threads.ts';
import { createDraft, draftPath, type FileDeltaWorld, type OutputOptions, refuseExisting } from './draft.ts';
import { openSource, type Source } from './source.ts';
import { translated } from './translated.ts';

/** Smaller ones are patched before threads would have started. */
const threadedBytesMin = 16 * 1024 * 1024;

/** Rebuilds the target of `delta` from `basis` into `output`. `verification-failed` and nothing written when it differs. */
export async function patchFile(
  world: FileDeltaWorld,
  paths: { readonly basis: string; readonly delta: string },
  options: OutputOptions,
): Promise<
  | { readonly targetBytes: number; readonly sha256: string }
  | { readonly targetBytes: number; readonly manifest: string }
> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    await using delta = await openSource(world.files, paths.delta);
    if (isFolderDelta(await delta.start())) {
      if ((await world.files.facts(options.output)) !== undefined)
        throw new ReplicationError('name-taken', `Cannot write ${options.output}: a folder is never replaced`);
      // Loaded here: what folders need, schemas above all, weighs more than all that a file needs.
      const { patchFolder } = await import('../folder-delta/patch-folder.ts');
      const places = { basis: paths.basis, output: options.output, draft: draftPath(world, options.output) };
      await using threads = world.openThreads();
      const jobs = threads === undefined ? undefined : applyJobsOn(threads, options.signal);
      return await patchFolder(world.files, places, delta.handle, { jobs, signal: options.signal });
    }
    await using basis = await openSource(world.files, paths.basis);
    await using threads = basis.bytes < threadedBytesMin ? undefined : world.openThreads();
    const header = readDeltaHeader(await delta.start());
    await expectBasis(basis, { header, threads, signal: options.signal });
    await using draft = await createDraft(world, options, header.isTargetSparse);
    let verified = { bytes: 0, sha256: new Uint8Array(0) };
    const pieces = applyDelta(basis, delta.blocks(options.signal), {
      isLent: true,
      onVerified: (target) => {
        verified = { bytes: target.bytes, sha256: Uint8Array.from(target.sha256) };
      },
      ...(threads === undefined ? {} : { jobs: applyJobsOn(threads, options.signal) }),
    });
    // Each piece is lent long enough to be written while the next one is rebuilt.
    let writing = Promise.resolve();
    for await (const piece of pieces) {
      await writing;
      writing = draft.append(piece);
      // Told by whoever waits for it, or not at all if something else fails first.
      writing.catch(() => undefined);
    }
    await writing;
    await draft.publish();
    return { targetBytes: verified.bytes, sha256: Buffer.from(verified.sha256).toString('hex') };
  });
}

/** A wrong basis is told before work starts: it is read once to be sure. */
async function expectBasis(
  basis: Source,
  tools: { readonly header: DeltaHeader; readonly threads: Threads | undefined; readonly signal: AbortSignal },
): Promise<void> {
  const { header, threads, signal } = tools;
  const { basisBytes, basisId } = header;
  if (basis.bytes === basisBytes) {
    const jobs = threads === undefined ? undefined : diffJobsOn(threads, signal);
    if (Buffer.from(await treeHashOfBasis(basis, jobs)).equals(basisId)) return;
  }
  throw new ReplicationError(
    'basis-mismatch',
    `Cannot apply the delta: ${basis.path} is not the file it was made from`,
    {
      hint: 'the very file the delta was made from, as BASIS',
    },
  );
}
