/**
 * The one way a file of ours comes into being: written under a temporary name, synced, renamed, directory synced.
 * A reader sees the old file or the new one, whole; after a return the new one survives a power cut.
 */
import { dirname, join } from 'node:path';
import type { Files } from '../../world/files.ts';
import { type Random, randomHex } from '../../world/random.ts';

export interface PublishPlace {
  readonly files: Files;
  readonly random: Random;
  /** A directory on the same volume as every file published from it; its content is worthless after a crash. */
  readonly staging: string;
}

/** A fresh name in the staging directory. */
export function stagingPath(place: PublishPlace, suffix: string): string {
  return join(place.staging, `${randomHex(place.random, 8)}.${suffix}`);
}

/** Lets `write` fill a fresh file in the staging directory, and removes it should that fail: a full disk stays no fuller. */
export async function staged<Result>(
  place: PublishPlace,
  suffix: string,
  write: (temporary: string) => Promise<Result>,
): Promise<Result> {
  const temporary = stagingPath(place, suffix);
  try {
    return await write(temporary);
  } catch (error) {
    await place.files.remove(temporary);
    throw error;
  }
}

/** Publishes `bytes` at `path`, replacing what is there. The rename is the commit point. */
export async function publishFile(place: PublishPlace, path: string, bytes: Uint8Array): Promise<void> {
  await staged(place, 'file', async (temporary) => {
    {
      await using handle = await place.files.open(temporary, 'create');
      await handle.write(0, bytes);
      await handle.sync();
    }
    await moveDurably(place, temporary, path);
  });
}

/** Moves a synced file out of the staging directory. On return it stands at `to` whatever happens to the power. */
export async function moveDurably(place: PublishPlace, from: string, to: string): Promise<void> {
  await place.files.rename(from, to);
  await place.files.syncDirectory(dirname(to));
  if (dirname(from) !== dirname(to)) await place.files.syncDirectory(dirname(from));
}

/** The whole file, which must not exceed `bytesMax`; `undefined` when there is none. */
export async function readWholeFile(files: Files, path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  const facts = await files.facts(path);
  if (facts === undefined || facts.kind !== 'file') return undefined;
  if (facts.bytes > bytesMax) throw new RangeError(`${path} has ${facts.bytes} bytes, more than ${bytesMax}`);
  await using handle = await files.open(path, 'read');
  const bytes = new Uint8Array(facts.bytes);
  const read = await handle.read(0, bytes);
  return bytes.subarray(0, read);
}
