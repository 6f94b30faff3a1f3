import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Hierarchy, type HierarchyOptions } from './hierarchy.ts';
import { warmUp } from './warm-up.ts';

const calm: HierarchyOptions = { versionCount: 2, faultEveryMs: 0, faultsForMs: 0 };
const rough: HierarchyOptions = { versionCount: 3, faultEveryMs: 1_500, faultsForMs: 30_000 };

/** Seeds that once failed, replayed for ever. */
const kept = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'seeds.json'), 'utf8')) as {
  hierarchy: number[];
  dense: number[];
};

test('a hierarchy replicates two versions to every node', async () => {
  await warmUp();
  const result = await new Hierarchy('calm').run(calm);
  assert.equal(result.crashCount, 0);
  assert.ok(result.checkedFileCount > 0);
});

test('the same seed replays to the last event, crashes and cuts included', async () => {
  await warmUp();
  const [first, second] = [await new Hierarchy(7).run(rough), await new Hierarchy(7).run(rough)];
  assert.deepEqual(first, second);
  assert.ok(first.crashCount > 0);
});

test('seeds that once failed under denser faults', async () => {
  await warmUp();
  for (const seed of kept.dense) await new Hierarchy(seed).run({ ...rough, faultEveryMs: 1_000 });
});

test('every node ends right after crashes, power cuts and broken links', async (context) => {
  await warmUp();
  const first = Number(process.env['SITEFERRY_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  for (const seed of [...kept.hierarchy, ...Array.from({ length: 12 }, (_, index) => first + index)]) {
    context.diagnostic(`seed ${seed}: npm run sim -- --first ${seed} --seeds 1`);
    const result = await new Hierarchy(seed).run(rough);
    assert.ok(result.checkedFileCount > 0);
  }
});
