/** `siteferry dp …`: distribution points receive packages and serve them. */
import type { Command } from 'commander';
import { httpPaths } from '../wire/http.ts';
import { describeDestination, setDestination } from './destination.ts';
import { initNode } from './init.ts';
import { carryOut, nodeDirectory, withNode } from './node-client.ts';
import { serveNode, untilInputEndsOption } from './serve.ts';
import { type CommandSet, define, type Run } from './shell.ts';
import { describeDestinations } from './status.ts';

interface AddOptions {
  readonly url: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly receives: string;
  readonly site?: string;
  readonly plan?: boolean;
}

export function addDpCommands(set: CommandSet, program: Command): void {
  const dp = program
    .command('dp')
    .summary('set up, run and add distribution points')
    .description('Set up and run a distribution point; tell a site about it.');
  const siteOption = ['--site <dir>', 'directory of the site (default: SITEFERRY_SITE, else the current one)'] as const;

  const init = dp
    .command('init')
    .description('Set up the directory of a distribution point: settings with fresh tokens. Overwrites nothing.')
    .argument('<dir>', 'directory of the distribution point; created when absent')
    .requiredOption('--name <name>', 'its name: 1 to 15 of A-Z 0-9 and "-"')
    .option('--port <port>', 'port to listen on (default: a free one)')
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .option('--plan', 'show what would be done, and do nothing');
  define(
    set,
    init,
    [
      'siteferry dp init /srv/c01dp1 --name C01DP1',
      'siteferry dp init /srv/c01dp1 --name C01DP1 --host 0.0.0.0 --port 8531',
    ],
    ({ shell, args, options }: Run<{ name: string; port?: string; host: string; plan?: boolean }>) =>
      initNode(shell, { ...options, directory: args[0], kind: 'dp', isPlan: options.plan === true }),
  );

  const start = dp
    .command('start')
    .description('Run the distribution point of a directory in the foreground until SIGTERM or SIGINT.')
    .argument('<dir>', 'directory of the distribution point')
    .option(...untilInputEndsOption);
  define(set, start, ['siteferry dp start /srv/c01dp1'], serveNode);

  const add = dp
    .command('add')
    .description('Tell a site about a distribution point, or change what it knows.')
    .argument('<name>', 'name of the distribution point')
    .requiredOption('--url <url>', 'where it listens: http://host:port')
    .option('--token-file <file>', 'file with its feed token')
    .option('--token <token>', 'the feed token itself; shows in process lists')
    .option('--receives <what>', 'all packages, or those assigned to it with "package distribute"', 'all')
    .option(...siteOption)
    .option('--plan', 'show the request that would be made, and change nothing');
  define(
    set,
    add,
    [
      'siteferry config --site /srv/c01dp1 --value tokens.feed > dp.token',
      'siteferry dp add C01DP1 --url http://dp.example:8531 --token-file dp.token --site /srv/c01',
    ],
    ({ shell, args, options }: Run<AddOptions>) =>
      setDestination(shell, { ...options, name: args[0] ?? '', kind: 'dp' }),
  );

  const list = dp
    .command('list')
    .description('List the distribution points of a site.')
    .option(...siteOption);
  define(
    set,
    list,
    ['siteferry dp list --site /srv/c01', 'siteferry dp list --json'],
    async ({ shell, options }: Run<{ site?: string }>) => {
      const status = await withNode(shell, nodeDirectory(shell, options.site), (client) => client.status(shell.signal));
      const dps = status.destinations.filter((to) => to.kind === 'dp');
      return { document: { dps }, text: dps.length === 0 ? 'no distribution points' : describeDestinations(dps) };
    },
  );

  const show = dp
    .command('show')
    .description('Show one distribution point: what it holds and what waits for it.')
    .argument('<name>', 'name of the distribution point')
    .option(...siteOption);
  define(
    set,
    show,
    ['siteferry dp show C01DP1 --site /srv/c01'],
    async ({ shell, args, options }: Run<{ site?: string }>) => {
      const status = await withNode(shell, nodeDirectory(shell, options.site), (client) => client.status(shell.signal));
      return describeDestination(status, args[0] ?? '', shell.clock.wallMs());
    },
  );

  const remove = dp
    .command('remove')
    .description('Forget a distribution point: nothing more is sent to it. What it holds stays there.')
    .argument('<name>', 'name of the distribution point')
    .option(...siteOption)
    .option('--plan', 'show the request that would be made, and change nothing');
  define(
    set,
    remove,
    ['siteferry dp remove C01DP1 --site /srv/c01'],
    ({ shell, args, options }: Run<{ site?: string; plan?: boolean }>) =>
      carryOut(shell, options, {
        request: { method: 'DELETE', path: httpPaths.destination(args[0] ?? '') },
        done: { document: { name: args[0] }, text: `${args[0]} receives nothing more` },
      }),
  );
}
