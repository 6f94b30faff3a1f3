/**
 * Takes jobs of one queue and runs them, at most so many at once. The one layer that retries: what a handler throws
 * decides by its verdict whether the job waits and comes again, or is parked for a person.
 */
import { asReplicationError, type ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import type { World } from '../../world/world.ts';
import type { Journal } from '../journal/journal.ts';
import type { HandOn, Job, Queue, QueueName } from './queue.ts';

export interface ConsumerOptions {
  readonly queue: QueueName;
  /** Name of the office, for status messages. */
  readonly component: string;
  readonly parallelCount: number;
  /**
   * Idempotent: it may run again after a kill at any instruction. Must give up when `signal` aborts. What it returns is
   * put as the job is finished.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: most offices hand nothing on and return nothing
  readonly handle: (job: Job, signal: AbortSignal) => Promise<HandOn | undefined | void>;
}

export interface Consumer {
  /** Aborts what runs and resolves when it has ended; the jobs stay in the queue. */
  stop(): Promise<void>;
}

export function startConsumer(
  parts: { world: World; queue: Queue; journal: Journal },
  options: ConsumerOptions,
): Consumer {
  const stopping = new AbortController();
  const ended = new ConsumerLoop(parts, options, stopping.signal).run();
  return {
    async stop() {
      stopping.abort(new Error(`${options.component} stops`));
      await ended;
    },
  };
}

class ConsumerLoop {
  readonly #world: World;
  readonly #queue: Queue;
  readonly #journal: Journal;
  readonly #options: ConsumerOptions;
  readonly #signal: AbortSignal;
  readonly #running = new Set<Promise<void>>();

  constructor(parts: { world: World; queue: Queue; journal: Journal }, options: ConsumerOptions, signal: AbortSignal) {
    this.#world = parts.world;
    this.#queue = parts.queue;
    this.#journal = parts.journal;
    this.#options = options;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      while (this.#running.size < this.#options.parallelCount) {
        const job = this.#queue.take(this.#options.queue);
        if (job === undefined) break;
        this.#start(job);
      }
      await this.#waitForWork();
    }
    await Promise.allSettled(this.#running);
  }

  /** The slot is free before the wake-up, or the loop would find itself full and sleep for ever. */
  #start(job: Job): void {
    const running = this.#runOne(job).finally(() => {
      this.#running.delete(running);
      this.#queue.wake();
    });
    this.#running.add(running);
  }

  /** Until the queue changes, a slot becomes free, a waiting job comes due, or the consumer stops. */
  async #waitForWork(): Promise<void> {
    if (this.#signal.aborted) return;
    const waiting = new AbortController();
    const signal = AbortSignal.any([this.#signal, waiting.signal]);
    const isFull = this.#running.size >= this.#options.parallelCount;
    const dueMs = isFull ? undefined : this.#queue.nextDueMs(this.#options.queue);
    const wakers = [this.#queue.changed(signal)];
    if (dueMs !== undefined) wakers.push(this.#world.clock.sleep(dueMs, signal));
    await Promise.race(wakers).catch(() => {});
    waiting.abort(new Error('no longer waiting'));
    await Promise.allSettled(wakers);
  }

  async #runOne(job: Job): Promise<void> {
    try {
      const next = await this.#options.handle(job, this.#signal);
      await this.#queue.finish(job, next ?? undefined);
    } catch (cause) {
      if (this.#signal.aborted) return this.#queue.release(job);
      await this.#settleFailure(job, asReplicationError(cause)).catch((error: unknown) => {
        this.#world.log('error', 'a failure could not be recorded', { key: job.key, cause: String(error) });
        this.#queue.release(job);
      });
    }
  }

  async #settleFailure(job: Job, error: ReplicationError): Promise<void> {
    const fields = {
      queue: job.queue,
      key: job.key,
      code: error.code,
      attempts: job.attempts + 1,
      message: error.message,
    };
    if (error.code === 'internal') {
      const stack = error.cause instanceof Error ? error.cause.stack : undefined;
      this.#world.log('error', 'job failed unexpectedly', { ...fields, stack });
    } else {
      this.#world.log('warn', 'job failed', fields);
    }
    if (error.retry !== 'never') {
      await this.#queue.defer(job, this.#delayMs(job.attempts), error);
      return;
    }
    await this.#queue.park(job, error);
    await this.#journal.tell(
      30006,
      this.#options.component,
      `${job.queue} ${job.key} waits for a person: ${error.message}`,
    );
  }

  /** Doubles from `retryDelayMsMin`; up to a quarter of chance on top keeps crowds apart. */
  #delayMs(attempts: number): number {
    const baseMs = Math.min(limits.retryDelayMsMax, limits.retryDelayMsMin * 2 ** Math.min(attempts, 30));
    const chance = (this.#world.random.bytes(1)[0] ?? 0) / 255;
    return Math.min(limits.retryDelayMsMax, baseMs * (1 + chance / 4));
  }
}
