/**
 * One simulated machine: a disk and a wall clock that last, and at most one process at a time.
 *
 * Each start makes a fresh `World` bound to a new life. `kill` ends the life between two instructions: the page cache
 * stays, locks and ports are free, peers find their connections cut. `powerCut` also takes what was not synced.
 */
import type { LogFields, LogLevel } from '../../src/world/log.ts';
import type { World } from '../../src/world/world.ts';
import { Disk } from './disk.ts';
import type { PowerLoss } from './file-content.ts';
import { Life, type LifeHost } from './life.ts';
import type { Seeded } from './seeded.ts';
import { simClock } from './sim-clock.ts';
import { simDatabase } from './sim-database.ts';
import { simFiles } from './sim-files.ts';
import { simThreads } from './sim-threads.ts';
import type { Simulation } from './simulation.ts';

export interface MachineOptions {
  /** How far its wall clock is ahead of the true time at first. */
  readonly wallOffsetMs?: number;
  readonly threadCount?: number;
}

/** The program of a machine; what it returns is disposed of by `stop`. */
export type Main = (world: World) => Promise<AsyncDisposable | undefined>;

export type Crash = 'kill' | 'powerCut';

export interface LoggedLine {
  readonly atMs: number;
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: LogFields;
}

/** When every simulation begins: 2026-01-05, a Monday, 00:00 UTC. */
export const WALL_START_MS: number = Date.UTC(2026, 0, 5);
const THREAD_COUNT = 2;
/** Lines of its log that a machine remembers. */
const LOGGED_LINE_COUNT_MAX = 1_000;

export class Machine implements LifeHost {
  readonly name: string;
  readonly simulation: Simulation;
  /** Its disk. Outlives everything; tests prepare and look at files here. */
  readonly files: Disk;
  /** How far its wall clock is ahead of the true time; a test may let it jump at any moment. */
  wallOffsetMs: number;
  /** The last lines it logged, all lives together. */
  readonly log: LoggedLine[] = [];
  readonly #threadCount: number;
  readonly #chance: Seeded;
  #life: Life | undefined;
  #lifeCount = 0;
  #service: AsyncDisposable | undefined;
  #failure: unknown;
  #changeCount = 0;
  #crashPoint: { readonly atChange: number; readonly crash: Crash; readonly loss: PowerLoss } | undefined;

  constructor(simulation: Simulation, name: string, options: MachineOptions) {
    this.simulation = simulation;
    this.name = name;
    this.wallOffsetMs = options.wallOffsetMs ?? 0;
    this.#threadCount = options.threadCount ?? THREAD_COUNT;
    this.#chance = simulation.seeded.fork(`machine/${name}`);
    this.files = new Disk({ chance: this.#chance.fork('disk'), wallMs: () => this.wallMs() });
  }

  /** Whether a process lives, from `start` until it ended in any way. */
  get isRunning(): boolean {
    return this.#life !== undefined;
  }

  /** Whether `main` of the present life has resolved. */
  get isUp(): boolean {
    return this.#service !== undefined;
  }

  /** What `main` threw, if the last life ended so. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Changes of disk and database so far in all lives: the points at which `crashAtChange` may strike. */
  get changeCount(): number {
    return this.#changeCount;
  }

  /** Whole milliseconds since the epoch, as this machine believes. */
  wallMs(): number {
    return Math.floor(WALL_START_MS + this.simulation.nowMs + this.wallOffsetMs);
  }

  /**
   * Starts a process. Resolves when `main` has resolved; rejects with what it threw (which ends the process), or when
   * the life ended before. It may be left alone: look at `isUp` and `failure`.
   */
  start(main: Main): Promise<void> {
    const life = this.#begin();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    life.onEnd(() => reject(new Error(`${this.name} ended before it was up`)));
    const world = this.#world(life);
    const run = async (): Promise<void> => {
      try {
        const service = await main(world);
        if (life.isOver) return;
        this.#service = service ?? { [Symbol.asyncDispose]: async () => {} };
        life.event('up', '');
        resolve();
      } catch (error) {
        if (life.isOver) return;
        this.#failure = error;
        reject(error);
        this.#end(`failed: ${error instanceof Error ? error.message : error}`, { isCrash: false, isSudden: false });
      }
    };
    void run();
    return promise;
  }

  /** Starts a process without a program and hands out its world, for tests that play the program themselves. */
  boot(): World {
    const life = this.#begin();
    this.#service = { [Symbol.asyncDispose]: async () => {} };
    return this.#world(life);
  }

  /** Lets the process end in order: disposes of what `main` returned. Settles as that does; never after a crash. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    life.event('stop', '');
    await this.#service?.[Symbol.asyncDispose]();
    if (!life.isOver) this.#end('stopped', { isCrash: false, isSudden: false });
  }

  /** Ends the process at this instant. Nothing when none runs. */
  kill(): void {
    this.#end('kill', { isCrash: true, isSudden: false });
  }

  /** Takes the power from the machine; works on a machine without a process, too. */
  powerCut(loss: PowerLoss = 'some'): void {
    this.#end(`power cut, loses ${loss}`, { isCrash: true, isSudden: true });
    this.files.powerCut(loss);
  }

  /**
   * Crashes the machine right before (or, by chance, right after) the `count`-th change of disk or database from now;
   * 1 is the next. Counting a calm run with `changeCount` gives all points to try.
   */
  crashAtChange(count: number, crash: Crash, loss: PowerLoss = 'some'): void {
    this.#crashPoint = { atChange: this.#changeCount + count, crash, loss };
  }

  /** Ends all faults of the disk, and a crash yet to come. */
  heal(): void {
    this.files.heal();
    this.#crashPoint = undefined;
  }

  beforeChange(): void {
    this.#changeCount++;
    const point = this.#crashPoint;
    if (point === undefined || this.#changeCount < point.atChange) return;
    this.#crashPoint = undefined;
    if (point.crash === 'kill') this.kill();
    else this.powerCut(point.loss);
  }

  #begin(): Life {
    if (this.#life !== undefined) throw new TypeError(`Cannot start ${this.name}: it is running`);
    const number = ++this.#lifeCount;
    this.#life = new Life(this, number, this.#chance.fork(`life/${number}`));
    this.#failure = undefined;
    this.#life.event('start', `life ${number}`);
    return this.#life;
  }

  #end(how: string, { isCrash, isSudden }: { readonly isCrash: boolean; readonly isSudden: boolean }): void {
    const life = this.#life;
    if (life === undefined) return;
    life.event('end', how);
    this.#life = undefined;
    this.#service = undefined;
    life.end(isCrash);
    this.files.processEnded();
    this.simulation.network.lifeEnded(life, isSudden);
  }

  #world(life: Life): World {
    const wallMs = (): number => this.wallMs();
    const random = life.seeded.fork('random');
    const log: World['log'] = (level, event, fields = {}) => {
      if (life.isOver) return;
      this.log.push({ atMs: this.simulation.nowMs, level, event, fields });
      if (this.log.length > LOGGED_LINE_COUNT_MAX) this.log.shift();
      life.event(`log ${level}`, `${event} ${JSON.stringify(fields)}`);
    };
    return {
      clock: simClock(life, wallMs),
      random: { bytes: (count) => random.bytes(count) },
      files: simFiles(life, this.files, wallMs),
      openDatabase: simDatabase(life, this.files),
      network: this.simulation.network.forLife(life, log),
      threads: simThreads(life, this.#threadCount),
      log,
    };
  }
}
