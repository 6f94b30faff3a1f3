/**
 * Keeps a process alive: one that ends is started again after a short delay, however often it is killed. Only one that
 * keeps failing by itself right after its start is given up, with its last words.
 */
import { ReplicationError } from '../../errors.ts';
import type { Clock } from '../../world/clock.ts';
import { type SpawnedProcess, type SpawnOptions, spawnProcess } from '../../world/processes.ts';

/** Failed starts in a row after which a process is given up. */
const failedStartCountMax = 20;
/** A process that ends sooner has not started. */
const startMs = 1_000;
const restartDelayMs = 150;
/** How long a process may take to stop before it is killed. */
const stopMs = 10_000;
const lastLineCountMax = 8;

export interface SupervisedOptions {
  readonly clock: Clock;
  readonly name: string;
  readonly command: SpawnOptions['command'];
  readonly env: NonNullable<SpawnOptions['env']>;
  /** Told at every start. */
  readonly onStart: (pid: number) => void;
}

export class Supervised {
  readonly name: string;
  /** Rejects when the process is given up; never resolves otherwise. */
  readonly givenUp: Promise<never>;
  readonly #options: SupervisedOptions;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  #process: SpawnedProcess | undefined;
  #starts = 0;
  #lastLines: string[] = [];

  constructor(options: SupervisedOptions) {
    this.name = options.name;
    this.#options = options;
    const { promise, reject } = Promise.withResolvers<never>();
    this.givenUp = promise;
    // Somebody waits for it as long as the demo runs; afterwards nobody has to.
    promise.catch(() => undefined);
    this.#ended = this.#keepAlive().catch(reject);
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get restarts(): number {
    return Math.max(0, this.#starts - 1);
  }

  async #keepAlive(): Promise<void> {
    const { clock, command, env, onStart } = this.#options;
    for (let failedStarts = 0; ; ) {
      const startedMs = clock.monotonicMs();
      this.#lastLines = [];
      const onLine = (stream: string, line: string): void => this.#keepLine(stream, line);
      const running = await spawnProcess({ command, env, onLine });
      this.#process = running;
      if (this.#stopping.signal.aborted) running.kill('SIGTERM');
      this.#starts += 1;
      onStart(running.pid);
      const { exitCode, signal } = await running.exited;
      if (this.#stopping.signal.aborted) return;
      // Whoever was killed from outside did not fail.
      const hasFailed = signal === null && clock.monotonicMs() - startedMs < startMs;
      failedStarts = hasFailed ? failedStarts + 1 : 0;
      if (failedStarts >= failedStartCountMax) {
        const words = this.#lastLines.join('\n  ');
        throw new ReplicationError(
          'process-failed',
          `${this.name} ended ${failedStarts} times right after its start, with ${exitCode}. Its last words:\n  ${words}`,
        );
      }
      await clock.sleep(restartDelayMs, this.#stopping.signal).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
    }
  }

  #keepLine(stream: string, line: string): void {
    if (stream !== 'stderr') return;
    this.#lastLines.push(line);
    if (this.#lastLines.length > lastLineCountMax) this.#lastLines.shift();
  }

  /** On return nothing of it runs. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#process?.kill('SIGTERM');
    const patience = new AbortController();
    const impatience = this.#options.clock.sleep(stopMs, patience.signal).then(
      () => this.#process?.kill('SIGKILL'),
      () => undefined,
    );
    await this.#ended;
    patience.abort();
    await impatience;
  }
}
