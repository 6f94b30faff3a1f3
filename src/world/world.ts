/**
 * The outside as one value.
 *
 * Everything that is not computation (time, chance, disk, network, threads, and the stream of log lines) enters
 * the engine through a `World`. Production builds the real one (`real.ts`); tests build simulated ones in which whole
 * hierarchies run, crash and replay from a seed. Nothing above this floor may reach the outside any other way; the
 * layering test enforces it.
 */
import type { Clock } from './clock.ts';
import type { OpenDatabase } from './database.ts';
import type { Files } from './files.ts';
import type { Log } from './log.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';
import type { Threads } from './threads.ts';

export interface World {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly openDatabase: OpenDatabase;
  readonly network: Network;
  readonly threads: Threads;
  readonly log: Log;
}
