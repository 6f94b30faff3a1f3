/**
 * Time. Wall time may jump either way and is only for people and schedules; every duration, timeout and back-off uses
 * monotonic time. Timers belong to the clock so that a simulated one can own them.
 */
import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since the Unix epoch, UTC. May jump. */
  wallMs(): number;
  /** Milliseconds since some fixed moment of this process; never goes back. Fractions are allowed. */
  monotonicMs(): number;
  /**
   * Resolves after at least `durationMs` (0 or more). Rejects with `signal.reason` as soon as the signal aborts,
   * also when it was aborted before. A pending sleep keeps the process alive.
   */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
}

/** The longest single timer Node accepts (2^31 − 1 ms); longer sleeps are chained. */
const TIMER_MS_MAX = 2_147_483_647;

export function realClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    async sleep(durationMs, signal) {
      signal?.throwIfAborted();
      // Node's timers round down and may fire a fraction early; a sleep never ends before its time.
      const endMs = performance.now() + Math.max(0, durationMs);
      let leftMs = Math.max(0, durationMs);
      do {
        try {
          await delay(Math.min(Math.ceil(leftMs), TIMER_MS_MAX), undefined, signal === undefined ? {} : { signal });
        } catch (error) {
          signal?.throwIfAborted();
          throw error;
        }
        leftMs = endMs - performance.now();
      } while (leftMs > 0);
    },
  };
}
