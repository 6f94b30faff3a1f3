import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { type Ran, run } from './command-line.ts';

let root = '';
let cwd = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'siteferry-files-'));
});
after(() => rm(root, { recursive: true }));
beforeEach(async () => {
  cwd = await mkdtemp(join(root, 'case-'));
});

/** Bytes without repetition, the same for the same seed. */
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

async function prepare(basis: Uint8Array, target: Uint8Array): Promise<void> {
  await writeFile(at('basis'), basis);
  await writeFile(at('target'), target);
  assert.equal((await run(['signature', 'basis', '-o', 'sig'], { cwd })).status, 0);
  assert.equal((await run(['delta', 'sig', 'target', '-o', 'delta'], { cwd })).status, 0);
}

const large = noise(600_000, 'large');

for (const [what, basis, target] of [
  [
    'an edit in the middle',
    large,
    Buffer.concat([large.subarray(0, 300_000), Buffer.from('edit'), large.subarray(300_100)]),
  ],
  ['empty to empty', Buffer.alloc(0), Buffer.alloc(0)],
  ['empty to something', Buffer.alloc(0), noise(5_000, 'target')],
  ['something to empty', noise(5_000, 'basis'), Buffer.alloc(0)],
  ['one byte', Buffer.from('a'), Buffer.from('b')],
  ['nothing in common', noise(200_000, 'basis'), noise(150_000, 'target')],
] as const) {
  test(`signature, delta and patch rebuild the target: ${what}`, async () => {
    await writeFile(at('basis'), basis);
    await writeFile(at('target'), target);
    const signed = await json('signature', 'basis', '-o', 'sig');
    assert.equal(signed.document['bytes'], basis.byteLength);
    assert.equal(signed.document['signatureBytes'], (await readFile(at('sig'))).byteLength);
    assert.equal(typeof signed.document['chunks'], 'number');
    const made = await json('delta', 'sig', 'target', '-o', 'delta');
    const { targetBytes, deltaBytes, copyBytes, literalBytes } = made.document as Record<string, number>;
    assert.equal(targetBytes, target.byteLength);
    assert.equal(deltaBytes, (await readFile(at('delta'))).byteLength);
    assert.equal((copyBytes ?? 0) + (literalBytes ?? 0), target.byteLength);
    const rebuilt = await json('patch', 'basis', 'delta', '-o', 'out');
    assert.equal(rebuilt.document['targetBytes'], target.byteLength);
    assert.equal(rebuilt.document['sha256'], createHash('sha256').update(target).digest('hex'));
    for (const ran of [signed, made, rebuilt]) assert.equal(typeof ran.document['seconds'], 'number');
    assert.deepEqual(await readFile(at('out')), target);
    assert.deepEqual((await readdir(cwd)).sort(), ['basis', 'delta', 'out', 'sig', 'target']);
  });
}

test('a small edit travels as a small delta', async () => {
  await prepare(large, Buffer.concat([Buffer.from('new start'), large]));
  assert.ok((await readFile(at('delta'))).byteLength < 20_000);
});

test('signature, delta and patch refuse to overwrite, and do with --force', async () => {
  await prepare(large, large);
  for (const args of [
    ['signature', 'basis', '-o', 'there'],
    ['delta', 'sig', 'target', '-o', 'there'],
    ['patch', 'basis', 'delta', '-o', 'there'],
  ]) {
    await writeFile(at('there'), 'precious');
    const refused = await json(...args);
    assert.deepEqual([refused.status, errorCode(refused)], [5, 'name-taken']);
    assert.equal(await readFile(at('there'), 'utf8'), 'precious');
    assert.equal((await json(...args, '--force')).status, 0);
    assert.notEqual(await readFile(at('there'), 'utf8'), 'precious');
  }
  await mkdir(at('folder'));
  assert.equal((await json('signature', 'basis', '-o', 'folder', '--force')).status, 5);
});

test('patch may replace its own basis', async () => {
  const target = Buffer.concat([large, Buffer.from('more')]);
  await prepare(large, target);
  assert.equal((await json('patch', 'basis', 'delta', '-o', 'basis', '--force')).status, 0);
  assert.deepEqual(await readFile(at('basis')), target);
});

test('patch refuses a wrong basis and leaves nothing behind', async () => {
  await prepare(large, Buffer.concat([large, Buffer.from('more')]));
  await writeFile(at('shorter'), large.subarray(1));
  await writeFile(at('other'), noise(large.byteLength, 'other'));
  for (const [basis, code] of [
    ['shorter', 'basis-mismatch'],
    ['other', 'basis-mismatch'],
  ] as const) {
    const ran = await json('patch', basis, 'delta', '-o', 'out');
    assert.deepEqual([ran.status, errorCode(ran)], [4, code]);
  }
  assert.deepEqual((await readdir(cwd)).sort(), ['basis', 'delta', 'other', 'shorter', 'sig', 'target']);
});

test('patch refuses a delta that is cut short, flipped or none, and leaves nothing behind', async () => {
  await prepare(large, Buffer.concat([large.subarray(0, 400_000), noise(50_000, 'new')]));
  const delta = await readFile(at('delta'));
  const flipped = Buffer.from(delta);
  flipped.writeUInt8(flipped.readUInt8(delta.byteLength - 1000) ^ 1, delta.byteLength - 1000);
  for (const bytes of [
    delta.subarray(0, 0),
    delta.subarray(0, 20),
    delta.subarray(0, delta.byteLength >> 1),
    delta.subarray(0, delta.byteLength - 1),
    Buffer.concat([delta, Buffer.from('x')]),
    flipped,
    noise(10_000, 'none'),
  ]) {
    await writeFile(at('bad'), bytes);
    const ran = await json('patch', 'basis', 'bad', '-o', 'out');
    assert.equal(ran.status, 4, `${bytes.byteLength} bytes: ${ran.out}`);
  }
  assert.deepEqual((await readdir(cwd)).sort(), ['bad', 'basis', 'delta', 'sig', 'target']);
});

test('delta refuses what is no signature', async () => {
  await prepare(large, large);
  const ran = await json('delta', 'target', 'target', '-o', 'out');
  assert.deepEqual([ran.status, errorCode(ran)], [4, 'format-invalid']);
});

test('a missing input is named', async () => {
  const { status, err } = await run(['signature', 'nowhere', '-o', 'sig'], { cwd });
  assert.equal(status, 1);
  assert.match(err, /^error file-missing: .*nowhere/);
});

test('inputs may be links; the output of --force replaces a link, not what it points to', async () => {
  await writeFile(at('basis'), large);
  await symlink('basis', at('link'));
  assert.equal((await run(['signature', 'link', '-o', 'sig'], { cwd })).status, 0);
  await writeFile(at('precious'), 'precious');
  await symlink('precious', at('out'));
  assert.equal((await run(['signature', 'basis', '-o', 'out', '--force'], { cwd })).status, 0);
  assert.equal(await readFile(at('precious'), 'utf8'), 'precious');
});
