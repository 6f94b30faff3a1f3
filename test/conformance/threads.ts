/**
 * What every `Threads` keeps. A pool of real threads must run a worker that serves `conformanceJobs`
 * (`test/world/conformance-worker.ts`); a simulated pool may run them inline.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReplicationError } from '../../src/errors.ts';
import type { AnyJob, Job, Threads } from '../../src/world/threads.ts';
import { patternBytes } from './expect.ts';

export interface ThreadsSetUp extends AsyncDisposable {
  readonly threads: Threads;
}

const addJob: Job<{ readonly a: number; readonly b: number }, number> = {
  name: 'conformance-add',
  run: ({ a, b }) => a + b,
};

const reverseJob: Job<Uint8Array, Uint8Array> = {
  name: 'conformance-reverse',
  run: (input) => input.toReversed(),
};

const failJob: Job<'ours' | 'range' | 'text', never> = {
  name: 'conformance-fail',
  run(kind) {
    if (kind === 'range') throw new RangeError('out of range');
    if (kind === 'text') throw 'only text';
    throw new ReplicationError('delta-invalid', 'Cannot apply: it is bad', { retry: 'never', hint: 'look at it' });
  },
};

/** Jobs under way where this module lives, in a worker or beside the simulation. */
let underWayCount = 0;

/** Waits now and then, as for code to load; tells how many of its kind were under way with it at most. */
const patientJob: Job<'end' | 'fail', number> = {
  name: 'conformance-patient',
  async run(kind) {
    underWayCount++;
    let most = underWayCount;
    for (let turn = 0; turn < 10; turn++) {
      await Promise.resolve();
      most = Math.max(most, underWayCount);
    }
    underWayCount--;
    if (kind === 'fail') throw new RangeError('out of patience');
    return most;
  },
};

/** The jobs a worker must know to run this suite. */
export const conformanceJobs: readonly AnyJob[] = [addJob, reverseJob, failJob, patientJob];

export function threadsConformance(name: string, setUp: (threadCount: number) => Promise<ThreadsSetUp>): void {
  test(`${name}: run() gives the output of the job`, async () => {
    await using world = await setUp(2);
    assert.equal(world.threads.threadCount, 2);
    assert.equal(await world.threads.run(addJob, { a: 1, b: 2 }), 3);
    for (const count of [0, 1, 100_000]) {
      const output = await world.threads.run(reverseJob, patternBytes(count));
      assert.deepEqual(new Uint8Array(output), patternBytes(count).toReversed());
    }
  });

  test(`${name}: transferred buffers change hands, others stay`, async () => {
    await using world = await setUp(1);
    const given = Uint8Array.of(1, 2, 3);
    const kept = Uint8Array.of(4, 5, 6);
    assert.deepEqual(
      new Uint8Array(await world.threads.run(reverseJob, given, { transfer: [given.buffer] })),
      Uint8Array.of(3, 2, 1),
    );
    assert.equal(given.length, 0);
    await world.threads.run(reverseJob, kept);
    assert.deepEqual(kept, Uint8Array.of(4, 5, 6));
  });

  test(`${name}: more calls than threads all end, each with its own output`, async () => {
    await using world = await setUp(2);
    const calls = Array.from({ length: 50 }, (_, index) => world.threads.run(addJob, { a: index, b: 1 }));
    assert.deepEqual(
      await Promise.all(calls),
      Array.from({ length: 50 }, (_, index) => index + 1),
    );
  });

  test(`${name}: with one thread, calls end in the order they began`, async () => {
    await using world = await setUp(1);
    const ended: number[] = [];
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        await world.threads.run(addJob, { a: index, b: 0 });
        ended.push(index);
      }),
    );
    assert.deepEqual(ended, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test(`${name}: a job may wait, and its thread with it`, async () => {
    await using world = await setUp(1);
    const calls = Array.from({ length: 5 }, () => world.threads.run(patientJob, 'end'));
    assert.deepEqual(await Promise.all(calls), [1, 1, 1, 1, 1]);
    await assert.rejects(world.threads.run(patientJob, 'fail'), { name: 'RangeError', message: 'out of patience' });
    assert.equal(await world.threads.run(patientJob, 'end'), 1);
  });

  test(`${name}: errors cross the border: our own with code, verdict and hint, others with their message`, async () => {
    await using world = await setUp(1);
    await assert.rejects(world.threads.run(failJob, 'ours'), (error) => {
      assert.ok(error instanceof ReplicationError);
      assert.equal(error.code, 'delta-invalid');
      assert.equal(error.retry, 'never');
      assert.equal(error.hint, 'look at it');
      assert.equal(error.message, 'Cannot apply: it is bad');
      return true;
    });
    await assert.rejects(world.threads.run(failJob, 'range'), { name: 'RangeError', message: 'out of range' });
    await assert.rejects(world.threads.run(failJob, 'text'), /only text/);
    assert.equal(await world.threads.run(addJob, { a: 2, b: 2 }), 4);
  });

  test(`${name}: a signal aborts a waiting call and a running one, and the pool goes on`, async () => {
    await using world = await setUp(1);
    const reason = new Error('enough');
    const before = AbortSignal.abort(reason);
    await assert.rejects(world.threads.run(addJob, { a: 0, b: 0 }, { signal: before }), (error) => error === reason);
    const controller = new AbortController();
    const calls = Array.from({ length: 3 }, () =>
      world.threads.run(reverseJob, patternBytes(1_000_000), { signal: controller.signal }),
    );
    controller.abort(reason);
    for (const outcome of await Promise.allSettled(calls)) {
      assert.equal(outcome.status === 'rejected' && outcome.reason, reason);
    }
    assert.equal(await world.threads.run(addJob, { a: 1, b: 1 }), 2);
  });
}
