/** One direction between two simulated machines: its delay, its rate, its faults, and how data travels on it. */
import type { Seeded } from './seeded.ts';
import type { Simulation } from './simulation.ts';

/** What tests may change at any time. */
export interface LinkConditions {
  latencyMsMin: number;
  latencyMsMax: number;
  /** All traffic of this direction shares it; unlimited when infinite. */
  rateBytesPerSecond: number;
  /** `silent`: nothing arrives, and nobody is told. `cut`: whoever sends finds the connection broken. */
  state: 'up' | 'silent' | 'cut';
  /** Probability that a request sent in this direction loses its connection somewhere between begin and end. */
  cutChance: number;
  /** Probability that one piece of a body arrives with one bit changed. */
  corruptChance: number;
}

/** A silent link is tried again after this, doubling, as TCP does. */
const RETRY_MS_MIN = 200;
const RETRY_MS_MAX = 5_000;

export class Link {
  readonly name: string;
  readonly conditions: LinkConditions;
  readonly chance: Seeded;
  readonly #simulation: Simulation;
  /** When the last byte given to it so far will have left. */
  #freeAtMs = 0;

  constructor(parts: { name: string; conditions: LinkConditions; chance: Seeded; simulation: Simulation }) {
    this.name = parts.name;
    this.conditions = parts.conditions;
    this.chance = parts.chance;
    this.#simulation = parts.simulation;
  }

  latencyMs(): number {
    return this.chance.between(this.conditions.latencyMsMin, this.conditions.latencyMsMax);
  }

  /** Puts `bytes` behind what waits already; returns when the last of them has left. */
  depart(bytes: number): number {
    this.#freeAtMs =
      Math.max(this.#simulation.nowMs, this.#freeAtMs) + (bytes / this.conditions.rateBytesPerSecond) * 1000;
    return this.#freeAtMs;
  }
}

export interface FlowParts {
  readonly simulation: Simulation;
  readonly link: Link;
  /** The link is cut. */
  readonly onCut: () => void;
}

/** What one side of one connection sends, in order. */
export class Flow {
  readonly #simulation: Simulation;
  readonly #link: Link;
  readonly #onCut: () => void;
  #lastArrivalMs = 0;
  #isBroken = false;
  /** Settles the carrying under way. */
  #settle: ((isCarried: boolean) => void) | undefined;

  constructor(parts: FlowParts) {
    this.#simulation = parts.simulation;
    this.#link = parts.link;
    this.#onCut = parts.onCut;
  }

  /**
   * Sends `bytes`; `arrive` is called when they are there. Resolves with true when the next may be sent, with false
   * when the connection broke before. One at a time.
   */
  carry(bytes: number, arrive: () => void): Promise<boolean> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#attempt(bytes, arrive, RETRY_MS_MIN);
    });
  }

  /** From now on nothing leaves and nothing arrives. */
  break(): void {
    this.#isBroken = true;
    this.#settle?.(false);
  }

  #attempt(bytes: number, arrive: () => void, retryMs: number): void {
    if (this.#isBroken) {
      this.#settle?.(false);
      return;
    }
    const state = this.#link.conditions.state;
    if (state === 'cut') {
      this.#onCut();
      return;
    }
    if (state === 'silent') {
      this.#simulation.schedule(retryMs, () => this.#attempt(bytes, arrive, Math.min(2 * retryMs, RETRY_MS_MAX)));
      return;
    }
    const nowMs = this.#simulation.nowMs;
    const leftMs = this.#link.depart(bytes);
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, leftMs + this.#link.latencyMs());
    this.#simulation.schedule(this.#lastArrivalMs - nowMs, () => {
      if (!this.#isBroken) arrive();
    });
    if (leftMs <= nowMs) this.#settle?.(true);
    else this.#simulation.schedule(leftMs - nowMs, () => this.#settle?.(!this.#isBroken));
  }
}
