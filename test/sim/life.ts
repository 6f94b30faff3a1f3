/**
 * One life of a simulated process, from its start to its crash or its orderly end.
 *
 * Guarantees: once a life is over, nothing that was begun in it settles and nothing begun later in it ever will, so its
 * code simply stops where it waits. A change that was under way at the moment of a crash happens or not, by seeded
 * chance (a write also in part): work may have been done although nobody was told.
 */
import type { Seeded } from './seeded.ts';
import type { Simulation } from './simulation.ts';
import type { Timer } from './timeline.ts';

/** One effect on the world that takes time. */
export interface Operation<Result> {
  readonly name: string;
  /** What it is about, for the trace. */
  readonly facts: string;
  readonly delayMs: number;
  /** Whether it changes what a restarted process will find. Such operations are the crash points. */
  readonly isChange?: boolean;
  /** Does it, at once and wholly, at the end of the delay; may throw what the caller shall get. */
  apply(): Result;
  /** What a crash in the middle of it may leave, if that can be less than all and more than nothing. */
  applyPartly?(): void;
  /** Bytes for the hash of the trace. */
  readonly content?: Uint8Array;
}

/** What the life needs of its machine. */
export interface LifeHost {
  readonly name: string;
  readonly simulation: Simulation;
  /** Called right before a change takes effect; may end the life. */
  beforeChange(): void;
}

export class Life {
  readonly host: LifeHost;
  readonly number: number;
  readonly startMs: number;
  readonly seeded: Seeded;
  readonly #changesUnderWay = new Set<Operation<unknown>>();
  readonly #onEnd = new Set<() => void>();
  #isOver = false;

  constructor(host: LifeHost, number: number, seeded: Seeded) {
    this.host = host;
    this.number = number;
    this.startMs = host.simulation.nowMs;
    this.seeded = seeded;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get simulation(): Simulation {
    return this.host.simulation;
  }

  /** Calls `fire` after `delayMs`, unless the life is over by then. */
  after(delayMs: number, fire: () => void): Timer {
    return this.simulation.schedule(delayMs, () => {
      if (!this.#isOver) fire();
    });
  }

  /** Carries out one operation; never settles if the life ends before it did. */
  perform<Result>(operation: Operation<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return;
      if (operation.isChange === true) this.#changesUnderWay.add(operation);
      this.after(operation.delayMs, () => {
        if (operation.isChange === true) {
          this.host.beforeChange();
          if (this.#isOver) return;
          this.#changesUnderWay.delete(operation);
        }
        try {
          const result = operation.apply();
          this.event(operation.name, operation.facts, operation.content);
          resolve(result);
        } catch (error) {
          this.event(operation.name, `${operation.facts} failed: ${error instanceof Error ? error.message : error}`);
          reject(error);
        }
      });
    });
  }

  event(operation: string, facts: string, content?: Uint8Array): void {
    this.simulation.trace.event(this.simulation.nowMs, this.host.name, operation, facts, content);
  }

  /** `clean` is called when the life ends, in order of registration. Returns how to take it back. */
  onEnd(clean: () => void): () => void {
    this.#onEnd.add(clean);
    return () => this.#onEnd.delete(clean);
  }

  /** Ends it. `isCrash`: each change under way may still happen, by chance. */
  end(isCrash: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const operation of isCrash ? this.#changesUnderWay : []) {
      const outcome = this.seeded.pick(['none', 'whole', 'partly'] as const);
      try {
        if (outcome === 'whole') operation.apply();
        if (outcome === 'partly') operation.applyPartly?.();
      } catch {
        // It would have failed, and there is nobody left to tell.
      }
    }
    this.#changesUnderWay.clear();
    for (const clean of this.#onEnd) clean();
    this.#onEnd.clear();
  }
}

/** A promise for those who are dead. */
export function never<Result>(): Promise<Result> {
  return new Promise(() => {});
}
