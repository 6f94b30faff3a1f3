import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hashTree } from '../../bench/delta/checksum.ts';
import { ownTasks } from '../../bench/delta/ours.ts';
import { findPairs, PairError, pairOf, preparePair } from '../../bench/delta/pair.ts';
import { peerTasks } from '../../bench/delta/peers.ts';
import { labelOf } from '../../bench/delta/task.ts';
import { tempDirectory } from '../world/temp.ts';

const signal = new AbortController().signal;

async function makeFolder(folder: string, files: Readonly<Record<string, string>>): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

test('findPairs() takes a pair, a folder of pairs by name, and refuses anything else', async () => {
  await using temp = await tempDirectory();
  for (const name of ['zebra', 'ant'])
    for (const version of ['basis', 'target']) await mkdir(join(temp.path, name, version), { recursive: true });
  await mkdir(join(temp.path, 'no-pair', 'basis'), { recursive: true });
  const names = async (path: string): Promise<string[]> => (await findPairs(path)).map((pair) => pair.name);
  assert.deepEqual(await names(temp.path), ['ant', 'zebra']);
  assert.deepEqual(await names(join(temp.path, 'zebra')), ['zebra']);
  await assert.rejects(findPairs(join(temp.path, 'no-pair')), PairError);
  await assert.rejects(findPairs(join(temp.path, 'absent')), PairError);
});

test('pairOf() takes two folders or two files, not one of each', async () => {
  await using temp = await tempDirectory();
  const file = join(await makeFolder(temp.path, { file: 'x' }), 'file');
  assert.equal((await pairOf(file, file)).kind, 'files');
  assert.equal((await pairOf(temp.path, temp.path)).kind, 'folders');
  await assert.rejects(pairOf(temp.path, file), PairError);
  await assert.rejects(pairOf(file, join(temp.path, 'absent')), PairError);
});

test('preparePair() packs the same tar whatever the times of the files are', async () => {
  await using temp = await tempDirectory();
  const wholes: string[] = [];
  for (const day of [1, 2]) {
    const folder = await makeFolder(join(temp.path, `day ${day}`), { 'b/c': 'content', a: 'more' });
    await utimes(join(folder, 'a'), day * 86_400, day * 86_400);
    const scratch = join(temp.path, `scratch ${day}`);
    await mkdir(scratch);
    const prepared = await preparePair(await pairOf(folder, folder), scratch, signal);
    assert.deepEqual({ files: prepared.files, bytes: prepared.targetBytes }, { files: 2, bytes: 11 });
    wholes.push(prepared.whole.targetSha256);
  }
  assert.equal(wholes[0], wholes[1]);
});

test('preparePair() compares the largest file alone from 50 MB on, where the basis has it', async () => {
  await using temp = await tempDirectory();
  const [basis, target] = [join(temp.path, 'basis'), join(temp.path, 'target')];
  for (const folder of [basis, target]) await makeFolder(folder, { 'bin/large': '', small: 'x' });
  const scratch = join(temp.path, 'scratch');
  const prepare = async (bytes: number): ReturnType<typeof preparePair> => {
    await truncate(join(target, 'bin/large'), bytes);
    await rm(scratch, { recursive: true, force: true });
    await mkdir(scratch);
    return await preparePair(await pairOf(basis, target), scratch, signal);
  };
  assert.equal((await prepare(49_999_999)).largest, undefined);
  const prepared = await prepare(50_000_000);
  assert.equal(prepared.largest?.path, 'bin/large');
  const labels = [...peerTasks(prepared), ...ownTasks(prepared)].map(labelOf);
  for (const tool of ['xdelta3 -1', 'bsdiff', 'siteferry diff default', 'siteferry diff best'])
    assert.ok(labels.includes(`${tool}, bin/large`), tool);
  await rm(join(basis, 'bin/large'));
  assert.equal((await prepare(50_000_000)).largest, undefined);
});

test('bsdiff waits for --slow on what is large, and on tars always', async () => {
  await using temp = await tempDirectory();
  const file = join(await makeFolder(temp.path, { file: 'x' }), 'file');
  const scratch = join(temp.path, 'scratch');
  await mkdir(scratch);
  const prepared = await preparePair(await pairOf(file, file), scratch, signal);
  const slow = (bytes: number, kind: 'files' | 'folders'): (boolean | undefined)[] =>
    peerTasks({ ...prepared, kind, whole: { ...prepared.whole, targetBytes: bytes } })
      .filter((task) => labelOf(task).startsWith('bsdiff'))
      .map((task) => task.isSlow);
  assert.deepEqual(slow(29_999_999, 'files'), [false]);
  assert.deepEqual(slow(30_000_000, 'files'), [true]);
  assert.deepEqual(slow(1, 'folders'), [true]);
});

test('hashTree() sees contents, names, links, executable bits and empty folders, but no times', async () => {
  await using temp = await tempDirectory();
  const folder = await makeFolder(join(temp.path, 'tree'), { 'a/b': 'content', c: 'more' });
  await symlink('c', join(folder, 'link'));
  const seen = new Set<string>();
  const look = async (): Promise<number> => seen.add((await hashTree(folder, signal)).sha256).size;
  assert.equal(await look(), 1);
  await utimes(join(folder, 'c'), 1, 1);
  assert.equal(await look(), 1);
  await writeFile(join(folder, 'c'), 'mora');
  assert.equal(await look(), 2);
  await chmod(join(folder, 'c'), 0o755);
  assert.equal(await look(), 3);
  await mkdir(join(folder, 'empty'));
  assert.equal(await look(), 4);
  await rm(join(folder, 'link'));
  await symlink('a', join(folder, 'link'));
  assert.equal(await look(), 5);
  await writeFile(join(folder, 'link2'), await readFile(join(folder, 'c')));
  assert.equal(await look(), 6);
});
