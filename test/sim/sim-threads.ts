/**
 * A pool without threads: jobs run inline after a virtual delay, but their input and output are cloned and transferred
 * as between real threads, so memory shared by mistake shows.
 */
import { ReplicationError } from '../../src/errors.ts';
import type { Job, Threads } from '../../src/world/threads.ts';
import { type Life, never } from './life.ts';

/** How long a job seems to take. */
const JOB_MS_MAX = 5;

interface Waiting {
  begin(): void;
}

export function simThreads(life: Life, threadCount: number): Threads {
  const chance = life.seeded.fork('threads');
  const waiting: Waiting[] = [];
  let runningCount = 0;
  let isDisposed = false;

  const beginNext = (): void => {
    while (runningCount < threadCount) {
      const next = waiting.shift();
      if (next === undefined) return;
      runningCount++;
      next.begin();
    }
  };

  const run = <Input, Output>(
    job: Job<Input, Output>,
    input: Input,
    options: { readonly transfer?: readonly ArrayBuffer[]; readonly signal?: AbortSignal } = {},
  ): Promise<Output> => {
    if (life.isOver) return never();
    const signal = options.signal;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (isDisposed) return Promise.reject(new TypeError(`Cannot run ${job.name}: the pool is closed`));
    // Cloned at once, as the real pool posts it: the caller may reuse what it did not transfer.
    const theirs = structuredClone(input, { transfer: [...(options.transfer ?? [])] });
    return new Promise((resolve, reject) => {
      const work = async (): Promise<void> => {
        try {
          const output = structuredClone(await job.run(theirs));
          if (life.isOver) return;
          life.event('job', job.name);
          resolve(output);
        } catch (error) {
          if (life.isOver) return;
          life.event('job', `${job.name} failed: ${error instanceof Error ? error.message : error}`);
          reject(acrossBorder(error));
        } finally {
          signal?.removeEventListener('abort', giveUp);
          runningCount--;
          if (!life.isOver) beginNext();
        }
      };
      const entry: Waiting = { begin: () => void life.after(chance.between(0, JOB_MS_MAX), () => void work()) };
      const giveUp = (): void => {
        const index = waiting.indexOf(entry);
        // A job that has begun runs to its end; its result is dropped because the promise is settled by then.
        if (index >= 0) waiting.splice(index, 1);
        if (!life.isOver) reject(signal?.reason);
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      waiting.push(entry);
      beginNext();
    });
  };

  return {
    threadCount,
    run,
    async [Symbol.asyncDispose]() {
      isDisposed = true;
    },
  };
}

/** What is left of an error on the other side: the fields of ours, class and message of the language's own. */
function acrossBorder(error: unknown): unknown {
  if (!(error instanceof ReplicationError)) return structuredClone(error);
  const { code, message, retry, hint } = error;
  return new ReplicationError(code, message, hint === undefined ? { retry } : { retry, hint });
}
