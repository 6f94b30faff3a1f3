import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isSameFolder, manifestFaults, readFolder } from '../../src/cli/demo/folder.ts';
import { untilAnswered } from '../../src/cli/demo/patience.ts';
import {
  closingSentence,
  type DemoReport,
  describeMechanisms,
  type Hop,
  isAllVerified,
  knownWireBytes,
  renderReport,
  savingOf,
} from '../../src/cli/demo/report.ts';
import { LiveLines } from '../../src/cli/live-lines.ts';
import { ReplicationError } from '../../src/errors.ts';
import type { ContentId } from '../../src/model/content.ts';
import type { PackageId } from '../../src/model/package.ts';
import type { Manifest, ManifestEntry } from '../../src/wire/manifest.ts';
import { realClock } from '../../src/world/clock.ts';
import { realFiles } from '../../src/world/real-files.ts';

let root = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'siteferry-demo-test-'));
});
after(() => rm(root, { recursive: true }));

const share = (contents: number): { contents: number; bytes: number } => ({ contents, bytes: contents * 1000 });
const hop: Hop = {
  from: 'C01DP1',
  to: 'B01',
  version: 2,
  mechanisms: { present: share(9_000), diff: share(1_234), whole: share(56) },
  logicalBytes: 10 * 1024 ** 3,
  wireBytes: 123_456_789,
  seconds: 3661.5,
  verified: true,
};
const report: DemoReport = {
  package: 'P0100001',
  pair: { basis: '/old', target: '/new' },
  hops: [hop, { ...hop, from: 'P01', to: 'C01', mechanisms: null, wireBytes: null, seconds: null }],
  restarts: 2,
  seconds: 5,
};

test('renderReport() fits 100 columns and shows what a kill took as a dash', () => {
  const lines = renderReport(report).split('\n');
  const table = lines.filter((line) => /^[│┌├└]/.test(line));
  for (const line of table) assert.ok(line.length <= 100, `${line.length}: ${line}`);
  assert.match(lines.find((line) => line.includes('P01 → C01 ')) ?? '', /│ – +│ +10\.0 GiB │ +– │ +– │ +– │ yes/);
  assert.match(
    lines.find((line) => line.includes('B01')) ?? '',
    /diff 1k whole 56 │ +10\.0 GiB │ +117\.7 MiB │ 98\.9 % │ 3661\.50 │ yes/,
  );
});

test('knownWireBytes() does not believe a hop that cost less than its payload', () => {
  assert.equal(knownWireBytes({ wireBytes: 1_100, payloadBytes: 1_000 }), 1_100);
  assert.equal(knownWireBytes({ wireBytes: 999, payloadBytes: 1_000 }), null);
  assert.equal(knownWireBytes(undefined), null);
});

test('savingOf() is a part of the logical bytes and never negative', () => {
  assert.equal(savingOf(1000, 10), 0.99);
  assert.equal(savingOf(1000, 2000), 0);
  assert.equal(savingOf(0, 500), 0);
});

test('describeMechanisms() names the ways that were taken', () => {
  assert.equal(describeMechanisms({ present: share(3), diff: share(0), whole: share(0) }), 'all present');
  assert.equal(describeMechanisms({ present: share(3), diff: share(1), whole: share(0) }), 'diff 1');
  assert.equal(describeMechanisms(null), '–');
});

test('closingSentence() tells the truth about a failed verification', () => {
  assert.match(closingSentence(report), /verified at all four nodes.*started again 2 times/);
  // One of its hops has no known cost: no sum is made up.
  assert.doesNotMatch(closingSentence(report), /saved/);
  assert.match(
    closingSentence({ ...report, hops: [hop] }),
    /needed 117\.7 MiB for 10\.0 GiB over 1 hops: 98\.9 % saved/,
  );
  const failed = { ...report, hops: [{ ...hop, verified: false }] };
  assert.equal(isAllVerified(failed), false);
  assert.match(closingSentence(failed), /VERIFICATION FAILED/);
  assert.match(renderReport(failed), /│ NO/);
  assert.equal(isAllVerified({ ...report, hops: [] }), false);
});

