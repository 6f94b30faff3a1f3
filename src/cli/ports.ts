/**
 * Free ports below 30000: outside the ranges from which systems take the ports of outgoing connections (32768 and up on
 * Linux, 49152 and up elsewhere), so that no connection sits on a node's port while the node is down.
 */
import { createHash } from 'node:crypto';
import { ReplicationError } from '../errors.ts';
import type { Network } from '../world/network.ts';

const portMin = 20_000;
const portMax = 29_999;
const attemptCountMax = 200;

/** The first free port at or after a place that `name` decides: nodes of one machine rarely meet. */
export async function freePortFor(
  network: Network,
  options: { readonly host: string; readonly name: string; readonly except?: ReadonlySet<number> },
): Promise<number> {
  const spread = createHash('sha256').update(options.name).digest().readUInt32LE(0);
  const count = portMax - portMin + 1;
  for (let attempt = 0; attempt < attemptCountMax; attempt += 1) {
    const port = portMin + ((spread + attempt) % count);
    if (options.except?.has(port) !== true && (await isFree(network, options.host, port))) return port;
  }
  throw new ReplicationError('port-in-use', `Cannot find a free port near ${portMin + (spread % count)}`, {
    hint: 'name one with --port',
  });
}

async function isFree(network: Network, host: string, port: number): Promise<boolean> {
  try {
    const handle = async (): Promise<{ status: number }> => ({ status: 503 });
    await using _probe = await network.serve({ host, port, handle, connectionCountMax: 1 });
    return true;
  } catch (error) {
    if (error instanceof ReplicationError && (error.code === 'port-in-use' || error.code === 'access-denied'))
      return false;
    throw error;
  }
}
