import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Seeded } from '../sim/seeded.ts';
import { type DemoEnd, killNode, nodeNames, runDemo } from './demo-process.ts';

interface Folders {
  readonly root: string;
  readonly basis: string;
  readonly target: string;
  readonly pidFile: string;
}

function makeFolders(seeded: Seeded): Folders {
  const root = mkdtempSync(join(tmpdir(), 'siteferry-test-'));
  const big = seeded.bytes(3_000_000);
  const write = (version: string, bytes: Uint8Array): string => {
    const folder = join(root, version);
    mkdirSync(join(folder, 'sub', 'empty folder'), { recursive: true });
    writeFileSync(join(folder, 'big.bin'), bytes);
    writeFileSync(join(folder, 'sub', 'имя 文件.txt'), 'the same in both');
    writeFileSync(join(folder, 'sub', 'empty'), '');
    for (let index = 0; index < 200; index += 1)
      writeFileSync(join(folder, `file-${index}`), `${index % 7 === 0 ? version : ''}${index}`);
    return folder;
  };
  const changed = Uint8Array.from(big);
  changed.set(seeded.bytes(1_000), 1_500_000);
  return { root, basis: write('basis', big), target: write('target', changed), pidFile: join(root, 'pids.json') };
}

function assertVerified(end: DemoEnd): asserts end is DemoEnd & { result: NonNullable<DemoEnd['result']> } {
  const story = end.progress.slice(-15).join('\n');
  assert.equal(end.exitCode, 0, story);
  assert.equal(end.result?.ok, true, story);
  assert.equal(end.result.hops.length, 6);
  assert.ok(end.result.hops.every((hop) => hop.verified));
}

test('four processes bring two versions from parent to branch, and the second travels as what changed', async () => {
  const folders = makeFolders(new Seeded('demo'));
  try {
    const end = await runDemo({ ...folders, onProgress: () => {} });
    assertVerified(end);
    for (const { version, wireBytes, logicalBytes } of end.result.hops) {
      assert.ok(logicalBytes !== null && logicalBytes > 3_000_000);
      assert.ok(
        wireBytes !== null && (version === 1 ? wireBytes > 3_000_000 : wireBytes < 60_000),
        `${wireBytes} bytes for version ${version}`,
      );
    }
  } finally {
    rmSync(folders.root, { recursive: true, force: true });
  }
});

test('kill -9 of any process at any line of progress, and the work goes on to the same end', async (context) => {
  const seed = process.env['SITEFERRY_TEST_SEED'] ?? String(Math.floor(Math.random() * 2 ** 31));
  context.diagnostic(`SITEFERRY_TEST_SEED=${seed}`);
  const seeded = new Seeded(seed);
  const folders = makeFolders(seeded);
  let killCount = 0;
  const killCountMax = 12;
  try {
    const end = await runDemo({
      ...folders,
      onProgress: () => {
        if (killCount < killCountMax && seeded.chance(0.5) && killNode(folders.pidFile, seeded.pick(nodeNames)))
          killCount += 1;
      },
    });
    assertVerified(end);
    assert.ok(killCount > 0);
    assert.ok(end.result.restarts > 0);
    context.diagnostic(`${killCount} kills, ${end.result.restarts} restarts`);
  } finally {
    rmSync(folders.root, { recursive: true, force: true });
  }
});
