/** The clock of one life: virtual time, the machine's own idea of wall time, and sleeps that end with the life. */
import type { Clock } from '../../src/world/clock.ts';
import { type Life, never } from './life.ts';

/** How late a timer may be: Node's are late by up to about a millisecond on an idle machine. */
const LATENESS_MS_MAX = 1;

/**
 * `wallMs` reads the machine's wall clock. Monotonic time begins anew (somewhere below 1,000,000) in each life, as in
 * real processes, so that whoever stores it across a restart is found out.
 */
export function simClock(life: Life, wallMs: () => number): Clock {
  const chance = life.seeded.fork('clock');
  const monotonicStartMs = chance.integer(0, 1_000_000);
  return {
    wallMs,
    monotonicMs: () => monotonicStartMs + life.simulation.nowMs - life.startMs,
    sleep(durationMs, signal) {
      if (life.isOver) return never();
      if (Number.isNaN(durationMs)) return Promise.reject(new RangeError('Cannot sleep: the duration is NaN'));
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) {
          reject(signal.reason);
          return;
        }
        // An endless sleep sets no timer; only its signal ends it.
        const timer =
          durationMs === Number.POSITIVE_INFINITY
            ? undefined
            : life.after(Math.max(0, durationMs) + chance.between(0, LATENESS_MS_MAX), () => {
                signal?.removeEventListener('abort', wake);
                resolve();
              });
        const wake = (): void => {
          timer?.cancel();
          if (!life.isOver) reject(signal?.reason);
        };
        signal?.addEventListener('abort', wake, { once: true });
      });
    },
  };
}
