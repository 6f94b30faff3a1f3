import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { diffFolders } from '../../src/folder-delta/diff-folders.ts';
import { realFiles } from '../../src/world/real-files.ts';
import { type Ran, run } from './command-line.ts';

let root = '';
let cwd = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'siteferry-diff-'));
});
after(() => rm(root, { recursive: true }));
beforeEach(async () => {
  cwd = await mkdtemp(join(root, 'case-'));
});

function noise(bytes: number, seed: string): Buffer {
  const blocks: Buffer[] = [];
  for (let index = 0; index * 32 < bytes; index += 1)
    blocks.push(createHash('sha256').update(`${seed} ${index}`).digest());
  return Buffer.concat(blocks).subarray(0, bytes);
}

const at = (name: string): string => join(cwd, name);
const json = (...args: string[]): Promise<Ran> => run([...args, '--json'], { cwd });

function errorCode(ran: Ran): unknown {
  return (ran.document['error'] as Record<string, unknown>)['code'];
}

async function write(path: string, bytes: Uint8Array | string, mode = 0o644): Promise<void> {
  await mkdir(dirname(at(path)), { recursive: true });
  await writeFile(at(path), bytes);
  await chmod(at(path), mode);
}

/** Everything that makes a folder, as lines. */
async function listing(folder: string): Promise<string[]> {
  const lines: string[] = [];
  for (const path of (await readdir(at(folder), { recursive: true })).sort()) {
    const facts = await lstat(join(at(folder), path));
    const full = join(at(folder), path);
    if (facts.isSymbolicLink()) lines.push(`${path} -> ${await readlink(full)}`);
    else if (facts.isDirectory()) lines.push(`${path}/`);
    else
      lines.push(
        `${path} ${(facts.mode & 0o100) !== 0} ${createHash('sha256')
          .update(await readFile(full))
          .digest('hex')}`,
      );
  }
  return lines;
}

const large = noise(700_000, 'large');

async function prepareFolders(): Promise<void> {
  await write('old/app/large.bin', large);
  await write('old/app/old-name.txt', noise(40_000, 'renamed'));
  await write('old/gone.txt', 'gone');
  await write('old/same.txt', 'same');
  await write(
    'new/app/large.bin',
    Buffer.concat([large.subarray(0, 350_000), Buffer.from('edit'), large.subarray(350_000)]),
  );
  await write('new/app/new-name.txt', noise(40_000, 'renamed'));
  await write('new/copy/of/new-name.txt', noise(40_000, 'renamed'));
  await write('new/run.sh', '#!/bin/sh\n', 0o755);
  await write('new/same.txt', 'same');
  await write('new/empty.txt', '');
  await mkdir(at('new/nothing'));
  await symlink('same.txt', at('new/link'));
}

test('diff and patch rebuild a file, with the keys that others rely on', async () => {
  await write('old', large);
  await write('new', Buffer.concat([large.subarray(100_000), noise(5_000, 'added'), large.subarray(0, 100_000)]));
  for (const level of ['fast', 'default', 'best']) {
    const made = await json('diff', 'old', 'new', '-o', `delta.${level}`, '--level', level);
    assert.equal(made.status, 0, made.err);
    assert.equal(made.document['deltaBytes'], (await readFile(at(`delta.${level}`))).byteLength);
    for (const key of ['targetBytes', 'copyBytes', 'addBytes', 'literalBytes', 'seconds'])
      assert.equal(typeof made.document[key], 'number', key);
    assert.ok((made.document['deltaBytes'] as number) < 6_000);
    const rebuilt = await json('patch', 'old', `delta.${level}`, '-o', `out.${level}`);
    assert.equal(rebuilt.status, 0, rebuilt.err);
    assert.ok((await readFile(at(`out.${level}`))).equals(await readFile(at('new'))));
  }
});

test('diff and patch rebuild a folder: moves, copies, links, empty things, what may run', async () => {
  await prepareFolders();
  const made = await json('diff', 'old', 'new', '-o', 'delta');
  assert.equal(made.status, 0, made.err);
  assert.deepEqual(made.document['files'], { same: 1, renamed: 2, changed: 1, new: 2, deleted: 2 });
  assert.ok((made.document['deltaBytes'] as number) < 1_500, `${made.document['deltaBytes']} bytes`);
  assert.equal(made.document['deltaBytes'], (await readFile(at('delta'))).byteLength);
  const rebuilt = await json('patch', 'old', 'delta', '-o', 'out');
  assert.equal(rebuilt.status, 0, rebuilt.err);
  assert.deepEqual(await listing('out'), await listing('new'));
});

test('an empty folder is a basis and a target like any other', async () => {
  await prepareFolders();
  await mkdir(at('empty'));
  for (const [basis, target] of [
    ['empty', 'new'],
    ['old', 'empty'],
    ['empty', 'empty'],
  ] as const) {
    const made = await json('diff', basis, target, '-o', `${basis}-${target}`);
    assert.equal(made.status, 0, made.err);
    const rebuilt = await json('patch', basis, `${basis}-${target}`, '-o', `out-${basis}-${target}`);
    assert.equal(rebuilt.status, 0, rebuilt.err);
    assert.deepEqual(await listing(`out-${basis}-${target}`), await listing(target));
  }
});

