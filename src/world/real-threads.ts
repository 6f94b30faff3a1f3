/**
 * A pool of worker threads.
 *
 * Guarantees: workers are made when there is work for them and kept; an idle pool does not keep the process alive, a
 * waiting call does; a worker that crashes costs only the job it ran and is replaced when the next one needs it.
 * A worker is no shelter from hostile input: running out of memory there can end the whole process (reliability.md,
 * finding 3).
 */
import { Worker } from 'node:worker_threads';
import { ReplicationError } from '../errors.ts';
import { type ThreadReply, type ThreadRequest, unpackError } from './thread-protocol.ts';
import type { Job, Threads } from './threads.ts';

export interface RealThreadsOptions {
  /** A module that calls `serveJobs` with every job that will be run. */
  readonly workerUrl: URL;
  /** How many jobs run at once, at least 1. */
  readonly threadCount: number;
}

export function realThreads(options: RealThreadsOptions): Threads {
  return new RealThreads(options);
}

/** One call of `run`, from its entry into the queue to its end. */
interface Call {
  readonly request: ThreadRequest;
  readonly transfer: readonly ArrayBuffer[];
  resolve(output: unknown): void;
  reject(error: unknown): void;
}

interface Thread {
  readonly worker: Worker;
  /** The call it works on; a call that was aborted stays here until the job ends. */
  call: Call | undefined;
}

class RealThreads implements Threads {
  readonly threadCount: number;
  readonly #workerUrl: URL;
  readonly #threads = new Set<Thread>();
  readonly #queue = new Set<Call>();
  #closing: Promise<void> | undefined;

  constructor({ workerUrl, threadCount }: RealThreadsOptions) {
    if (!Number.isSafeInteger(threadCount) || threadCount < 1) throw new RangeError(`not a count: ${threadCount}`);
    this.#workerUrl = workerUrl;
    this.threadCount = threadCount;
  }

  async run<Input, Output>(
    job: Job<Input, Output>,
    input: Input,
    options: { readonly transfer?: readonly ArrayBuffer[]; readonly signal?: AbortSignal } = {},
  ): Promise<Output> {
    const { transfer = [], signal } = options;
    if (this.#closing !== undefined) throw new TypeError('the pool of threads is closed');
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const call: Call = { request: { jobName: job.name, input }, transfer, resolve, reject };
    const abort = (): void => {
      this.#queue.delete(call);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      this.#queue.add(call);
      this.#startCalls();
      return (await promise) as Output;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Hands waiting calls, oldest first, to threads without one. */
  #startCalls(): void {
    for (const call of this.#queue) {
      const thread = this.#freeThread();
      if (thread === undefined) return;
      this.#queue.delete(call);
      try {
        thread.worker.postMessage(call.request, [...call.transfer]);
      } catch (error) {
        // An input that cannot be cloned is a mistake of the caller; the thread never saw it.
        call.reject(error);
        continue;
      }
      thread.call = call;
      thread.worker.ref();
    }
  }

  #freeThread(): Thread | undefined {
    if (this.#closing !== undefined) return undefined;
    for (const thread of this.#threads) if (thread.call === undefined) return thread;
    return this.#threads.size < this.threadCount ? this.#newThread() : undefined;
  }

  #newThread(): Thread {
    // Without our own `execArgv`: `--eval` or `--input-type` of the process would make the worker something else.
    const worker = new Worker(this.#workerUrl, { name: 'siteferry-job', execArgv: [] });
    const thread: Thread = { worker, call: undefined };
    worker.unref();
    this.#threads.add(thread);
    let cause: unknown;
    worker.on('message', (reply: ThreadReply) => this.#finish(thread, reply));
    worker.on('messageerror', (error) => {
      thread.call?.reject(crash('its output cannot be read', error));
      this.#release(thread);
    });
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', (status) => {
      this.#threads.delete(thread);
      thread.call?.reject(crash(`the worker ended with status ${status}`, cause));
      this.#startCalls();
    });
    return thread;
  }

  #finish(thread: Thread, reply: ThreadReply): void {
    if (reply.kind === 'output') thread.call?.resolve(reply.output);
    else thread.call?.reject(unpackError(reply.error));
    this.#release(thread);
  }

  #release(thread: Thread): void {
    thread.call = undefined;
    thread.worker.unref();
    this.#startCalls();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const call of this.#queue) call.reject(crash('the pool of threads was closed', undefined));
    this.#queue.clear();
    await Promise.all([...this.#threads].map((thread) => thread.worker.terminate()));
  }
}

function crash(state: string, cause: unknown): ReplicationError {
  return new ReplicationError('internal', `Cannot run a job: ${state}, expected its output`, { cause });
}
