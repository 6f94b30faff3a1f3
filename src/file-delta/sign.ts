/** `siteferry signature`: one file signed into another. */
import { createSignature, encodeSignature, SALT_BYTES } from 'native-free-rdc';
import { createDraft, type FileDeltaWorld, type OutputOptions, refuseExisting } from './draft.ts';
import { openSource } from './source.ts';
import { translated } from './translated.ts';

/** Signs `basis` into `output`. */
export async function signFile(
  world: FileDeltaWorld,
  basis: string,
  options: OutputOptions,
): Promise<{ readonly bytes: number; readonly signatureBytes: number; readonly chunks: number }> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    await using source = await openSource(world.files, basis);
    const salt = world.random.bytes(SALT_BYTES);
    const signature = await createSignature(source.blocks(options.signal), { basisBytes: source.bytes, salt });
    await source.expectUnchanged();
    const encoded = encodeSignature(signature);
    await using draft = await createDraft(world, options);
    await draft.append(encoded);
    await draft.publish();
    return { bytes: source.bytes, signatureBytes: encoded.byteLength, chunks: signature.chunkCount };
  });
}
