/** `siteferry status`: what a node holds, what it has sent, what waits and why. */
import type { Command } from 'commander';
import { ReplicationError } from '../errors.ts';
import { formatBytes, formatSeconds } from '../model/units.ts';
import type { HopMessage, StatusMessage, WaitingMessage } from '../wire/api.ts';
import { LiveLines } from './live-lines.ts';
import { nodeDirectory, withNode } from './node-client.ts';
import { type CommandSet, define, type Outcome, type Run, type Shell } from './shell.ts';
import { renderTable } from './table.ts';

interface StatusOptions {
  readonly site?: string;
  readonly watch?: boolean;
}

export function addStatusCommand(set: CommandSet, program: Command): void {
  const status = program
    .command('status')
    .description('Show what a node holds, what it sent, and what waits for what.')
    .option('--site <dir>', 'directory of the node (default: SITEFERRY_SITE, else the current one)')
    .option('--watch', 'go on showing it until interrupted; with --json one document per change');
  define(
    set,
    status,
    ['siteferry status --site /srv/p01', 'siteferry status --watch', 'siteferry status --watch --json | jq .waiting'],
    (run: Run<StatusOptions>) => (run.options.watch === true ? watchStatus(run) : showStatus(run)),
  );
}

export async function showStatus({ shell, options }: Run<StatusOptions>): Promise<Outcome> {
  const status = await fetchStatus(shell, nodeDirectory(shell, options.site));
  return { document: status, text: describeStatus(status, shell.clock.wallMs()) };
}

function fetchStatus(shell: Shell, directory: string): Promise<StatusMessage> {
  return withNode(shell, directory, (client) => client.status(shell.signal));
}

const watchPeriodMs = 1_000;

/** Goes on while the node restarts: who watches wants to see it come back. */
async function watchStatus({ shell, options }: Run<StatusOptions>): Promise<undefined> {
  const directory = nodeDirectory(shell, options.site);
  const live = new LiveLines(shell.out);
  let latest = '';
  while (!shell.signal.aborted) {
    let document: object;
    let text: string;
    try {
      const status = await fetchStatus(shell, directory);
      document = { ok: true, ...status };
      text = describeStatus(status, shell.clock.wallMs());
    } catch (error) {
      if (shell.signal.aborted) break;
      if (!(error instanceof ReplicationError) || error.retry !== 'later') throw error;
      document = { ok: false, error: { code: error.code, message: error.message, retry: error.retry } };
      text = `${error.code}: ${error.message}`;
    }
    const line = JSON.stringify(document);
    if (options.json !== true) live.show(text.split('\n'));
    else if (line !== latest) shell.out.write(`${line}\n`);
    latest = line;
    await shell.clock.sleep(watchPeriodMs, shell.signal).catch(() => undefined);
  }
  return undefined;
}

/** `nowMs`: wall clock. */
export function describeStatus(status: StatusMessage, nowMs: number): string {
  const { node, packages, destinations, waiting, hops, messages } = status;
  const blocks = [`${node.name} (${node.kind}), Siteferry ${node.software}`];
  blocks.push(
    packages.length === 0
      ? 'no packages'
      : renderTable({
          head: ['PACKAGE', 'NAME', 'VERSION', 'FILES', 'BYTES', 'AT'],
          rows: packages.map((held) => [
            held.id,
            held.name,
            String(held.version),
            String(held.files),
            formatBytes(held.bytes),
            held.destinations.map((to) => `${to.name}:${to.version}`).join(' '),
          ]),
          rightColumns: [2, 3, 4],
        }),
  );
  if (destinations.length > 0) blocks.push(describeDestinations(destinations));
  if (waiting.length > 0) blocks.push(waiting.map((job) => `waiting: ${describeWaiting(job, nowMs)}`).join('\n'));
  const latestHops = hops.slice(-5).map(describeHop);
  if (latestHops.length > 0) blocks.push(latestHops.join('\n'));
  const latest = messages
    .slice(-5)
    .map((message) => `${new Date(message.atMs).toISOString()}  ${message.id}  ${message.text}`);
  if (latest.length > 0) blocks.push(latest.join('\n'));
  return blocks.join('\n\n');
}

export function describeDestinations(destinations: StatusMessage['destinations']): string {
  return renderTable({
    head: ['DESTINATION', 'KIND', 'URL', 'RECEIVES', 'ADDRESS'],
    rows: destinations.map((to) => [to.name, to.kind, to.url, to.receives, to.isOpen ? 'open' : 'closed']),
  });
}

/** What a job waits for, in one line. */
export function describeWaiting(job: WaitingMessage, nowMs: number): string {
  const parts = [`${job.queue} ${job.key}: ${job.state === 'parked' ? 'parked, waits for a person' : job.state}`];
  if (job.untilMs !== undefined) parts.push(`tried again in ${formatSeconds(Math.max(0, job.untilMs - nowMs) / 1000)}`);
  if (job.error !== undefined) parts.push(`${job.error.code}: ${job.error.message}`);
  if (job.error?.hint !== undefined) parts.push(`try: ${job.error.hint}`);
  return parts.join(', ');
}

function describeHop(hop: HopMessage): string {
  const what = `${hop.packageId} version ${hop.version}`;
  return `${hop.from} -> ${hop.to}  ${what}  ${formatBytes(hop.wireBytes)} for ${formatBytes(hop.logicalBytes)} in ${formatSeconds(hop.seconds)}`;
}
