/**
 * `siteferry patch`: the target of a delta rebuilt from its basis, a file or a folder.
 *
 * A file is published only after its SHA-256 was the one the delta names. Folders are the business of folder-delta.
 */
import { createHash } from 'node:crypto';
import { applyDelta, readDeltaHeader, TreeHash } from 'native-free-rdc';
import { ReplicationError } from '../errors.ts';
import { isFolderDelta, patchFolder } from '../folder-delta/folder-delta.ts';
import { createDraft, draftPath, type FileDeltaWorld, type OutputOptions, refuseExisting } from './draft.ts';
import { openSource, type Source } from './source.ts';
import { translated } from './translated.ts';

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
      const draft = draftPath(world, options.output);
      const places = { basis: paths.basis, output: options.output, draft };
      return await patchFolder(world.files, places, delta.handle, options.signal);
    }
    await using basis = await openSource(world.files, paths.basis);
    await expectBasis(basis, await delta.start(), options.signal);
    await using draft = await createDraft(world, options);
    const sha256 = createHash('sha256');
    let targetBytes = 0;
    for await (const piece of applyDelta(basis, delta.blocks(options.signal))) {
      sha256.update(piece);
      targetBytes += piece.byteLength;
      await draft.append(piece);
    }
    await draft.publish();
    return { targetBytes, sha256: sha256.digest('hex') };
  });
}

/** A wrong basis is told before work starts: it is read once to be sure. */
async function expectBasis(basis: Source, deltaStart: Uint8Array, signal: AbortSignal): Promise<void> {
  const header = readDeltaHeader(deltaStart);
  const hash = new TreeHash();
  if (basis.bytes === header.basisBytes) for await (const block of basis.blocks(signal)) hash.update(block);
  if (basis.bytes === header.basisBytes && Buffer.from(hash.digest()).equals(header.basisId)) return;
  throw new ReplicationError(
    'basis-mismatch',
    `Cannot apply the delta: ${basis.path} is not the file it was made from`,
    {
      hint: 'the very file the delta was made from, as BASIS',
    },
  );
}
