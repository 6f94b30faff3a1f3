/** `siteferry config`: what settings a node has, and where each comes from. */
import type { Command } from 'commander';
import { loadConfig } from '../config.ts';
import { isReadableByOthers } from '../world/host.ts';
import { maskedToken, nodeDirectory } from './node-client.ts';
import { type CommandSet, define, type Outcome, type Run, usageError } from './shell.ts';
import { renderTable } from './table.ts';

interface ConfigOptions {
  readonly site?: string;
  readonly value?: string;
}

export function addConfigCommand(set: CommandSet, program: Command): void {
  const config = program
    .command('config')
    .description('Show the settings a node would start with, and where each comes from. Tokens are masked.')
    .option('--site <dir>', 'directory of the node (default: SITEFERRY_SITE, else the current one)')
    .option('--value <key>', 'print this one value alone, a token too');
  define(
    set,
    config,
    [
      'siteferry config --site /srv/p01',
      'siteferry config --site /srv/c01 --value tokens.peer > c01.token',
      'SITEFERRY_LISTEN_PORT=9000 siteferry config --json',
    ],
    showConfig,
  );
}

async function showConfig({ shell, options }: Run<ConfigOptions>): Promise<Outcome> {
  const { files, environment } = shell;
  const directory = nodeDirectory(shell, options.site);
  const { config, origins, warnings } = await loadConfig({ files, directory, environment, isReadableByOthers });
  const settings = [...origins].map(([key, origin]) => ({ key, value: valueAt(config, key), origin }));
  if (options.value !== undefined) {
    const found = settings.find(({ key }) => key === options.value);
    if (found === undefined)
      throw usageError(`${JSON.stringify(options.value)} is no setting of ${directory}`, 'siteferry config');
    return { document: found, text: String(found.value) };
  }
  const shown = settings.map((setting) => (isSecret(setting.key) ? { ...setting, value: maskedToken } : setting));
  const rows = shown.map(({ key, value, origin }) => [key, String(value), origin]);
  const text = [
    renderTable({ head: ['KEY', 'VALUE', 'FROM'], rows }),
    ...warnings.map((warning) => `warning: ${warning}`),
  ];
  return { document: { directory, settings: shown, warnings }, text: text.join('\n') };
}

function valueAt(config: object, key: string): unknown {
  return key
    .split('.')
    .reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], config);
}

function isSecret(key: string): boolean {
  return key.startsWith('tokens.') || key.endsWith('.token');
}
