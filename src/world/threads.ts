/**
 * Computation off the main thread. A job is a named pure function over transferable bytes; the same table of jobs is
 * known to the main thread and to the worker (`src/worker.ts`), so a simulated pool may run a job inline.
 */

/**
 * A pure function that may run in another thread. `Input` and `Output` must survive structured cloning.
 * `run` must not touch the outside, keep state, or return memory that it will use again. It may wait, for code to load;
 * its thread waits with it and takes no other job.
 */
export interface Job<Input, Output> {
  /** Unique in the table of jobs. */
  readonly name: string;
  run(input: Input): Output | Promise<Output>;
}

/** What the table of jobs holds: any job. `never` as input, because only `Threads.run` knows the pairing. */
export type AnyJob = Job<never, unknown>;

export interface Threads extends AsyncDisposable {
  /**
   * Runs one job. Rejects with what the job threw (message and, for our own errors, code survive the thread border).
   * At most `threadCount` jobs run at once; further calls wait in order. A job that has started runs to its end even
   * when `signal` aborts, but the call rejects at once with `signal.reason`. Buffers in `transfer` change hands and
   * must not be touched again by the caller.
   */
  run<Input, Output>(
    job: Job<Input, Output>,
    input: Input,
    options?: { readonly transfer?: readonly ArrayBuffer[]; readonly signal?: AbortSignal },
  ): Promise<Output>;
  /** How many jobs run at once; at least 1. */
  readonly threadCount: number;
}
