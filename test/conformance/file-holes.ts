/**
 * What every `Files` keeps about the room files take. Where the volume has no holes, the tests say so and check the
 * content alone: what nobody wrote reads as zeros everywhere.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { FileHandle } from '../../src/world/files.ts';
import { patternBytes } from './expect.ts';
import { type FilesSetUp, writeFile } from './files-set-up.ts';

/** Large enough for any volume that leaves out holes at all: some have blocks of 1 MiB. */
const fileBytes = 8 * 1024 * 1024;

async function assertZeros(handle: FileHandle, startByte: number, endByte: number): Promise<void> {
  const into = new Uint8Array(endByte - startByte).fill(7);
  assert.equal(await handle.read(startByte, into), into.length);
  assert.equal(Buffer.compare(into, Buffer.alloc(into.length)), 0, `zeros in [${startByte}, ${endByte})`);
}

/** Half of the file is more than any volume needs for its ends. */
async function assertSparse(world: FilesSetUp, handle: FileHandle, context: TestContext): Promise<void> {
  const { bytes, allocatedBytes } = await handle.facts();
  if (await world.hasHoles()) assert.ok(allocatedBytes < bytes / 2, `${allocatedBytes} of ${bytes} bytes allocated`);
  else
    context.diagnostic(`no holes on this volume: ${allocatedBytes} of ${bytes} bytes allocated, content checked alone`);
}

export function holesConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: allocatedBytes is a safe integer for a file and 0 for anything else`, async (context) => {
    await using world = await setUp();
    const path = `${world.root}/file`;
    await writeFile(world.files, path, patternBytes(100_000));
    {
      await using handle = await world.files.open(path, 'update');
      await handle.sync();
      const { allocatedBytes } = await handle.facts();
      assert.ok(Number.isSafeInteger(allocatedBytes) && allocatedBytes > 0, `${allocatedBytes} bytes allocated`);
    }
    assert.equal((await world.files.facts(world.root))?.allocatedBytes, 0);
    if (world.makeSymlink === undefined) return context.diagnostic('no way to make symbolic links');
    await world.makeSymlink('file', `${world.root}/link`);
    assert.equal((await world.files.facts(`${world.root}/link`))?.allocatedBytes, 0);
  });

  test(`${name}: a file written only at its end stays sparse and reads zeros before`, async (context) => {
    await using world = await setUp();
    const path = `${world.root}/end`;
    {
      await using handle = await world.files.open(path, 'create');
      await handle.write(fileBytes - 3, patternBytes(4).subarray(1));
      await handle.sync();
      await assertSparse(world, handle, context);
    }
    await using handle = await world.files.open(path, 'read');
    assert.equal((await handle.facts()).bytes, fileBytes);
    await assertZeros(handle, 0, fileBytes - 3);
    const into = new Uint8Array(4);
    assert.equal(await handle.read(fileBytes - 3, into), 3);
    assert.deepEqual(into, Uint8Array.of(1, 2, 3, 0));
    await assertSparse(world, handle, context);
  });

  test(`${name}: a file made longer by truncate() stays sparse and reads zeros there`, async (context) => {
    await using world = await setUp();
    await using handle = await world.files.open(`${world.root}/long`, 'create');
    await handle.write(0, patternBytes(5));
    await handle.truncate(fileBytes);
    await handle.sync();
    await assertSparse(world, handle, context);
    assert.equal((await handle.facts()).bytes, fileBytes);
    await assertZeros(handle, 5, fileBytes);
    const into = new Uint8Array(5);
    await handle.read(0, into);
    assert.deepEqual(into, patternBytes(5));
  });

  test(`${name}: a write into a hole takes room for itself and leaves zeros around`, async (context) => {
    await using world = await setUp();
    await using handle = await world.files.open(`${world.root}/middle`, 'create');
    await handle.truncate(fileBytes);
    const middle = fileBytes / 2 + 1;
    await handle.write(middle, Uint8Array.of(9));
    await handle.sync();
    await assertSparse(world, handle, context);
    assert.ok((await handle.facts()).allocatedBytes > 0);
    await assertZeros(handle, 0, middle);
    await assertZeros(handle, middle + 1, fileBytes);
  });

  test(`${name}: what truncate() cut off reads as zeros when the file grows again`, async () => {
    await using world = await setUp();
    await using handle = await world.files.open(`${world.root}/again`, 'create');
    await handle.write(0, patternBytes(100_000));
    await handle.truncate(10);
    await handle.write(100_000, Uint8Array.of(9));
    await assertZeros(handle, 10, 100_000);
  });
}
