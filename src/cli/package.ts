/** `siteferry package …`: what is published, from which folder, to whom. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { isErrorCode, ReplicationError } from '../errors.ts';
import { formatBytes } from '../model/units.ts';
import {
  createdPackageMessage,
  createPackageMessage,
  type PackageMessage,
  parseCommand,
  type StatusMessage,
} from '../wire/api.ts';
import { httpPaths } from '../wire/http.ts';
import { carryOut, type NodeClient, nodeDirectory, planOf, withNode } from './node-client.ts';
import { type CommandSet, define, type Outcome, type Run, type Shell } from './shell.ts';
import { describeWaiting } from './status.ts';
import { renderFields, renderTable } from './table.ts';

interface ChangeOptions {
  readonly site?: string;
  readonly plan?: boolean;
  readonly wait?: boolean;
}

export function addPackageCommands(set: CommandSet, program: Command): void {
  const packages = program
    .command('package')
    .summary('publish packages and send them on')
    .description('Publish folders as packages, take new versions of them, and say who shall hold them.');
  const siteOption = ['--site <dir>', 'directory of the site (default: SITEFERRY_SITE, else the current one)'] as const;
  const planOption = ['--plan', 'show the request that would be made, and change nothing'] as const;

  const create = packages
    .command('create')
    .description('Publish a folder as a new package; prints its id. Version 1 is taken at once.')
    .requiredOption('--name <name>', 'name of the package, at most 50 characters')
    .requiredOption('--source <dir>', 'folder the versions are taken from')
    .option('--wait', 'return when version 1 is there, or has failed')
    .option(...siteOption)
    .option(...planOption);
  define(
    set,
    create,
    ['siteferry package create --name "Office 16" --source /srv/packages/office --site /srv/p01 --wait'],
    (run: Run<ChangeOptions & { name: string; source: string }>) => createPackage(run),
  );

  const update = packages
    .command('update')
    .description(
      'Take a new version of a package from its folder; an unchanged folder gives none (exit status 9 with --wait).',
    )
    .argument('<id>', 'id of the package')
    .option('--wait', 'return when the version is there, has failed, or nothing had changed')
    .option(...siteOption)
    .option(...planOption);
  define(set, update, ['siteferry package update P0100001 --site /srv/p01 --wait'], (run: Run<ChangeOptions>) =>
    updatePackage(run),
  );

  const distribute = packages
    .command('distribute')
    .description('Let a child site or distribution point hold a package, now and in all later versions.')
    .argument('<id>', 'id of the package')
    .requiredOption('--to <name>', 'the child site or distribution point')
    .option(...siteOption)
    .option(...planOption);
  define(
    set,
    distribute,
    ['siteferry package distribute P0100001 --to C01 --site /srv/p01'],
    ({ shell, args, options }: Run<ChangeOptions & { to: string }>) =>
      carryOut(shell, options, {
        request: { method: 'POST', path: `${packagePath(args)}/distribute`, body: { to: options.to } },
        done: { document: { id: args[0], to: options.to }, text: `${options.to} shall hold package ${args[0]}` },
      }),
  );

  const list = packages
    .command('list')
    .description('List the packages a node knows.')
    .option(...siteOption);
  define(set, list, ['siteferry package list --site /srv/p01', 'siteferry package list --json'], listPackages);

  const show = packages
    .command('show')
    .description('Show one package: its version, who holds what, and what waits.')
    .argument('<id>', 'id of the package')
    .option(...siteOption);
  define(set, show, ['siteferry package show P0100001 --site /srv/p01'], showPackage);
}

function packagePath(args: readonly string[]): string {
  return httpPaths.package(encodeURIComponent(args[0] ?? ''));
}

async function createPackage({
  shell,
  options,
}: Run<ChangeOptions & { name: string; source: string }>): Promise<Outcome> {
  const directory = nodeDirectory(shell, options.site);
  const source = resolve(shell.workingDirectory, options.source);
  const body = parseCommand(createPackageMessage, { name: options.name, source });
  const request = { method: 'POST', path: httpPaths.packages, body } as const;
  if (options.plan === true) return await planOf(shell, directory, request);
  return await withNode(shell, directory, async (client) => {
    const { id } = await client.json(createdPackageMessage, request, shell.signal);
    if (options.wait !== true) return { document: { id, name: body.name, source }, text: id };
    const { version, files, bytes } = await snapshotTaken(shell, client, id);
    return { document: { id, name: body.name, source, version, files, bytes }, text: id };
  });
}

async function updatePackage({ shell, args, options }: Run<ChangeOptions>): Promise<Outcome> {
  const id = args[0] ?? '';
  const directory = nodeDirectory(shell, options.site);
  const request = { method: 'POST', path: `${packagePath(args)}/update` } as const;
  if (options.plan === true) return await planOf(shell, directory, request);
  return await withNode(shell, directory, async (client) => {
    const before = findPackage(await client.status(shell.signal), id).version;
    await client.command(request, shell.signal);
    if (options.wait !== true) return { document: { id }, text: `a new version of ${id} is being taken` };
    const { version, files, bytes } = await snapshotTaken(shell, client, id);
    const document = { id, version, files, bytes };
    if (version > before)
      return { document, text: `${id} has version ${version}: ${files} files, ${formatBytes(bytes)}` };
    throw new ReplicationError('nothing-to-do', `The source of ${id} did not change since version ${version}`);
  });
}

const pollMs = 200;

/** Resolves when no snapshot of the package is queued or running any more; throws why it failed when it did. */
async function snapshotTaken(shell: Shell, client: NodeClient, id: string): Promise<PackageMessage> {
  for (;;) {
    const status = await client.status(shell.signal);
    const job = status.waiting.find((candidate) => candidate.queue === 'snapshot' && candidate.key === id);
    if (job === undefined) return findPackage(status, id);
    if (job.error !== undefined) {
      const { code, message } = job.error;
      throw new ReplicationError(isErrorCode(code) ? code : 'internal', message, {
        hint: `mend it, then: siteferry package update ${id} --wait`,
      });
    }
    await shell.clock.sleep(pollMs, shell.signal);
  }
}

