/** What `address` and `dp` have in common: a place a site sends to. */
import { ReplicationError } from '../errors.ts';
import { parseCommand, type StatusMessage, setDestinationMessage } from '../wire/api.ts';
import { httpPaths } from '../wire/http.ts';
import { carryOut, readToken } from './node-client.ts';
import { type Outcome, type Shell, usageError } from './shell.ts';
import { describeWaiting } from './status.ts';
import { renderFields } from './table.ts';

export interface DestinationRequest {
  readonly name: string;
  readonly kind: 'site' | 'dp';
  readonly url: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly receives: string;
  readonly site?: string;
  readonly plan?: boolean;
}

export async function setDestination(shell: Shell, asked: DestinationRequest): Promise<Outcome> {
  const { name, kind, url, receives } = asked;
  if (receives !== 'all' && receives !== 'assigned')
    throw usageError(`${JSON.stringify(receives)} is not a choice of --receives: all or assigned`);
  const body = parseCommand(setDestinationMessage, { kind, url, token: await readToken(shell, asked), receives });
  const shown = { name, kind, url, receives };
  return await carryOut(shell, asked, {
    request: { method: 'PUT', path: httpPaths.destination(name), body },
    done: {
      document: shown,
      text: `${kind} ${name} at ${url} receives ${receives === 'all' ? 'all packages' : 'what is assigned to it'}`,
    },
  });
}

/** One destination: where it is, what it holds, what waits for it. */
export function describeDestination(status: StatusMessage, name: string, nowMs: number): Outcome {
  const destination = status.destinations.find((to) => to.name === name);
  if (destination === undefined) {
    throw new ReplicationError(
      'destination-unknown',
      `${status.node.name} has no destination ${JSON.stringify(name)}`,
      {
        hint: 'siteferry address show, or siteferry dp list',
      },
    );
  }
  const packages = status.packages.flatMap(({ id, name: packageName, version, destinations }) =>
    destinations
      .filter((to) => to.name === name)
      .map((to) => ({ id, name: packageName, version: to.version, newestVersion: version })),
  );
  const waiting = status.waiting.filter((job) => job.key.endsWith(`/${name}`));
  const text = renderFields([
    ['name', destination.name],
    ['kind', destination.kind],
    ['url', destination.url],
    ['receives', destination.receives],
    ['address', destination.isOpen ? 'open' : 'closed'],
    ...packages.map((held) => ['package', `${held.id} version ${held.version} of ${held.newestVersion}`] as const),
    ...waiting.map((job) => ['waiting', describeWaiting(job, nowMs)] as const),
  ]);
  return { document: { destination, packages, waiting }, text };
}