test('a target with holes is rebuilt with holes, alone and in a folder; one without stays without', async (context) => {
  const bytes = 9 * 1024 * 1024;
  for (const folder of ['old', 'new']) {
    await write(`${folder}/full`, Buffer.alloc(bytes));
    await write(`${folder}/holed`, noise(70_000, folder));
  }
  await truncate(at('new/holed'), bytes);
  const allocated = async (path: string): Promise<number> => (await lstat(at(path))).blocks * 512;
  if ((await allocated('new/holed')) > bytes / 2)
    context.diagnostic('this volume has no holes: content alone is checked');
  const isHoled = (await allocated('new/holed')) < bytes / 2;
  for (const [basis, target, out] of [
    ['old/holed', 'new/holed', 'out-file'],
    ['old', 'new', 'out'],
  ] as const) {
    assert.equal((await json('diff', basis, target, '-o', `${out}.delta`)).status, 0);
    assert.equal((await json('patch', basis, `${out}.delta`, '-o', out)).status, 0);
  }
  for (const path of ['out-file', 'out/holed']) {
    assert.ok((await readFile(at(path))).equals(await readFile(at('new/holed'))), path);
    assert.equal((await allocated(path)) < bytes / 2, isHoled, path);
  }
  await write('signed', noise(70_000, 'old'));
  assert.equal((await json('signature', 'signed', '-o', 'sig')).status, 0);
  assert.equal((await json('delta', 'sig', 'new/holed', '-o', 'one-sided')).status, 0);
  assert.equal((await json('patch', 'signed', 'one-sided', '-o', 'out-one-sided')).status, 0);
  assert.equal((await allocated('out-one-sided')) < bytes / 2, isHoled);
  // Zeros that somebody wrote are there to be written again: room that was asked for is not given away.
  assert.ok((await json('diff', 'old/holed', 'new/full', '-o', 'full.delta')).status === 0);
  assert.equal((await json('patch', 'old/holed', 'full.delta', '-o', 'out-full')).status, 0);
  for (const path of ['out/full', 'out-full']) {
    assert.ok((await readFile(at(path))).equals(Buffer.alloc(bytes)), path);
    assert.equal((await allocated(path)) < bytes / 2, (await allocated('new/full')) < bytes / 2, path);
  }
});

test('a folder that changes while it is diffed is told, be it the old or the new one', async () => {
  for (const changed of ['old/large', 'old/small', 'new/large', 'new/small']) {
    for (const folder of ['old', 'new']) {
      await write(`${folder}/large`, noise(700_000, folder));
      await write(`${folder}/small`, noise(7_000, `small ${folder}`));
    }
    const { signal } = new AbortController();
    const options = { level: 'fast', jobs: undefined, signal, onSummary: () => undefined } as const;
    const pieces = diffFolders(realFiles(), { basis: at('old'), target: at('new') }, options);
    await pieces.next();
    await writeFile(at(changed), Buffer.alloc(changed.endsWith('large') ? 700_000 : 7_000));
    const rest = async (): Promise<void> => {
      for await (const _ of pieces);
    };
    await assert.rejects(rest(), { code: 'source-changed' }, changed);
  }
});

test('two runs give the same delta', async () => {
  await prepareFolders();
  for (const name of ['one', 'two']) assert.equal((await json('diff', 'old', 'new', '-o', name)).status, 0);
  assert.ok((await readFile(at('one'))).equals(await readFile(at('two'))));
});

test('a wrong basis is told before anything is written', async () => {
  await prepareFolders();
  await json('diff', 'old', 'new', '-o', 'delta');
  await write('old/same.txt', 'other');
  const folder = await json('patch', 'old', 'delta', '-o', 'out');
  assert.equal(errorCode(folder), 'basis-mismatch');
  assert.equal(folder.status, 4);
  await write('a', large);
  await write('b', noise(1_000, 'b'));
  await json('diff', 'a', 'b', '-o', 'file-delta');
  await write(
    'a',
    large.map((byte, index) => (index === 1 ? byte ^ 1 : byte)),
  );
  const file = await json('patch', 'a', 'file-delta', '-o', 'out');
  assert.equal(errorCode(file), 'basis-mismatch');
  assert.ok(!(await readdir(cwd)).includes('out'));
  assert.deepEqual(
    (await readdir(cwd)).filter((name) => name.endsWith('.part')),
    [],
  );
});

test('a damaged folder delta leaves nothing behind, wherever it is damaged', async () => {
  await prepareFolders();
  await json('diff', 'old', 'new', '-o', 'delta');
  const delta = await readFile(at('delta'));
  for (let index = 0; index < 40; index += 1) {
    const position = 4 + Math.floor(((delta.byteLength - 4) * index) / 40);
    const damaged = Buffer.from(delta);
    damaged.writeUInt8(damaged.readUInt8(position) ^ 0x41, position);
    await writeFile(at('damaged'), damaged);
    const ran = await json('patch', 'old', 'damaged', '-o', 'out');
    assert.ok(ran.status === 4 || ran.status === 5, `exit ${ran.status} with a flip at ${position}: ${ran.out}`);
    assert.ok(!(await readdir(cwd)).includes('out'));
  }
  await writeFile(at('damaged'), delta.subarray(0, delta.byteLength - 3));
  assert.equal((await json('patch', 'old', 'damaged', '-o', 'out')).status, 4);
  assert.deepEqual(
    (await readdir(cwd)).filter((name) => name.endsWith('.part')),
    [],
  );
});

test('a file against a folder, an existing output and an unknown level are refused', async () => {
  await prepareFolders();
  assert.equal((await json('diff', 'old', 'new/same.txt', '-o', 'delta')).status, 2);
  assert.equal((await json('diff', 'old', 'new', '-o', 'delta', '--level', 'most')).status, 2);
  await json('diff', 'old', 'new', '-o', 'delta');
  assert.equal(errorCode(await json('diff', 'old', 'new', '-o', 'delta')), 'name-taken');
  assert.equal(errorCode(await json('patch', 'old', 'delta', '-o', 'new')), 'name-taken');
});
