/**
 * Durable work. A job is a row in the database until it is finished; killed at any moment, it is there again after the
 * start and nothing needs to be told twice.
 *
 * Guarantees: one job per (queue, key), so putting work again coalesces instead of piling up; smaller priority first,
 * then order of creation; work put while its job runs makes the job run once more. Deliberately absent: delivery to
 * other processes (one process owns a node's directory) and exactly-once execution (handlers are idempotent).
 *
 * "Running" lives in memory only: a dead process runs nothing. Waiting is by wall clock, as it must survive restarts;
 * a clock set back cannot stretch a wait beyond `retryDelayMsMax`.
 */
import { z } from 'zod';
import { type ErrorCode, isErrorCode, ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import { priorities } from '../../model/package.ts';
import type { WaitingMessage } from '../../wire/api.ts';
import type { Database, RecordValue } from '../../world/database.ts';
import type { World } from '../../world/world.ts';

/** The inboxes of the roles, in the order in which a package passes through them. */
export type QueueName =
  | 'snapshot'
  | 'distribute'
  | 'inventory'
  | 'replicate'
  | 'schedule'
  | 'send'
  | 'prepare'
  | 'pull'
  | 'despool';

export interface Job<Body extends RecordValue = RecordValue> {
  readonly queue: QueueName;
  readonly key: string;
  readonly body: Body;
  readonly priority: number;
  /** Order of creation. */
  readonly sequence: number;
  /** Failures since the job was put or last replaced. */
  readonly attempts: number;
  /** Not to be run before this wall-clock moment; 0 when ready. `Infinity` cannot be stored: see `isParked`. */
  readonly notBeforeMs: number;
  /** Only a person, or putting it again, moves it. */
  readonly isParked: boolean;
  readonly error?: JobError;
  /** Different at each put of anything: tells a finished run whether it was overtaken. */
  readonly revision: number;
}

/** Why it waits, and what a person may do about it. */
export type JobError = { readonly code: ErrorCode; readonly message: string; readonly hint?: string };

export interface PutOptions {
  readonly priority?: number;
  /** Keep a job that is there already as it is, with its body, delay and error: for reminders rather than new work. */
  readonly keepWaiting?: boolean;
  /** Not to be run before so long. */
  readonly delayMs?: number;
}

/** What another office makes of a finished job; it keeps the key. */
export interface HandOn {
  readonly queue: QueueName;
  readonly body: RecordValue;
  readonly options?: PutOptions;
}

const table = 'queue';

const storedJob = z.object({
  queue: z.string(),
  key: z.string(),
  body: z.unknown(),
  priority: z.number(),
  sequence: z.number(),
  attempts: z.number(),
  notBeforeMs: z.number(),
  isParked: z.boolean(),
  error: z
    .object({ code: z.string().refine(isErrorCode), message: z.string(), hint: z.string().optional() })
    .optional(),
  revision: z.number(),
});

export class Queue {
  readonly #world: World;
  readonly #database: Database;
  readonly #jobs = new Map<string, Job>();
  /** Row key to the job as it was taken. */
  readonly #running = new Map<string, Job>();
  readonly #waiters = new Set<() => void>();
  #sequence = 0;
  #revision = 0;

  constructor(world: World, database: Database) {
    this.#world = world;
    this.#database = database;
    for (const { key, value } of database.entries(table)) {
      const job = storedJob.parse(value) as Job;
      this.#jobs.set(key, job);
      this.#sequence = Math.max(this.#sequence, job.sequence);
      this.#revision = Math.max(this.#revision, job.revision);
    }
  }

  /** On return the work is durable. */
  async put(queue: QueueName, key: string, body: RecordValue, options: PutOptions = {}): Promise<void> {
    await this.#store(this.#merged(queue, key, body, options));
  }

  /** What a put makes of the job that may be there already. */
  #merged(queue: QueueName, key: string, body: RecordValue, options: PutOptions): Job {
    const id = rowKey(queue, key);
    const old = this.#jobs.get(id);
    if (old === undefined && this.#jobs.size >= limits.queuedJobCountMax) {
      throw new ReplicationError('limit-exceeded', `Cannot queue ${id}: ${this.#jobs.size} jobs are queued already`);
    }
    const waiting = options.keepWaiting === true && old !== undefined ? old : undefined;
    const delayed = options.delayMs === undefined ? 0 : this.#world.clock.wallMs() + options.delayMs;
    return {
      queue,
      key,
      body: waiting?.body ?? body,
      priority: options.priority ?? old?.priority ?? priorities.medium,
      sequence: old?.sequence ?? ++this.#sequence,
      attempts: waiting?.attempts ?? 0,
      notBeforeMs: waiting?.notBeforeMs ?? delayed,
      isParked: waiting?.isParked ?? false,
      ...(waiting?.error === undefined ? {} : { error: waiting.error }),
      revision: ++this.#revision,
    };
  }

  /** Takes the next job that is ready, or `undefined`. The taker must `finish`, `defer`, `park` or `release` it, once. */
  take(queue: QueueName): Job | undefined {
    const nowMs = this.#world.clock.wallMs();
    let best: Job | undefined;
    for (const job of this.#jobs.values()) {
      if (job.queue !== queue || job.isParked || this.#waitMs(job, nowMs) > 0) continue;
      if (this.#running.has(rowKey(job.queue, job.key))) continue;
      if (best === undefined || goesBefore(job, best)) best = job;
    }
    if (best !== undefined) this.#running.set(rowKey(best.queue, best.key), best);
    return best;
  }

  /** Milliseconds until some waiting job of `queue` may run, or `undefined` when none waits. */
  nextDueMs(queue: QueueName): number | undefined {
    const nowMs = this.#world.clock.wallMs();
    let due: number | undefined;
    for (const job of this.#jobs.values()) {
      if (job.queue !== queue || job.isParked || this.#running.has(rowKey(job.queue, job.key))) continue;
      const waitMs = this.#waitMs(job, nowMs);
      due = due === undefined ? waitMs : Math.min(due, waitMs);
    }
    return due;
  }

  #waitMs(job: Job, nowMs: number): number {
    const waitMs = job.notBeforeMs - nowMs;
    // A moment further away than any delay we give was written under another clock.
    return waitMs > limits.retryDelayMsMax ? 0 : Math.max(0, waitMs);
  }

  /**
   * The job is done, and `next`, when given, is what another office makes of it: in one transaction, so that nobody ever
   * sees both or neither. When the job was put again meanwhile it becomes ready instead of vanishing.
   */
  async finish(job: Job, next?: HandOn): Promise<void> {
    const id = rowKey(job.queue, job.key);
    const now = this.#jobs.get(id);
    const isOvertaken = now?.revision !== job.revision;
    // In memory at once: nobody may still find the old job when the new one can already be taken.
    if (!isOvertaken) this.#jobs.delete(id);
    const merged =
      next === undefined
        ? undefined
        : this.#merged(next.queue, job.key, next.body, { priority: job.priority, ...next.options });
    const nextId = merged === undefined ? id : rowKey(merged.queue, merged.key);
    const replaced = this.#jobs.get(nextId);
    if (merged !== undefined) this.#jobs.set(nextId, merged);
    try {
      await this.#database.transaction((transaction) => {
        if (!isOvertaken) transaction.remove(table, id);
        if (merged !== undefined) transaction.put(table, nextId, { ...merged } as RecordValue);
      });
    } catch (error) {
      // A full disk: the job is not done after all, and will run again.
      if (merged !== undefined && this.#jobs.get(nextId) === merged) {
        if (replaced === undefined) this.#jobs.delete(nextId);
        else this.#jobs.set(nextId, replaced);
      }
      if (now !== undefined && !isOvertaken && !this.#jobs.has(id)) this.#jobs.set(id, now);
      throw error;
    } finally {
      this.release(job);
    }
  }

  #isLatest(job: Job): boolean {
    return this.#jobs.get(rowKey(job.queue, job.key))?.revision === job.revision;
  }

  /** Tries again after `delayMs`, by reason of `error`. */
  async defer(job: Job, delayMs: number, error: ReplicationError): Promise<void> {
    const notBeforeMs = this.#world.clock.wallMs() + Math.min(delayMs, limits.retryDelayMsMax);
    await this.#amend(job, (now) => ({ ...now, notBeforeMs, attempts: now.attempts + 1, error: briefly(error) }));
    this.release(job);
  }

  /** Waits for a person, or for being put again. */
  async park(job: Job, error: ReplicationError): Promise<void> {
    await this.#amend(job, (now) => ({ ...now, isParked: true, attempts: now.attempts + 1, error: briefly(error) }));
    this.release(job);
  }

  /** Keeps progress in the body of a running job; without effect when the job was put again meanwhile. */
  async keepProgress(job: Job, body: RecordValue): Promise<void> {
    await this.#amend(job, (now) => ({ ...now, body }));
  }

  /** Gives a running job back untouched. Without effect when it is not running, or runs anew by now. */
  release(job: Job): void {
    const id = rowKey(job.queue, job.key);
    if (this.#running.get(id) === job) this.#running.delete(id);
    this.wake();
  }

  /** Ends the waiting of all jobs `chosen`: what they waited for has changed. */
  async makeReady(chosen: (job: Job) => boolean): Promise<void> {
    const waiting = [...this.#jobs.values()].filter((job) => chosen(job) && (job.isParked || job.notBeforeMs > 0));
    const ready = waiting.map(
      ({ error: _error, ...job }): Job => ({ ...job, notBeforeMs: 0, isParked: false, attempts: 0 }),
    );
    for (const job of ready) this.#jobs.set(rowKey(job.queue, job.key), job);
    await this.#database.transaction((transaction) => {
      for (const job of ready) {
        // Put again, or finished, since: then that is what counts.
        if (this.#isLatest(job)) transaction.put(table, rowKey(job.queue, job.key), { ...job } as RecordValue);
      }
    });
    this.wake();
  }

  /** Whether the body of some job of `queue` names this payload. */
  refersTo(queue: QueueName, sha256: string): boolean {
    return [...this.#jobs.values()].some((job) => job.queue === queue && isNaming(job.body, sha256));
  }

  find(queue: QueueName, key: string): Job | undefined {
    return this.#jobs.get(rowKey(queue, key));
  }

  /** Forgets a job that is not running; a running one is forgotten when it finishes. */
  async remove(queue: QueueName, key: string): Promise<void> {
    const id = rowKey(queue, key);
    if (this.#running.has(id) || !this.#jobs.has(id)) return;
    this.#jobs.delete(id);
    await this.#database.transaction((transaction) => transaction.remove(table, id));
  }

  /** Everything not finished, for people: in order of queue and creation. */
  waiting(): WaitingMessage[] {
    const nowMs = this.#world.clock.wallMs();
    const jobs = [...this.#jobs.values()].sort((left, right) => left.sequence - right.sequence);
    return jobs.map((job) => {
      const waitMs = this.#waitMs(job, nowMs);
      const isRunning = this.#running.has(rowKey(job.queue, job.key));
      return {
        queue: job.queue,
        key: job.key,
        state: isRunning ? 'running' : job.isParked ? 'parked' : waitMs > 0 ? 'waiting' : 'ready',
        attempts: job.attempts,
        ...(waitMs > 0 ? { untilMs: nowMs + waitMs } : {}),
        ...(job.error === undefined ? {} : { error: job.error }),
      };
    });
  }

  /** Resolves at the next change of any job; rejects when `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const wake = (): void => {
        this.#waiters.delete(wake);
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const abort = (): void => {
        this.#waiters.delete(wake);
        reject(signal.reason);
      };
      this.#waiters.add(wake);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** Lets everyone look again who waits in `changed`. */
  wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }

  async #amend(job: Job, change: (now: Job) => Job): Promise<void> {
    const now = this.#jobs.get(rowKey(job.queue, job.key));
    if (now !== undefined && this.#isLatest(job)) await this.#store(change(now));
  }

  async #store(job: Job): Promise<void> {
    const id = rowKey(job.queue, job.key);
    this.#jobs.set(id, job);
    try {
      await this.#database.transaction((transaction) => transaction.put(table, id, { ...job } as RecordValue));
    } finally {
      this.wake();
    }
  }
}

function rowKey(queue: QueueName, key: string): string {
  return `${queue}/${key}`;
}

function isNaming(body: RecordValue, sha256: string): boolean {
  return typeof body === 'object' && body !== null && 'sha256' in body && body.sha256 === sha256;
}

function goesBefore(left: Job, right: Job): boolean {
  return left.priority === right.priority ? left.sequence < right.sequence : left.priority < right.priority;
}

function briefly({ code, message, hint }: ReplicationError): JobError {
  return { code, message: message.slice(0, 500), ...(hint === undefined ? {} : { hint }) };
}
