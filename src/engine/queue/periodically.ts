/** Something that is to be done at the start and from time to time, for as long as the node runs. */
import type { World } from '../../world/world.ts';

/** Calls `act` at once and then every `intervalMs`. A failure is logged and the next time comes all the same. */
export function startPeriodically(
  world: World,
  intervalMs: number,
  act: () => Promise<void>,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await act();
      } catch (error) {
        world.log('error', 'periodic work failed', { cause: error instanceof Error ? error.message : String(error) });
      }
      await world.clock.sleep(intervalMs, stopping.signal).catch(() => {});
    }
  };
  const ended = loop();
  return {
    async stop() {
      stopping.abort(new Error('the node stops'));
      await ended;
    },
  };
}
