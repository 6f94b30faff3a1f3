import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { runBench } from '../../bench/delta/bench.ts';
import { parseOptions } from '../../bench/delta/options.ts';
import { type BenchDocument, faultLines } from '../../bench/delta/report.ts';
import type { Row } from '../../bench/delta/row.ts';
import { compressibleBytes } from '../../bench/delta/seeded.ts';
import { type TempDirectory, tempDirectory } from '../world/temp.ts';

const main = resolve(import.meta.dirname, '../../bench/delta/main.ts');
const fake = resolve(import.meta.dirname, 'fake-siteferry.ts');

let temp: TempDirectory;
let work = '';
before(async () => {
  temp = await tempDirectory();
  work = join(temp.path, 'work');
  await mkdir(work);
  await makePair(join(temp.path, 'pairs', 'tiny'));
});
after(() => temp[Symbol.asyncDispose]());

/** Two small folders with a change, a link, an executable and an empty folder. */
async function makePair(place: string): Promise<void> {
  const content = compressibleBytes(60_000, 'tiny');
  for (const version of ['basis', 'target']) {
    const folder = join(place, version);
    await mkdir(join(folder, 'empty'), { recursive: true });
    await writeFile(join(folder, 'data'), Buffer.concat([content.subarray(0, 30_000), Buffer.from(version), content]));
    await writeFile(join(folder, 'readme'), version);
    await writeFile(join(folder, 'run'), '#!/bin/sh\n');
    await chmod(join(folder, 'run'), 0o755);
    await symlink('readme', join(folder, 'link'));
  }
}

interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the benchmark as people do. `onStart` gets its process when it has said the first thing. */
function runMain(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onStart?: (pid: number) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [main, '--work', work, ...args], { env: { ...process.env, ...env } });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => void out.push(data));
  child.stderr.on('data', (data: Buffer) => void err.push(data));
  child.stderr.once('data', () => onStart?.(child.pid ?? 0));
  return new Promise((done) => {
    child.once('close', (status) =>
      done({ status, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }),
    );
  });
}

/** Runs it in this process with a stand-in for our commands. */
async function compareWithFake(args: readonly string[], lie?: string): Promise<BenchDocument> {
  const siteferry = [process.execPath, fake, ...(lie === undefined ? [] : ['--lie', lie])];
  const options = parseOptions([...args, '--work', work], () => undefined);
  return await runBench(options, { signal: new AbortController().signal, tell: () => undefined, siteferry });
}

function find(document: BenchDocument, id: Row['id']): Row {
  const row = document.pairs[0]?.rows.find((one) => one.id === id);
  assert.ok(row, `no row ${id}`);
  return row;
}

const tiny = (): string => join(temp.path, 'pairs', 'tiny');

test('bench:delta compares a real pair, tells one document, and leaves nothing behind', async () => {
  const { status, out, err } = await runMain([
    join(temp.path, 'pairs'),
    ...['--json', '--only', 'signature|diff default|rsync -az|xdelta3|zstd -3 --patch'],
  ]);
  assert.equal(status, 0, err);
  const document = JSON.parse(out) as BenchDocument;
  assert.equal(document.ok, true);
  assert.deepEqual(
    document.pairs.map(({ name, files, targetBytes }) => ({ name, files, targetBytes })),
    [{ name: 'tiny', files: 3, targetBytes: 90_006 + 6 + 10 }],
  );
  const { wireBytes, outputSha256, cpuSeconds } = find(document, 'one-sided');
  assert.ok(wireBytes !== null && wireBytes > 0 && wireBytes < 90_000, `wire ${wireBytes}`);
  assert.ok((cpuSeconds ?? 0) > 0.05, `CPU ${cpuSeconds}`);
  // Every tool that is here has rebuilt the same target.
  for (const row of document.pairs[0]?.rows ?? []) {
    if (row.job === 'tar' && row.status === 'measured') assert.equal(row.outputSha256, outputSha256, row.tool);
    if (row.status !== 'measured') assert.equal(row.status, 'not-installed', row.note);
  }
  assert.deepEqual(await readdir(work), []);
});

test('bench:delta says what to install where no other tool is', async () => {
  const files = ['--basis', join(tiny(), 'basis/data'), '--target', join(tiny(), 'target/data')];
  const { status, out } = await runMain([...files, '--json', '--only', 'xdelta3|bsdiff|rsync'], { PATH: '/nowhere' });
  assert.equal(status, 0);
  const rows = (JSON.parse(out) as BenchDocument).pairs[0]?.rows ?? [];
  assert.deepEqual(new Set(rows.map((row) => row.status)), new Set(['not-installed']));
  assert.deepEqual(
    rows.map((row) => row.note?.replace(/.*: /, '')),
    ['apt install rsync', 'apt install rsync', 'apt install xdelta3', 'apt install bsdiff'],
  );
});

