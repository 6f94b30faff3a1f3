/**
 * A cluster of simulated machines on one virtual time line, wholly determined by a seed.
 *
 * Guarantees: two runs of the same code with the same seed see the same events in the same order, and prove it by
 * `trace.digest()`. Nothing here uses real time, real chance, real input or output, or other threads.
 */
import { Machine, type MachineOptions } from './machine.ts';
import { Seeded } from './seeded.ts';
import { SimNetwork } from './sim-network.ts';
import { Timeline } from './timeline.ts';
import { Trace } from './trace.ts';

/** Lines of the trace that a failure message shows. */
const TAIL_LINE_COUNT = 40;

export class Simulation extends Timeline {
  readonly seed: string;
  readonly seeded: Seeded;
  readonly trace: Trace = new Trace();
  readonly network: SimNetwork;
  readonly #machines: Machine[] = [];

  constructor(seed: string | number) {
    super(() => this.describe());
    this.seed = String(seed);
    this.seeded = new Seeded(seed);
    this.network = new SimNetwork(this);
  }

  get machines(): readonly Machine[] {
    return this.#machines;
  }

  /** A new machine, switched off, with an empty disk. Its name is its host name in URLs. */
  machine(name: string, options: MachineOptions = {}): Machine {
    if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new RangeError(`Cannot name a machine ${name}: expected a host name`);
    if (this.#machines.some((machine) => machine.name === name)) throw new RangeError(`There is a machine ${name}`);
    const machine = new Machine(this, name, options);
    this.#machines.push(machine);
    return machine;
  }

  /** Ends all faults: partitions, chances, scripts. What is down stays down. */
  heal(): void {
    this.network.heal();
    for (const machine of this.#machines) machine.heal();
  }

  /** Seed, time and last events, for messages. */
  describe(): string {
    const head = `seed ${this.seed}, ${this.nowMs.toFixed(0)} virtual ms, ${this.trace.eventCount} events; the last:`;
    return [head, ...this.trace.tail(TAIL_LINE_COUNT)].join('\n');
  }
}
