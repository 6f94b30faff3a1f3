/** What every `Clock` keeps. Sleeps are short, so that the real clock may run it too. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../src/world/clock.ts';

export interface ClockSetUp extends AsyncDisposable {
  readonly clock: Clock;
}

export function clockConformance(name: string, setUp: () => Promise<ClockSetUp>): void {
  test(`${name}: sleep() lasts at least its duration in monotonic time`, async () => {
    await using world = await setUp();
    for (const durationMs of [0, 1, 3, 2.5]) {
      const startMs = world.clock.monotonicMs();
      await world.clock.sleep(durationMs);
      const elapsedMs = world.clock.monotonicMs() - startMs;
      assert.ok(elapsedMs >= durationMs, `slept ${elapsedMs} ms, expected at least ${durationMs} ms`);
    }
  });

  test(`${name}: shorter sleeps end first`, async () => {
    await using world = await setUp();
    const ended: string[] = [];
    const sleeps = [
      world.clock.sleep(12).then(() => ended.push('long')),
      world.clock.sleep(1).then(() => ended.push('short')),
    ];
    await Promise.all(sleeps);
    assert.deepEqual(ended, ['short', 'long']);
  });

  test(`${name}: monotonicMs() never goes back`, async () => {
    await using world = await setUp();
    let lastMs = world.clock.monotonicMs();
    for (let round = 0; round < 1000; round += 1) {
      const nowMs = world.clock.monotonicMs();
      assert.ok(nowMs >= lastMs);
      lastMs = nowMs;
    }
  });

  test(`${name}: wallMs() is whole and finite`, async () => {
    await using world = await setUp();
    assert.ok(Number.isFinite(world.clock.wallMs()));
    assert.ok(world.clock.wallMs() >= 0);
  });

  test(`${name}: sleep() rejects with the reason of a signal that aborts`, async () => {
    await using world = await setUp();
    const controller = new AbortController();
    const reason = new Error('enough');
    const sleep = world.clock.sleep(3_600_000, controller.signal);
    controller.abort(reason);
    await assert.rejects(sleep, (error) => error === reason);
  });

  test(`${name}: sleep() rejects with the reason of a signal aborted before`, async () => {
    await using world = await setUp();
    const reason = new Error('too late');
    await assert.rejects(world.clock.sleep(0, AbortSignal.abort(reason)), (error) => error === reason);
  });
}
