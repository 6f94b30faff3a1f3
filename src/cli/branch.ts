/** `siteferry branch …`: branch distribution points pull, at their own pace, and serve their office. */
import type { Command } from 'commander';
import { httpPaths } from '../wire/http.ts';
import { initNode } from './init.ts';
import { carryOut, readToken } from './node-client.ts';
import { serveNode, untilInputEndsOption } from './serve.ts';
import { type CommandSet, define, type Run } from './shell.ts';

interface InitOptions {
  readonly name: string;
  readonly url: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly port?: string;
  readonly host: string;
  readonly plan?: boolean;
}

export function addBranchCommands(set: CommandSet, program: Command): void {
  const branch = program
    .command('branch')
    .summary('set up and run branch distribution points')
    .description('Set up and run a branch distribution point, which pulls from a distribution point.');

  const init = branch
    .command('init')
    .description('Set up the directory of a branch distribution point. Overwrites nothing.')
    .argument('<dir>', 'directory of the branch; created when absent')
    .requiredOption('--name <name>', 'its name: 1 to 15 of A-Z 0-9 and "-"')
    .requiredOption('--url <url>', 'the distribution point it pulls from: http://host:port')
    .option('--token-file <file>', 'file with the peer token of that distribution point')
    .option('--token <token>', 'the peer token itself; shows in process lists')
    .option('--port <port>', 'port to listen on (default: a free one)')
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .option('--plan', 'show what would be done, and do nothing');
  define(
    set,
    init,
    ['siteferry branch init /srv/b01 --name B01 --url http://dp.example:8531 --token-file dp.token'],
    async ({ shell, args, options }: Run<InitOptions>) =>
      initNode(shell, {
        ...options,
        directory: args[0],
        kind: 'branch',
        upstream: { url: options.url, token: await readToken(shell, options) },
        isPlan: options.plan === true,
      }),
  );

  const start = branch
    .command('start')
    .description('Run the branch of a directory in the foreground until SIGTERM or SIGINT.')
    .argument('<dir>', 'directory of the branch')
    .option(...untilInputEndsOption);
  define(set, start, ['siteferry branch start /srv/b01'], serveNode);

  const sync = branch
    .command('sync')
    .description('Let a running branch look for new versions now.')
    .option('--site <dir>', 'directory of the branch (default: SITEFERRY_SITE, else the current one)')
    .option('--plan', 'show the request that would be made, and change nothing');
  define(
    set,
    sync,
    ['siteferry branch sync --site /srv/b01'],
    ({ shell, options }: Run<{ site?: string; plan?: boolean }>) =>
      carryOut(shell, options, {
        request: { method: 'POST', path: httpPaths.sync },
        done: { document: {}, text: 'the branch looks for new versions' },
      }),
  );
}
