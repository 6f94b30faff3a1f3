/** The real world: this machine's clock, chance, disk, network and threads. */
import { realClock } from './clock.ts';
import type { Log } from './log.ts';
import { realRandom } from './random.ts';
import { openRealDatabase } from './real-database.ts';
import { realFiles } from './real-files.ts';
import { realNetwork } from './real-network.ts';
import { realThreads } from './real-threads.ts';
import type { World } from './world.ts';

export interface RealWorldOptions {
  /** A module that calls `serveJobs` with every job of the engine. */
  readonly workerUrl: URL;
  readonly threadCount: number;
  readonly log: Log;
}

/** Disposing ends the threads; files, databases, servers and connections belong to those who opened them. */
export async function openRealWorld(options: RealWorldOptions): Promise<World & AsyncDisposable> {
  const { workerUrl, threadCount, log } = options;
  const threads = realThreads({ workerUrl, threadCount });
  return {
    clock: realClock(),
    random: realRandom(),
    files: realFiles(),
    openDatabase: openRealDatabase,
    network: realNetwork({ log }),
    threads,
    log,
    [Symbol.asyncDispose]: () => threads[Symbol.asyncDispose](),
  };
}
