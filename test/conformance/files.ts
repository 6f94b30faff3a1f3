/** What every `Files` keeps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileHandle } from '../../src/world/files.ts';
import { patternBytes, rejectsWithCode } from './expect.ts';
import { holesConformance } from './file-holes.ts';
import { linkConformance } from './file-links.ts';
import { type FilesSetUp, readFile, writeFile } from './files-set-up.ts';

const EMPTY = new Uint8Array(0);

export function filesConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  openingConformance(name, setUp);
  startConformance(name, setUp);
  closingConformance(name, setUp);
  contentConformance(name, setUp);
  directoryConformance(name, setUp);
  executableConformance(name, setUp);
  linkConformance(name, setUp);
  holesConformance(name, setUp);
  lockConformance(name, setUp);
}

function openingConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: open() read and update refuse an absent file`, async () => {
    await using world = await setUp();
    await rejectsWithCode(world.files.open(`${world.root}/absent`, 'read'), 'file-missing');
    await rejectsWithCode(world.files.open(`${world.root}/absent`, 'update'), 'file-missing');
    await rejectsWithCode(world.files.open(`${world.root}/absent/deeper`, 'create'), 'file-missing');
    assert.deepEqual(await world.files.list(world.root), []);
  });

  test(`${name}: open() create makes an empty file and refuses a second time`, async () => {
    await using world = await setUp();
    const path = `${world.root}/new`;
    await writeFile(world.files, path, EMPTY);
    assert.equal((await world.files.facts(path))?.bytes, 0);
    await rejectsWithCode(world.files.open(path, 'create'), 'name-taken');
  });

  test(`${name}: open() resume creates, and later keeps what is there`, async () => {
    await using world = await setUp();
    const path = `${world.root}/resumed`;
    {
      await using handle = await world.files.open(path, 'resume');
      await handle.write(0, patternBytes(5));
    }
    await using handle = await world.files.open(path, 'resume');
    assert.equal((await handle.facts()).bytes, 5);
    await handle.write(5, patternBytes(1));
    const into = new Uint8Array(6);
    assert.equal(await handle.read(0, into), 6);
    assert.deepEqual(into, Uint8Array.of(0, 1, 2, 3, 4, 0));
  });

  test(`${name}: open() refuses a directory`, async () => {
    await using world = await setUp();
    await world.files.makeDirectory(`${world.root}/folder`);
    await rejectsWithCode(world.files.open(`${world.root}/folder`, 'read'), 'path-refused');
    await rejectsWithCode(world.files.open(`${world.root}/folder`, 'update'), 'path-refused');
    await rejectsWithCode(world.files.open(`${world.root}/folder`, 'resume'), 'path-refused');
  });

  test(`${name}: open() refuses a path through a file`, async () => {
    await using world = await setUp();
    await writeFile(world.files, `${world.root}/file`, EMPTY);
    await rejectsWithCode(world.files.open(`${world.root}/file/below`, 'read'), 'file-missing');
    assert.equal(await world.files.facts(`${world.root}/file/below`), undefined);
  });

  test(`${name}: close() may be called twice`, async () => {
    await using world = await setUp();
    const handle = await world.files.open(`${world.root}/twice`, 'create');
    await handle.close();
    await handle.close();
    await handle[Symbol.asyncDispose]();
  });
}

/** A closed descriptor's number is soon that of another file: a call that comes late would read or write there. */
function startConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: readStart() reads as far as there is room or content, and tells the facts`, async () => {
    await using world = await setUp();
    const path = `${world.root}/file`;
    await writeFile(world.files, path, patternBytes(100));
    const facts = await world.files.facts(path);
    for (const room of [0, 1, 99, 100, 101]) {
      const into = new Uint8Array(room);
      const read = await world.files.readStart(path, into);
      assert.deepEqual(read, { facts, bytes: Math.min(room, 100) });
      assert.deepEqual(into.subarray(0, read.bytes), patternBytes(100).subarray(0, read.bytes));
    }
    // More than may be open at once.
    for (let round = 0; round < 2_000; round += 1) await world.files.readStart(path, EMPTY);
  });

  test(`${name}: readStart() refuses what open() refuses`, async () => {
    await using world = await setUp();
    await rejectsWithCode(world.files.readStart(`${world.root}/absent`, EMPTY), 'file-missing');
    await rejectsWithCode(world.files.readStart(world.root, EMPTY), 'path-refused');
    if (world.makeSymlink === undefined) return;
    await writeFile(world.files, `${world.root}/file`, patternBytes(3));
    await world.makeSymlink('file', `${world.root}/link`);
    await rejectsWithCode(world.files.readStart(`${world.root}/link`, EMPTY), 'path-refused');
  });
}

function closingConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: close() lets calls under way end on their own file`, async () => {
    await using world = await setUp();
    const path = (file: string): string => `${world.root}/${file}`;
    const [one, other] = [new Uint8Array(200_000).fill(1), new Uint8Array(200_000).fill(2)];
    await writeFile(world.files, path('one'), one);
    await writeFile(world.files, path('other'), other);
    for (let round = 0; round < 10; round += 1) {
      const reader = await world.files.open(path('one'), 'read');
      const writer = await world.files.open(path('copy'), 'resume');
      // More than a pool of threads does at once, and beyond the end of the file, which takes a second look.
      const buffers = Array.from({ length: 12 }, () => new Uint8Array(one.length + 1));
      const reads = buffers.map((into) => reader.read(0, into));
      const writes = buffers.map((_, index) => writer.write(index * one.length, one));
      const closed = [reader.close(), writer.close()];
      const late = [await world.files.open(path('other'), 'update'), await world.files.open(path('other'), 'update')];
      assert.deepEqual(new Set(await Promise.all(reads)), new Set([one.length]));
      await Promise.all([...writes, ...closed]);
      for (const handle of late) await handle.close();
      assert.ok(buffers.every((into) => Buffer.compare(into.subarray(0, one.length), one) === 0));
    }
    assert.equal(Buffer.compare(await readFile(world.files, path('other')), other), 0);
    const copy = await readFile(world.files, path('copy'));
    assert.equal(copy.length, 12 * one.length);
    assert.ok(copy.every((byte) => byte === 1));
  });

  test(`${name}: a closed handle refuses calls`, async () => {
    await using world = await setUp();
    const handle = await world.files.open(`${world.root}/closed`, 'create');
    await handle.close();
    await assert.rejects(handle.read(0, new Uint8Array(1)));
    await assert.rejects(handle.write(0, Uint8Array.of(1)));
    await assert.rejects(handle.facts());
  });
}

function contentConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  for (const count of [0, 1, 4095, 4096, 4097, 100_000]) {
    test(`${name}: ${count} written bytes come back, also after sync and reopening`, async () => {
      await using world = await setUp();
      const path = `${world.root}/content`;
      {
        await using handle = await world.files.open(path, 'create');
        await handle.write(0, patternBytes(count));
        await handle.sync();
      }
      await world.files.syncDirectory(world.root);
      assert.deepEqual(await readFile(world.files, path), patternBytes(count));
    });
  }

  test(`${name}: read() fills the buffer, and less only at the end of the file`, async () => {
    await using world = await setUp();
    const path = `${world.root}/ten`;
    await writeFile(world.files, path, patternBytes(10));
    await using handle = await world.files.open(path, 'read');
    const into = new Uint8Array(4);
    assert.equal(await handle.read(0, into), 4);
    assert.deepEqual(into, Uint8Array.of(0, 1, 2, 3));
    assert.equal(await handle.read(8, into), 2);
    assert.deepEqual(into.subarray(0, 2), Uint8Array.of(8, 9));
    assert.equal(await handle.read(10, into), 0);
    assert.equal(await handle.read(1000, into), 0);
    assert.equal(await handle.read(0, EMPTY), 0);
  });

  test(`${name}: write() beyond the end fills the gap with zeroes`, async () => {
    await using world = await setUp();
    const path = `${world.root}/gap`;
    await writeFile(world.files, path, Uint8Array.of(1));
    {
      await using handle = await world.files.open(path, 'update');
      await handle.write(3, Uint8Array.of(2));
      await handle.write(0, Uint8Array.of(9));
    }
    assert.deepEqual(await readFile(world.files, path), Uint8Array.of(9, 0, 0, 2));
  });

  test(`${name}: truncate() cuts and extends`, async () => {
    await using world = await setUp();
    const path = `${world.root}/cut`;
    await using handle = await world.files.open(path, 'create');
    await handle.write(0, patternBytes(10));
    await handle.truncate(3);
    await handle.truncate(5);
    const into = new Uint8Array(10).fill(7);
    assert.equal(await handle.read(0, into), 5);
    assert.deepEqual(into.subarray(0, 5), Uint8Array.of(0, 1, 2, 0, 0));
  });

  test(`${name}: a handle opened for reading does not write`, async () => {
    await using world = await setUp();
    const path = `${world.root}/shut`;
    await writeFile(world.files, path, patternBytes(3));
    await using handle: FileHandle = await world.files.open(path, 'read');
    await assert.rejects(handle.write(0, Uint8Array.of(9)));
    assert.deepEqual(await readFile(world.files, path), patternBytes(3));
  });

  test(`${name}: facts() of handle and path agree, and identity follows a rename`, async () => {
    await using world = await setUp();
    await writeFile(world.files, `${world.root}/a`, patternBytes(7));
    await writeFile(world.files, `${world.root}/b`, patternBytes(7));
    const before = await world.files.facts(`${world.root}/a`);
    const other = await world.files.facts(`${world.root}/b`);
    assert.ok(before !== undefined && other !== undefined);
    assert.notEqual(before.identity, other.identity);
    {
      await using handle = await world.files.open(`${world.root}/a`, 'read');
      // A volume may find room for it in its own time.
      assert.deepEqual({ ...(await handle.facts()), allocatedBytes: before.allocatedBytes }, before);
    }
    await world.files.rename(`${world.root}/a`, `${world.root}/c`);
    const after = await world.files.facts(`${world.root}/c`);
    assert.equal(after?.identity, before.identity);
    assert.equal(after?.kind, 'file');
    assert.equal(after?.bytes, 7);
    assert.equal(after?.isExecutable, false);
    assert.ok(Number.isFinite(before.modifiedMs) && Number.isFinite(before.changedMs));
  });

  test(`${name}: freeBytes() is a safe integer`, async () => {
    await using world = await setUp();
    const bytes = await world.files.freeBytes(world.root);
    assert.ok(Number.isSafeInteger(bytes) && bytes >= 0);
  });
}

function directoryConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: makeSubdirectory() makes one directory where there is nothing`, async () => {
    await using world = await setUp();
    await world.files.makeSubdirectory(`${world.root}/one`);
    await world.files.makeSubdirectory(`${world.root}/one/two`);
    assert.equal((await world.files.facts(`${world.root}/one/two`))?.kind, 'directory');
    await rejectsWithCode(world.files.makeSubdirectory(`${world.root}/one`), 'name-taken');
    await rejectsWithCode(world.files.makeSubdirectory(`${world.root}/absent/two`), 'file-missing');
    await writeFile(world.files, `${world.root}/file`, EMPTY);
    await rejectsWithCode(world.files.makeSubdirectory(`${world.root}/file`), 'name-taken');
    await rejectsWithCode(world.files.makeSubdirectory(`${world.root}/file/two`), 'file-missing');
    if (world.makeSymlink === undefined) return;
    await world.makeSymlink('one', `${world.root}/link`);
    await rejectsWithCode(world.files.makeSubdirectory(`${world.root}/link`), 'name-taken');
  });

  test(`${name}: facts() is undefined for nothing and knows a directory`, async () => {
    await using world = await setUp();
    assert.equal(await world.files.facts(`${world.root}/nothing`), undefined);
    const facts = await world.files.facts(world.root);
    assert.equal(facts?.kind, 'directory');
    assert.equal(facts?.bytes, 0);
  });

  test(`${name}: list() sorts by UTF-16 code units`, async () => {
    await using world = await setUp();
    // U+1F600 is a surrogate pair (d83d…) and sorts before U+FF21 by code units, after it by code points.
    const names = ['b', 'B', 'a', '10', '9', 'é', '\u{1f600}', '\uff21'];
    for (const each of names) await writeFile(world.files, `${world.root}/${each}`, EMPTY);
    assert.deepEqual(await world.files.list(world.root), names.toSorted());
    assert.deepEqual((await world.files.list(world.root)).slice(-2), ['\u{1f600}', '\uff21']);
  });

  test(`${name}: list() refuses an absent directory and a file`, async () => {
    await using world = await setUp();
    await writeFile(world.files, `${world.root}/file`, EMPTY);
    await rejectsWithCode(world.files.list(`${world.root}/absent`), 'file-missing');
    await rejectsWithCode(world.files.list(`${world.root}/file`), 'file-missing');
  });

  test(`${name}: makeDirectory() makes missing parents and accepts one that is there`, async () => {
    await using world = await setUp();
    await world.files.makeDirectory(`${world.root}/x/y/z`);
    await world.files.makeDirectory(`${world.root}/x/y/z`);
    await world.files.makeDirectory(world.root);
    assert.equal((await world.files.facts(`${world.root}/x/y/z`))?.kind, 'directory');
    assert.deepEqual(await world.files.list(`${world.root}/x`), ['y']);
  });

  test(`${name}: makeDirectory() refuses a file in the way`, async () => {
    await using world = await setUp();
    await writeFile(world.files, `${world.root}/file`, EMPTY);
    await rejectsWithCode(world.files.makeDirectory(`${world.root}/file`), 'name-taken');
    await rejectsWithCode(world.files.makeDirectory(`${world.root}/file/below`), 'file-missing');
  });

  test(`${name}: rename() replaces a file and refuses an absent one`, async () => {
    await using world = await setUp();
    await writeFile(world.files, `${world.root}/from`, Uint8Array.of(1));
    await writeFile(world.files, `${world.root}/to`, Uint8Array.of(2));
    await world.files.rename(`${world.root}/from`, `${world.root}/to`);
    assert.deepEqual(await world.files.list(world.root), ['to']);
    assert.deepEqual(await readFile(world.files, `${world.root}/to`), Uint8Array.of(1));
    await rejectsWithCode(world.files.rename(`${world.root}/from`, `${world.root}/to`), 'file-missing');
    await rejectsWithCode(world.files.rename(`${world.root}/to`, `${world.root}/no/where`), 'file-missing');
  });

  test(`${name}: rename() moves a directory with its content`, async () => {
    await using world = await setUp();
    await world.files.makeDirectory(`${world.root}/one/in`);
    await writeFile(world.files, `${world.root}/one/in/file`, patternBytes(3));
    await world.files.makeDirectory(`${world.root}/other`);
    await world.files.rename(`${world.root}/one`, `${world.root}/other/two`);
    await world.files.syncDirectory(world.root);
    await world.files.syncDirectory(`${world.root}/other`);
    assert.deepEqual(await world.files.list(world.root), ['other']);
    assert.deepEqual(await readFile(world.files, `${world.root}/other/two/in/file`), patternBytes(3));
  });

  test(`${name}: remove() removes a file, is silent about none and refuses a directory`, async () => {
    await using world = await setUp();
    await writeFile(world.files, `${world.root}/file`, EMPTY);
    await world.files.makeDirectory(`${world.root}/folder`);
    await world.files.remove(`${world.root}/file`);
    await world.files.remove(`${world.root}/file`);
    await world.files.remove(`${world.root}/absent/file`);
    await rejectsWithCode(world.files.remove(`${world.root}/folder`), 'path-refused');
    assert.deepEqual(await world.files.list(world.root), ['folder']);
  });

  test(`${name}: removeTree() removes all below, and is silent about none`, async () => {
    await using world = await setUp();
    await world.files.makeDirectory(`${world.root}/tree/a/b`);
    await writeFile(world.files, `${world.root}/tree/a/b/file`, patternBytes(3));
    await world.files.removeTree(`${world.root}/tree`);
    await world.files.removeTree(`${world.root}/tree`);
    assert.deepEqual(await world.files.list(world.root), []);
  });

  test(`${name}: an open file outlives its name`, async () => {
    await using world = await setUp();
    const path = `${world.root}/gone`;
    await writeFile(world.files, path, patternBytes(4));
    await using handle = await world.files.open(path, 'read');
    await world.files.remove(path);
    const into = new Uint8Array(4);
    assert.equal(await handle.read(0, into), 4);
    assert.deepEqual(into, patternBytes(4));
    assert.equal(await world.files.facts(path), undefined);
  });

  test(`${name}: realPath() resolves a plain path and refuses an absent one`, async () => {
    await using world = await setUp();
    const root = await world.files.realPath(world.root);
    await world.files.makeDirectory(`${world.root}/folder`);
    assert.equal(await world.files.realPath(`${root}/folder`), `${root}/folder`);
    await rejectsWithCode(world.files.realPath(`${world.root}/absent`), 'file-missing');
  });
}

function executableConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: makeExecutable() lets the owner execute a file and leaves the rest of it alone`, async () => {
    await using world = await setUp();
    const path = `${world.root}/run`;
    await writeFile(world.files, path, patternBytes(3));
    const before = await world.files.facts(path);
    await world.files.makeExecutable(path);
    await world.files.makeExecutable(path);
    const after = await world.files.facts(path);
    assert.equal(after?.isExecutable, process.platform !== 'win32');
    assert.deepEqual([after?.identity, after?.modifiedMs], [before?.identity, before?.modifiedMs]);
    assert.deepEqual(await readFile(world.files, path), patternBytes(3));
    await using handle = await world.files.open(path, 'update');
    await handle.write(0, Uint8Array.of(9));
    assert.equal((await handle.facts()).isExecutable, process.platform !== 'win32');
  });

  test(`${name}: makeExecutable() refuses what is no file, or not there`, async () => {
    await using world = await setUp();
    await world.files.makeDirectory(`${world.root}/folder`);
    await writeFile(world.files, `${world.root}/file`, EMPTY);
    await rejectsWithCode(world.files.makeExecutable(`${world.root}/folder`), 'path-refused');
    await rejectsWithCode(world.files.makeExecutable(`${world.root}/absent`), 'file-missing');
    await rejectsWithCode(world.files.makeExecutable(`${world.root}/absent/file`), 'file-missing');
    await rejectsWithCode(world.files.makeExecutable(`${world.root}/file/below`), 'file-missing');
    assert.deepEqual(await world.files.list(world.root), ['file', 'folder']);
  });

  test(`${name}: makeExecutable() does not follow a link`, async (context) => {
    await using world = await setUp();
    if (world.makeSymlink === undefined) return context.skip('no way to make symbolic links');
    await writeFile(world.files, `${world.root}/target`, EMPTY);
    await world.makeSymlink('target', `${world.root}/link`);
    await world.makeSymlink('nowhere', `${world.root}/dangling`);
    await rejectsWithCode(world.files.makeExecutable(`${world.root}/link`), 'path-refused');
    await rejectsWithCode(world.files.makeExecutable(`${world.root}/dangling`), 'path-refused');
    assert.equal((await world.files.facts(`${world.root}/target`))?.isExecutable, false);
  });
}

function lockConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: lock() is exclusive, by directory, and free after disposal`, async () => {
    await using world = await setUp();
    await world.files.makeDirectory(`${world.root}/one`);
    await world.files.makeDirectory(`${world.root}/two`);
    {
      await using _one = await world.files.lock(`${world.root}/one`);
      await using _two = await world.files.lock(`${world.root}/two`);
      await rejectsWithCode(world.files.lock(`${world.root}/one`), 'already-running');
    }
    await using again = await world.files.lock(`${world.root}/one`);
    await again[Symbol.asyncDispose]();
    await rejectsWithCode(world.files.lock(`${world.root}/absent`), 'file-missing');
  });
}
