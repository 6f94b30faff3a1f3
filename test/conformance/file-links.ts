/** What every `Files` keeps about symbolic links. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patternBytes, rejectsWithCode } from './expect.ts';
import { type FilesSetUp, readFile, writeFile } from './files-set-up.ts';

const EMPTY = new Uint8Array(0);

export function linkConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  plantedLinkConformance(name, setUp);
  linkMakingConformance(name, setUp);
}

function plantedLinkConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: a symbolic link is never followed as the last part of a path`, async (context) => {
    await using world = await setUp();
    if (world.makeSymlink === undefined) return context.skip('no way to make symbolic links');
    await writeFile(world.files, `${world.root}/target`, patternBytes(3));
    await world.makeSymlink('target', `${world.root}/link`);
    await world.makeSymlink('nowhere', `${world.root}/dangling`);
    for (const mode of ['read', 'update', 'resume'] as const) {
      await rejectsWithCode(world.files.open(`${world.root}/link`, mode), 'path-refused');
      await rejectsWithCode(world.files.open(`${world.root}/dangling`, mode), 'path-refused');
    }
    await rejectsWithCode(world.files.open(`${world.root}/dangling`, 'create'), 'name-taken');
    assert.equal((await world.files.facts(`${world.root}/link`))?.kind, 'symlink');
    assert.equal((await world.files.facts(`${world.root}/link`))?.bytes, 0);
    assert.equal(await world.files.readLink(`${world.root}/link`), 'target');
    const root = await world.files.realPath(world.root);
    assert.equal(await world.files.realPath(`${world.root}/link`), `${root}/target`);
    await rejectsWithCode(world.files.realPath(`${world.root}/dangling`), 'file-missing');
    await world.files.remove(`${world.root}/link`);
    await world.files.removeTree(`${world.root}/dangling`);
    assert.deepEqual(await world.files.list(world.root), ['target']);
  });

  test(`${name}: removeTree() removes links, not what they point at`, async (context) => {
    await using world = await setUp();
    if (world.makeSymlink === undefined) return context.skip('no way to make symbolic links');
    await world.files.makeDirectory(`${world.root}/kept`);
    await writeFile(world.files, `${world.root}/kept/file`, EMPTY);
    await world.files.makeDirectory(`${world.root}/tree`);
    await world.makeSymlink(`${world.root}/kept`, `${world.root}/tree/link`);
    await world.files.removeTree(`${world.root}/tree`);
    assert.deepEqual(await world.files.list(`${world.root}/kept`), ['file']);
  });
}

function linkMakingConformance(name: string, setUp: () => Promise<FilesSetUp>): void {
  test(`${name}: makeLink() makes a link with the very text, wherever it leads`, async (context) => {
    await using world = await setUp();
    if (world.makeSymlink === undefined) return context.skip('no way to make symbolic links');
    await writeFile(world.files, `${world.root}/file`, patternBytes(3));
    const targets = {
      near: 'file',
      dangling: 'no/where',
      up: '../x/./y',
      far: `${world.root}/file`,
      odd: 'ü \u{1f600}',
    };
    for (const [link, target] of Object.entries(targets)) await world.files.makeLink(`${world.root}/${link}`, target);
    await world.files.syncDirectory(world.root);
    for (const [link, target] of Object.entries(targets)) {
      assert.equal(await world.files.readLink(`${world.root}/${link}`), target);
      const facts = await world.files.facts(`${world.root}/${link}`);
      assert.deepEqual([facts?.kind, facts?.bytes, facts?.isExecutable], ['symlink', 0, false]);
    }
    const root = await world.files.realPath(world.root);
    assert.equal(await world.files.realPath(`${world.root}/near`), `${root}/file`);
    assert.equal(await world.files.realPath(`${world.root}/far`), `${root}/file`);
    await rejectsWithCode(world.files.realPath(`${world.root}/dangling`), 'file-missing');
  });

  test(`${name}: makeLink() refuses a taken name and leaves what has it`, async (context) => {
    await using world = await setUp();
    if (world.makeSymlink === undefined) return context.skip('no way to make symbolic links');
    await writeFile(world.files, `${world.root}/file`, patternBytes(3));
    await world.files.makeDirectory(`${world.root}/folder`);
    await world.makeSymlink('file', `${world.root}/link`);
    await world.makeSymlink('nowhere', `${world.root}/dangling`);
    for (const taken of ['file', 'folder', 'link', 'dangling']) {
      await rejectsWithCode(world.files.makeLink(`${world.root}/${taken}`, 'other'), 'name-taken');
    }
    assert.deepEqual(await readFile(world.files, `${world.root}/file`), patternBytes(3));
    assert.equal((await world.files.facts(`${world.root}/folder`))?.kind, 'directory');
    assert.equal(await world.files.readLink(`${world.root}/link`), 'file');
    assert.equal(await world.files.readLink(`${world.root}/dangling`), 'nowhere');
    assert.deepEqual(await world.files.list(world.root), ['dangling', 'file', 'folder', 'link']);
    assert.deepEqual(await world.files.list(`${world.root}/folder`), []);
  });

  test(`${name}: makeLink() refuses a missing parent, and follows a link on the way`, async (context) => {
    await using world = await setUp();
    if (world.makeSymlink === undefined) return context.skip('no way to make symbolic links');
    await writeFile(world.files, `${world.root}/file`, EMPTY);
    await world.files.makeDirectory(`${world.root}/folder`);
    await rejectsWithCode(world.files.makeLink(`${world.root}/absent/link`, 'x'), 'file-missing');
    await rejectsWithCode(world.files.makeLink(`${world.root}/file/link`, 'x'), 'file-missing');
    assert.deepEqual(await world.files.list(world.root), ['file', 'folder']);
    await world.makeSymlink('folder', `${world.root}/way`);
    await world.files.makeLink(`${world.root}/way/link`, '../file');
    assert.deepEqual(await world.files.list(`${world.root}/folder`), ['link']);
    await world.files.removeTree(`${world.root}/folder`);
    assert.deepEqual(await world.files.list(world.root), ['file', 'way']);
  });

  test(`${name}: makeLink() takes a text that is no valid Unicode for a mistake of the caller`, async () => {
    await using world = await setUp();
    await assert.rejects(world.files.makeLink(`${world.root}/link`, 'a\ud800'), TypeError);
    assert.deepEqual(await world.files.list(world.root), []);
  });
}