function findPackage(status: StatusMessage, id: string): PackageMessage {
  const found = status.packages.find((held) => held.id === id);
  if (found !== undefined) return found;
  throw new ReplicationError('package-unknown', `${status.node.name} has no package ${JSON.stringify(id)}`, {
    hint: 'siteferry package list',
  });
}

async function listPackages({ shell, options }: Run<{ site?: string }>): Promise<Outcome> {
  const { packages } = await withNode(shell, nodeDirectory(shell, options.site), (client) =>
    client.status(shell.signal),
  );
  const text = renderTable({
    head: ['ID', 'NAME', 'VERSION', 'FILES', 'BYTES', 'SOURCE'],
    rows: packages.map((held) => [
      held.id,
      held.name,
      String(held.version),
      String(held.files),
      formatBytes(held.bytes),
      held.source ?? '',
    ]),
    rightColumns: [2, 3, 4],
  });
  return { document: { packages }, text: packages.length === 0 ? 'no packages' : text };
}

async function showPackage({ shell, args, options }: Run<{ site?: string }>): Promise<Outcome> {
  const id = args[0] ?? '';
  const status = await withNode(shell, nodeDirectory(shell, options.site), (client) => client.status(shell.signal));
  const held = findPackage(status, id);
  const waiting = status.waiting.filter((job) => job.key === id || job.key.startsWith(`${id}/`));
  const hops = status.hops.filter((hop) => hop.packageId === id);
  const text = renderFields([
    ['id', held.id],
    ['name', held.name],
    ['source', held.source ?? '(another site)'],
    ['version', held.version === 0 ? 'none yet' : String(held.version)],
    ['files', String(held.files)],
    ['bytes', formatBytes(held.bytes)],
    ...held.destinations.map((to) => ['held by', `${to.name} version ${to.version}`] as const),
    ...waiting.map((job) => ['waiting', describeWaiting(job, shell.clock.wallMs())] as const),
    ...hops.map(
      (hop) => ['hop', `${hop.from} -> ${hop.to} version ${hop.version}: ${formatBytes(hop.wireBytes)}`] as const,
    ),
  ]);
  return { document: { package: held, waiting, hops }, text };
}