test('manifestFaults() finds whatever differs between a folder and a manifest', async () => {
  const path = join(root, 'tree');
  await mkdir(join(path, 'empty'), { recursive: true });
  await mkdir(join(path, 'sub'));
  await writeFile(join(path, 'sub', 'file'), 'content');
  await symlink('sub/file', join(path, 'link'));
  const folder = await readFolder(realFiles(), path, new AbortController().signal);
  const file = folder.entries.get('sub/file');
  assert.ok(file?.kind === 'file');
  assert.deepEqual([file.bytes, folder.bytes, folder.entries.size], [7, 7, 3]);
  const entries: ManifestEntry[] = [
    { kind: 'directory', path: 'empty' },
    { kind: 'symlink', path: 'link', target: 'sub/file' },
    { kind: 'file', path: 'sub/file', bytes: 7, content: file.sha256 as ContentId, isExecutable: false },
  ];
  const manifest = (changed: readonly ManifestEntry[]): Manifest => ({
    packageId: 'P0100001' as PackageId,
    packageName: 'demo',
    version: 1,
    createdMs: 0,
    entries: changed,
  });
  assert.deepEqual(manifestFaults(folder, manifest(entries)), []);
  assert.match(manifestFaults(folder, manifest(entries.slice(1)))[0] ?? '', /empty is missing in the manifest/);
  assert.match(
    manifestFaults(folder, manifest([...entries, { kind: 'directory', path: 'x' }]))[0] ?? '',
    /x is in the manifest and not/,
  );
  const relinked = entries.map((entry) => (entry.kind === 'symlink' ? { ...entry, target: 'elsewhere' } : entry));
  assert.match(manifestFaults(folder, manifest(relinked))[0] ?? '', /^link is /);
  const other = entries.map((entry) =>
    entry.kind === 'file' ? { ...entry, content: '0'.repeat(64) as ContentId } : entry,
  );
  assert.match(manifestFaults(folder, manifest(other))[0] ?? '', /^sub\/file is /);
  const runnable = entries.map((entry) => (entry.kind === 'file' ? { ...entry, isExecutable: true } : entry));
  assert.equal(manifestFaults(folder, manifest(runnable)).length, 1);
  assert.ok(isSameFolder(folder, folder));
  assert.ok(!isSameFolder(folder, { ...folder, entries: new Map() }));
});

test('untilAnswered() asks again while a node is away, and only then', async () => {
  let asked = 0;
  const answer = await untilAnswered(realClock(), new AbortController().signal, async () => {
    asked += 1;
    if (asked < 3) throw new ReplicationError('link-failed', 'nobody there');
    return asked;
  });
  assert.equal(answer, 3);
  const refused = untilAnswered(realClock(), new AbortController().signal, async () => {
    throw new ReplicationError('package-unknown', 'never');
  });
  await assert.rejects(refused, { code: 'package-unknown' });
  const aborted = untilAnswered(realClock(), AbortSignal.abort(new Error('enough')), async () => {
    throw new ReplicationError('link-failed', 'nobody there');
  });
  await assert.rejects(aborted, /enough/);
});

test('LiveLines draws in place on a terminal and prints what is new in a pipe', () => {
  const style = (_format: string, text: string): string => text;
  const terminal: string[] = [];
  const onTerminal = new LiveLines({ write: (text) => void terminal.push(text), isTerminal: true, columns: 10, style });
  onTerminal.show(['one', 'a line that is too long']);
  onTerminal.show(['two']);
  onTerminal.clear();
  assert.deepEqual(terminal, ['one\na line th\n', '\x1b[2A\x1b[0Jtwo\n', '\x1b[1A\x1b[0J']);
  const pipe: string[] = [];
  const inPipe = new LiveLines({ write: (text) => void pipe.push(text), isTerminal: false, columns: 10, style });
  inPipe.show(['one', 'two']);
  inPipe.show(['one', 'three']);
  inPipe.clear();
  assert.deepEqual(pipe, ['one\n', 'two\n', 'three\n']);
});
