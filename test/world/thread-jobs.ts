/** Jobs that only real threads can stand: they crash, or tell where they run. */
import { threadId } from 'node:worker_threads';
import type { AnyJob, Job } from '../../src/world/threads.ts';

export const crashJob: Job<number, never> = { name: 'test-crash', run: (status) => process.exit(status) };
export const whereJob: Job<null, number> = { name: 'test-where', run: () => threadId };
export const uncloneableJob: Job<null, () => void> = { name: 'test-uncloneable', run: () => () => {} };
/** Blocks its thread until another one has set the first number. */
export const waitJob: Job<Int32Array, string> = { name: 'test-wait', run: (flag) => Atomics.wait(flag, 0, 0) };

export const realOnlyJobs: readonly AnyJob[] = [crashJob, whereJob, uncloneableJob, waitJob];