test('bench:delta ends with 130 and an empty scratch folder when it is interrupted', async () => {
  const interrupt = (pid: number): void => void process.kill(pid, 'SIGINT');
  const { status, err } = await runMain(['--growth'], {}, interrupt);
  assert.equal(status, 130, err);
  assert.deepEqual(await readdir(work), []);
});

test('bench:delta refuses what is no pair with exit status 2', async () => {
  const { status, out } = await runMain([work, '--json']);
  assert.equal(status, 2);
  const { error } = JSON.parse(out) as { error: { code: string; message: string } };
  assert.equal(error.code, 'usage');
  assert.match(error.message, /neither it nor a folder in it has basis\/ and target\//);
});

test('runBench() verifies folders and gives each step its row', async () => {
  const document = await compareWithFake([tiny(), '--only', 'siteferry']);
  assert.equal(document.ok, true);
  assert.equal(find(document, 'diff-best').outputSha256, find(document, 'patch-best').outputSha256);
  assert.equal(find(document, 'diff-best').wireBytes, join(tiny(), 'target').length + 2);
  assert.equal(find(document, 'patch-best').wireBytes, null);
  const signatureBytes = join(work, 'siteferry-bench-XXXXXX', 'pair', 'basis.tar').length + 2;
  assert.equal(
    find(document, 'one-sided').wireBytes,
    signatureBytes + (find(document, 'stream-diff-default').wireBytes ?? 0),
  );
  assert.equal(find(document, 'stream-patch-default').outputSha256, find(document, 'one-sided-patch').outputSha256);
});

test('runBench() lets xdelta3 unpack its tar and compares the tree', async (context) => {
  const document = await compareWithFake([tiny(), '--only', 'xdelta3|diff fast']);
  if (find(document, 'xdelta3').status === 'not-installed') return context.skip('needs xdelta3');
  const { job, status, outputSha256, note } = find(document, 'xdelta3-decode-tree');
  assert.deepEqual({ job, status }, { job: 'tree', status: 'measured' }, note);
  assert.equal(outputSha256, find(document, 'patch-fast').outputSha256);
  assert.notEqual(outputSha256, find(document, 'xdelta3').outputSha256);
});

test('runBench() fails the comparison when ours refuses its command line, and tells command and stderr', async () => {
  const document = await compareWithFake([tiny(), '--only', 'signature'], 'no signature');
  assert.equal(document.ok, false);
  const { status, note, isFault, failed } = find(document, 'one-sided');
  assert.deepEqual(
    { status, note, isFault },
    { status: 'failed', note: "usage: unknown command 'signature'", isFault: true },
  );
  assert.match(failed?.command ?? '', /fake-siteferry\.ts --lie 'no signature' signature .*basis\.tar -o .* --json$/);
  assert.deepEqual([failed?.exitCode, failed?.stderr], [2, 'first line\nsecond line']);
  const [told, ...others] = faultLines(document);
  assert.deepEqual(others, []);
  assert.match(
    told ?? '',
    /^tiny: siteferry signature \+ delta, tar: FAILED: usage: .*\n {2}command: .*\n {2}exit status: 2\n/,
  );
  assert.match(told ?? '', / {2}stderr: first line\n {2}stderr: second line$/);
});

for (const [lie, id, status, note] of [
  ['content', 'patch-default', 'wrong', /the target has/],
  ['extra file', 'patch-default', 'wrong', /the target has/],
  ['crash', 'patch-default', 'failed', /delta-invalid: Cannot read/],
  ['size', 'diff-default', 'failed', /says deltaBytes \d+, but the file has \d+ bytes/],
] as const) {
  test(`runBench() fails the comparison when ours lies about: ${lie}`, async () => {
    const document = await compareWithFake([tiny(), '--only', 'diff default, tree'], lie);
    assert.equal(document.ok, false);
    const row = find(document, id);
    assert.equal(row.status, status);
    assert.match(row.note ?? '', note);
    assert.deepEqual(await readdir(work), []);
  });
}

test('runBench() measures adversarial inputs and growth, verified', async () => {
  const extras = ['--adversarial', '--adversarial-bytes', '64KiB', '--only', 'zeros', '--growth=0.002'];
  const { ok, adversarial, growth } = await compareWithFake(extras);
  assert.equal(ok, true);
  assert.deepEqual(Object.keys(adversarial?.cpuPerRandom ?? {}), ['zeros']);
  assert.deepEqual(
    growth?.points.map((point) => point.gigabytes),
    [0.002],
  );
  assert.equal((await compareWithFake(extras, 'content')).ok, false);
});
