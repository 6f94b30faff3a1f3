/** `siteferry delta`: what leads from a file known by its signature to one at hand. */
import { createDelta, type DeltaSummary, decodeSignature } from 'native-free-rdc';
import { createDraft, type FileDeltaWorld, type OutputOptions, refuseExisting } from './draft.ts';
import { openSource, readSmall } from './source.ts';
import { translated } from './translated.ts';

/** A signature has about 10 bytes per chunk and at most 4 Mi chunks, so even a hostile basis stays below. */
const signatureBytesMax = 64 * 1024 * 1024;

/** Writes into `output` what leads from the basis of `signature` to `target`. */
export async function deltaFile(
  world: FileDeltaWorld,
  paths: { readonly signature: string; readonly target: string },
  options: OutputOptions,
): Promise<DeltaSummary> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    const signature = decodeSignature(await readSmall(world.files, paths.signature, signatureBytesMax));
    await using target = await openSource(world.files, paths.target);
    await using draft = await createDraft(world, options);
    let summary: DeltaSummary | undefined;
    const onSummary = (told: DeltaSummary): void => {
      summary = told;
    };
    for await (const piece of createDelta(signature, target.blocks(options.signal), {
      onSummary,
      isTargetSparse: target.isSparse,
    })) {
      await draft.append(piece);
    }
    await target.expectUnchanged();
    if (summary === undefined) throw new Error('createDelta() ended without a summary');
    await draft.publish();
    return summary;
  });
}
