/** Sets up the directory of a node: the work behind `site init`, `dp init` and `branch init`. */
import { resolve } from 'node:path';
import { type InitOptions, initConfig } from '../config.ts';
import type { NodeKind } from '../model/site.ts';
import { freePortFor } from './ports.ts';
import { type Outcome, type Shell, usageError } from './shell.ts';

export interface InitRequest {
  readonly directory: string | undefined;
  readonly kind: NodeKind;
  readonly name: string;
  readonly host?: string | undefined;
  /** As typed. */
  readonly port?: string | undefined;
  readonly upstream?: InitOptions['upstream'];
  readonly isPlan: boolean;
}

export async function initNode(shell: Shell, request: InitRequest): Promise<Outcome> {
  const { kind, name, host = '127.0.0.1' } = request;
  const directory = resolve(shell.workingDirectory, request.directory ?? '.');
  const port =
    request.port === undefined ? await freePortFor(await shell.loadNetwork(), { host, name }) : parsePort(request.port);
  const node = { kind, name, directory, host, port };
  if (request.isPlan) {
    const text = `would write ${directory}/siteferry.toml: ${kind} ${name}, listening on ${host}:${port}\nnothing was changed`;
    return { document: { plan: node }, text };
  }
  const upstream = request.upstream === undefined ? {} : { upstream: request.upstream };
  await initConfig({ files: shell.files, random: shell.random, ...node, ...upstream });
  const text = `${kind} ${name} is set up in ${directory}, to listen on http://${host}:${port}\nnext: siteferry ${kind} start ${directory}`;
  return { document: node, text };
}

export function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw usageError(`${JSON.stringify(text)} is not a port: a number from 0 to 65535`);
}
