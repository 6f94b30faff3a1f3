import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { threadId } from 'node:worker_threads';
import { realThreads } from '../../src/world/real-threads.ts';
import { serveJobs } from '../../src/world/thread-protocol.ts';
import { rejectsWithCode } from '../conformance/expect.ts';
import { threadsConformance } from '../conformance/threads.ts';
import { crashJob, uncloneableJob, waitJob, whereJob } from './thread-jobs.ts';

const workerUrl = new URL('./conformance-worker.ts', import.meta.url);

threadsConformance('realThreads', async (threadCount) => {
  const threads = realThreads({ workerUrl, threadCount });
  return { threads, [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose]() };
});

test('realThreads runs jobs outside the main thread, at most threadCount at once', async () => {
  await using threads = realThreads({ workerUrl, threadCount: 2 });
  assert.notEqual(await threads.run(whereJob, null), threadId);
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const waits = [threads.run(waitJob, flag), threads.run(waitJob, flag)];
  let isThirdDone = false;
  const third = threads.run(whereJob, null).then(() => {
    isThirdDone = true;
  });
  // Another pool's answer takes longer than a free thread of this one would.
  await using other = realThreads({ workerUrl, threadCount: 1 });
  await other.run(whereJob, null);
  assert.equal(isThirdDone, false);
  while (Atomics.notify(flag, 0, 2) === 0) await new Promise((resolve) => setImmediate(resolve));
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
  await Promise.all([...waits, third]);
});

test('realThreads rejects the job of a crashed worker with internal, keeps the others and replaces the worker', async () => {
  await using threads = realThreads({ workerUrl, threadCount: 1 });
  const before = await threads.run(whereJob, null);
  const crashed = rejectsWithCode(threads.run(crashJob, 3), 'internal');
  const after = threads.run(whereJob, null);
  assert.equal((await crashed).retry, 'later');
  assert.notEqual(await after, before);
});

test('realThreads rejects every job with internal when the worker cannot be loaded', async () => {
  await using threads = realThreads({ workerUrl: new URL('./absent.ts', import.meta.url), threadCount: 2 });
  await Promise.all([1, 2, 3].map(() => rejectsWithCode(threads.run(whereJob, null), 'internal')));
});

test('realThreads refuses what cannot be cloned, on the way in and out, and goes on', async () => {
  await using threads = realThreads({ workerUrl, threadCount: 1 });
  await assert.rejects(threads.run(uncloneableJob, (() => {}) as never), { name: 'DataCloneError' });
  await assert.rejects(threads.run(uncloneableJob, null), { name: 'DataCloneError' });
  await assert.rejects(threads.run({ name: 'test-unknown', run: () => 1 }, null), TypeError);
  assert.equal(typeof (await threads.run(whereJob, null)), 'number');
});

test('realThreads rejects running and waiting calls when it is disposed, and later ones as a mistake', async () => {
  const threads = realThreads({ workerUrl, threadCount: 1 });
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const calls = [threads.run(waitJob, flag), threads.run(waitJob, flag)].map((call) =>
    rejectsWithCode(call, 'internal'),
  );
  await threads[Symbol.asyncDispose]();
  await Promise.all(calls);
  await assert.rejects(threads.run(whereJob, null), TypeError);
});

test('realThreads lets a process with an idle pool end', () => {
  const program = `
    const { realThreads } = await import(${JSON.stringify(new URL('../../src/world/real-threads.ts', import.meta.url).href)});
    const { whereJob } = await import(${JSON.stringify(new URL('./thread-jobs.ts', import.meta.url).href)});
    const threads = realThreads({ workerUrl: new URL(${JSON.stringify(workerUrl.href)}), threadCount: 2 });
    console.log(await threads.run(whereJob, null));
  `;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 10_000 });
  assert.match(output.toString(), /^\d+\n$/);
});

test('serveJobs() refuses to run in the main thread', () => {
  assert.throws(() => serveJobs([]), TypeError);
});
