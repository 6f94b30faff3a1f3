/** Where a suite of `Files` runs, and how its tests write and read whole files. */
import assert from 'node:assert/strict';
import type { Files } from '../../src/world/files.ts';

export interface FilesSetUp extends AsyncDisposable {
  readonly files: Files;
  /** Absolute path of an existing, empty directory. */
  readonly root: string;
  /** Plants a link without the interface under test; where it is absent, tests with links are skipped. */
  readonly makeSymlink?: (target: string, path: string) => Promise<void>;
  /** Whether the volume of `root` leaves out what nobody wrote; found out without the interface under test. */
  readonly hasHoles: () => Promise<boolean>;
}

export async function writeFile(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  await using handle = await files.open(path, 'create');
  await handle.write(0, bytes);
}

export async function readFile(files: Files, path: string): Promise<Uint8Array> {
  await using handle = await files.open(path, 'read');
  const into = new Uint8Array((await handle.facts()).bytes);
  assert.equal(await handle.read(0, into), into.length);
  return into;
}
