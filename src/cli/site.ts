/** `siteferry site …`: a site decides what goes where and sends it. */
import type { Command } from 'commander';
import { initNode } from './init.ts';
import { serveNode, untilInputEndsOption } from './serve.ts';
import { type CommandSet, define } from './shell.ts';
import { showStatus } from './status.ts';

export function addSiteCommands(set: CommandSet, program: Command): void {
  const site = program.command('site').summary('set up and run a site').description('Set up and run a site.');

  const init = site
    .command('init')
    .description('Set up the directory of a site: settings with fresh tokens. Overwrites nothing.')
    .argument('<dir>', 'directory of the site; created when absent')
    .requiredOption('--code <code>', 'site code: a letter A-Z, then two of A-Z 0-9')
    .option('--port <port>', 'port to listen on (default: a free one)')
    .option('--host <host>', 'address to listen on', '127.0.0.1')
    .option('--plan', 'show what would be done, and do nothing');
  define<{ code: string; port?: string; host: string; plan?: boolean }>(
    set,
    init,
    ['siteferry site init /srv/p01 --code P01', 'siteferry site init /srv/p01 --code P01 --host 0.0.0.0 --port 8530'],
    ({ shell, args, options: { code, port, host, plan } }) =>
      initNode(shell, { directory: args[0], kind: 'site', name: code, host, port, isPlan: plan === true }),
  );

  const start = site
    .command('start')
    .description('Run the site of a directory in the foreground until SIGTERM or SIGINT; prints where it listens.')
    .argument('<dir>', 'directory of the site')
    .option(...untilInputEndsOption);
  define(set, start, ['siteferry site start /srv/p01', 'siteferry site start /srv/p01 --json'], serveNode);

  const status = site
    .command('status')
    .description('Show what the site holds, sends and waits for.')
    .option('--site <dir>', 'directory of the site (default: SITEFERRY_SITE, else the current one)');
  define(set, status, ['siteferry site status --site /srv/p01', 'siteferry site status --json'], showStatus);
}
