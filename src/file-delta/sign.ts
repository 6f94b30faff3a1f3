/** `siteferry signature`: one file signed into another. */
import { createSignature, encodeSignature, SALT_BYTES, type Signature } from 'native-free-rdc';
import { signOn } from '../engine/delta/sign-jobs.ts';
import { createDraft, type FileDeltaWorld, type OutputOptions, refuseExisting } from './draft.ts';
import { openSource, type Source } from './source.ts';
import { translated } from './translated.ts';

/**
 * Smaller files are signed sooner on this thread: workers take 0.1 s to start. 128 MiB take 0.20 s here and 0.23 s on
 * two threads, 256 MiB 0.36 s either way (Node 24.21, 2-vCPU Xeon, November 2026); more cores repay it earlier.
 */
export const threadedBytesMin: number = 128 * 1024 * 1024;

/** Signs `basis` into `output`. */
export async function signFile(
  world: FileDeltaWorld,
  basis: string,
  options: OutputOptions,
): Promise<{ readonly bytes: number; readonly signatureBytes: number; readonly chunks: number }> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    await using source = await openSource(world.files, basis);
    const signature = await sign(world, source, options.signal);
    await source.expectUnchanged();
    const encoded = encodeSignature(signature);
    await using draft = await createDraft(world, options);
    await draft.append(encoded);
    await draft.publish();
    return { bytes: source.bytes, signatureBytes: encoded.byteLength, chunks: signature.chunkCount };
  });
}

/** On threads if the file is worth them and there are several. */
async function sign(world: FileDeltaWorld, source: Source, signal: AbortSignal): Promise<Signature> {
  const salt = world.random.bytes(SALT_BYTES);
  await using threads = source.bytes < threadedBytesMin ? undefined : world.openThreads();
  if (threads !== undefined && threads.threadCount > 1) return await signOn(threads, source, { salt, signal });
  return await createSignature(source.blocks(signal), { basisBytes: source.bytes, salt });
}
