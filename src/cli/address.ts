/** `siteferry address …`: how a site reaches its child sites. */
import type { Command } from 'commander';
import { httpPaths } from '../wire/http.ts';
import { describeDestination, setDestination } from './destination.ts';
import { carryOut, nodeDirectory, withNode } from './node-client.ts';
import { type CommandSet, define, type Run } from './shell.ts';
import { describeDestinations } from './status.ts';

interface SetOptions {
  readonly url: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly receives: string;
  readonly site?: string;
  readonly plan?: boolean;
}

export function addAddressCommands(set: CommandSet, program: Command): void {
  const address = program
    .command('address')
    .summary('tell a site how to reach its child sites')
    .description('Tell a site how to reach its child sites, and when not to.');
  const siteOption = [
    '--site <dir>',
    'directory of the sending site (default: SITEFERRY_SITE, else the current one)',
  ] as const;

  const setting = address
    .command('set')
    .description('Add the address of a child site, or change it.')
    .argument('<code>', 'code of the child site')
    .requiredOption('--url <url>', 'where the child site listens: http://host:port')
    .option('--token-file <file>', 'file with the feed token of the child site')
    .option('--token <token>', 'the feed token itself; shows in process lists')
    .option('--receives <what>', 'all packages, or those assigned to it with "package distribute"', 'assigned')
    .option(...siteOption)
    .option('--plan', 'show the request that would be made, and change nothing');
  define(
    set,
    setting,
    [
      'siteferry config --site /srv/c01 --value tokens.feed > c01.token',
      'siteferry address set C01 --url http://c01.example:8530 --token-file c01.token --site /srv/p01',
    ],
    ({ shell, args, options }: Run<SetOptions>) =>
      setDestination(shell, { ...options, name: args[0] ?? '', kind: 'site' }),
  );

  const show = address
    .command('show')
    .description('Show all addresses, or one.')
    .argument('[code]', 'code of a child site')
    .option(...siteOption);
  define(
    set,
    show,
    ['siteferry address show --site /srv/p01', 'siteferry address show C01 --json'],
    async ({ shell, args, options }: Run<{ site?: string }>) => {
      const status = await withNode(shell, nodeDirectory(shell, options.site), (client) => client.status(shell.signal));
      if (args[0] !== undefined) return describeDestination(status, args[0], shell.clock.wallMs());
      const addresses = status.destinations.filter((to) => to.kind === 'site');
      return {
        document: { addresses },
        text: addresses.length === 0 ? 'no addresses' : describeDestinations(addresses),
      };
    },
  );

  for (const [verb, isOpen, effect] of [
    ['open', true, 'Let the site send to a child site again; what waited goes on at once.'],
    ['close', false, 'Send nothing more to a child site; what was sent stays, what waits is kept.'],
  ] as const) {
    const command = address
      .command(verb)
      .description(effect)
      .argument('<code>', 'code of the child site')
      .option(...siteOption)
      .option('--plan', 'show the request that would be made, and change nothing');
    define(
      set,
      command,
      [`siteferry address ${verb} C01 --site /srv/p01`],
      ({ shell, args, options }: Run<{ site?: string; plan?: boolean }>) =>
        carryOut(shell, options, {
          request: { method: 'PUT', path: `${httpPaths.destination(args[0] ?? '')}/open`, body: { isOpen } },
          done: { document: { name: args[0], isOpen }, text: `address of ${args[0]} is ${isOpen ? 'open' : 'closed'}` },
        }),
    );
  }
}
