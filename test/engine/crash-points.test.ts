/**
 * A crash at every change that a receiver makes to its disk or database while two versions arrive, by kill and by power
 * cut. The version must arrive all the same, and nothing wrong may ever be served.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hierarchy, smallHierarchy } from '../scenarios/hierarchy.ts';
import { warmUp } from '../scenarios/warm-up.ts';

const options = { versionCount: 2, faultEveryMs: 0, faultsForMs: 0, programBytes: 150_000 };

/** Every point takes minutes; by default every fourth, another quarter each day. `SITEFERRY_TEST_LONG=1` takes all. */
const stride = process.env['SITEFERRY_TEST_LONG'] === undefined ? 4 : 1;

for (const host of ['p01', 'c01', 'b01']) {
  test(`a crash at any change of ${host} loses nothing and publishes nothing wrong`, async (context) => {
    await warmUp();
    const calm = new Hierarchy('crash-points', smallHierarchy);
    await calm.run(options);
    const { changeCount } = calm.machine(host);
    assert.ok(changeCount > 30, `only ${changeCount} changes`);
    context.diagnostic(`${changeCount} changes of ${host}`);
    const offset = Math.floor(Date.now() / 86_400_000) % stride;
    context.diagnostic(`every ${stride}. change from ${1 + offset}`);
    for (let change = 1 + offset; change <= changeCount; change += stride) {
      const hierarchy = new Hierarchy('crash-points', smallHierarchy);
      hierarchy.machine(host).crashAtChange(change, (change - 1 - offset) % (2 * stride) === 0 ? 'kill' : 'powerCut');
      const { crashCount } = await hierarchy.run(options);
      assert.ok(crashCount <= 1);
    }
  });
}
