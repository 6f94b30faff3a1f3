import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mapAhead } from '../../src/engine/delta/map-ahead.ts';

/** Counts what runs; the second item fails at once, the others take their time. */
function counted(): { readonly map: (item: number) => Promise<number>; readonly running: () => number } {
  let count = 0;
  return {
    running: () => count,
    async map(item) {
      if (item === 2) throw new Error('the second one');
      count += 1;
      for (let turn = 0; turn < 10 * item; turn += 1) await new Promise(setImmediate);
      count -= 1;
      return item;
    },
  };
}

async function collect(items: readonly number[], map: (item: number) => Promise<number>): Promise<number[]> {
  return await Array.fromAsync(mapAhead(items, 3, map));
}

test('mapAhead() keeps the order and waits for each', async () => {
  const { map, running } = counted();
  assert.deepEqual(await collect([5, 1, 4, 3], map), [5, 1, 4, 3]);
  assert.equal(running(), 0);
});

test('mapAhead() leaves nothing running when it fails or is left early', async () => {
  const failing = counted();
  await assert.rejects(collect([1, 2, 9, 8], failing.map), /the second one/);
  assert.equal(failing.running(), 0);
  const left = counted();
  for await (const item of mapAhead([1, 9, 8], 3, left.map)) {
    assert.equal(item, 1);
    break;
  }
  assert.equal(left.running(), 0);
  const broken = counted();
  const source = async function* (): AsyncGenerator<number> {
    yield 9;
    throw new Error('the source');
  };
  await assert.rejects(Array.fromAsync(mapAhead(source(), 3, broken.map)), /the source/);
  assert.equal(broken.running(), 0);
});
