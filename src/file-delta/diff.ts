/** `siteferry diff`: what leads from one file or folder to another, both at hand. */
import { createDiff, type DiffLevel, type DiffSummary } from 'native-free-rdc';
import { diffJobsOn } from '../engine/delta/diff-jobs.ts';
import { ReplicationError } from '../errors.ts';
import type { FolderDiffSummary } from '../folder-delta/diff-folders.ts';
import type { Files } from '../world/files.ts';
import { createDraft, type FileDeltaWorld, type OutputOptions, refuseExisting } from './draft.ts';
import { openSource } from './source.ts';
import { translated } from './translated.ts';

/** What `diff` works with: the work over threads is worth it only for inputs that take longer than threads to start. */
export interface DiffOrder {
  readonly basis: string;
  readonly target: string;
  readonly level: DiffLevel;
}

/** Writes into `output` what leads from `basis` to `target`, two files or two folders. */
export async function diffPaths(
  world: FileDeltaWorld,
  order: DiffOrder,
  options: OutputOptions,
): Promise<Omit<DiffSummary, 'targetSha256'> & Partial<Pick<FolderDiffSummary, 'files'>>> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    const isFolder = await areFolders(world.files, order);
    await using threads = world.openThreads();
    const jobs = threads === undefined ? undefined : diffJobsOn(threads, options.signal);
    await using draft = await createDraft(world, options);
    if (isFolder) {
      let summary: FolderDiffSummary | undefined;
      const onSummary = (told: FolderDiffSummary): void => {
        summary = told;
      };
      const { level } = order;
      // Loaded here: what folders need, schemas above all, weighs more than all that a file needs.
      const { diffFolders } = await import('../folder-delta/diff-folders.ts');
      const pieces = diffFolders(world.files, order, { level, jobs, signal: options.signal, onSummary });
      for await (const piece of pieces) await draft.append(piece);
      if (summary === undefined) throw new Error('diffFolders() ended without a summary');
      await draft.publish();
      return summary;
    }
    await using basis = await openSource(world.files, order.basis);
    await using target = await openSource(world.files, order.target);
    let summary: DiffSummary | undefined;
    const onSummary = (told: DiffSummary): void => {
      summary = told;
    };
    const given = {
      level: order.level,
      isTargetSparse: target.isSparse,
      onSummary,
      ...(jobs === undefined ? {} : { jobs }),
    };
    for await (const piece of createDiff(basis, target.blocks(options.signal), given)) await draft.append(piece);
    await basis.expectUnchanged();
    await target.expectUnchanged();
    if (summary === undefined) throw new Error('createDiff() ended without a summary');
    await draft.publish();
    const { targetSha256: _named, ...told } = summary;
    return told;
  });
}

async function areFolders(files: Files, { basis, target }: DiffOrder): Promise<boolean> {
  const kinds = await Promise.all(
    [basis, target].map(async (path) => (await files.facts(await files.realPath(path)))?.kind),
  );
  if (kinds[0] === kinds[1]) return kinds[0] === 'directory';
  throw new ReplicationError('usage', `Cannot compare ${basis} with ${target}: one is a folder, the other is not`);
}
