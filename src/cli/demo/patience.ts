/** Asking a node that may be killed at any moment: the same question again until it is answered. */
import { type ErrorCode, ReplicationError } from '../../errors.ts';
import type { Clock } from '../../world/clock.ts';

/** What a restarting node looks like from outside. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'link-failed',
  'link-timeout',
  'peer-busy',
  'peer-answer-invalid',
  'internal',
]);

const firstDelayMs = 50;
const delayMsMax = 1_000;
/** Longer than any node takes to come back, checks of its store included. */
const giveUpMs = 5 * 60_000;

/** `ask` must be harmless to repeat. Rejects with what `ask` threw when that does not pass by itself. */
export async function untilAnswered<Answer>(
  clock: Clock,
  signal: AbortSignal,
  ask: () => Promise<Answer>,
): Promise<Answer> {
  const startedMs = clock.monotonicMs();
  for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMsMax, delayMs * 1.5)) {
    try {
      return await ask();
    } catch (error) {
      signal.throwIfAborted();
      const isPassing = error instanceof ReplicationError && passing.has(error.code);
      if (!isPassing || clock.monotonicMs() - startedMs > giveUpMs) throw error;
    }
    await clock.sleep(delayMs, signal);
  }
}
