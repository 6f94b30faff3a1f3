/** The command and status API of a node: what the command line (and later the console's pages) talk to. */
import type { Engine } from '../engine/engine.ts';
import { jsonResponse, type Route, type RoutedRequest, readJson } from '../engine/transfer/router.ts';
import { ReplicationError } from '../errors.ts';
import type { PackageId } from '../model/package.ts';
import { isPackageId } from '../model/package.ts';
import { isNodeName, isSiteCode, type NodeName } from '../model/site.ts';
import {
  createPackageMessage,
  type DestinationMessage,
  distributeMessage,
  type NodeMessage,
  type PackageMessage,
  parseCommand,
  type StatusMessage,
  setDestinationMessage,
  setOpenMessage,
} from '../wire/api.ts';
import { fileEntries, logicalBytes } from '../wire/manifest.ts';
import type { OutgoingResponse } from '../world/network.ts';

/** How much history a status answer carries. */
const statusMessageCount = 200;
const statusHopCount = 1_000;

export function consoleRoutes(engine: Engine, node: NodeMessage): Route[] {
  const route = (method: string, pattern: string, handle: Route['handle']): Route => ({
    method,
    pattern,
    access: 'admin',
    handle,
  });
  const routes: Route[] = [
    { method: 'GET', pattern: '/v1/node', access: 'peer', handle: async () => jsonResponse(200, node) },
    route('GET', '/v1/status', async () => jsonResponse(200, await status(engine, node))),
  ];
  if (node.kind !== 'site') return routes;
  return [
    ...routes,
    route('POST', '/v1/packages', (routed) => createPackage(engine, routed)),
    route('POST', '/v1/packages/:id/update', (routed) => updatePackage(engine, routed)),
    route('POST', '/v1/packages/:id/distribute', (routed) => distributePackage(engine, routed)),
    route('PUT', '/v1/destinations/:name', (routed) => setDestination(engine, routed)),
    route('PUT', '/v1/destinations/:name/open', (routed) => setOpen(engine, routed)),
    route('DELETE', '/v1/destinations/:name', (routed) => removeDestination(engine, routed)),
  ];
}

async function status(engine: Engine, node: NodeMessage): Promise<StatusMessage> {
  const { catalog, queue, journal } = engine;
  const destinations = catalog.destinations().map(({ token: _secret, ...shown }): DestinationMessage => shown);
  const packages = await Promise.all(catalog.packages().map(({ id }) => packageStatus(engine, id)));
  return {
    node,
    packages,
    destinations,
    waiting: queue.waiting().slice(0, statusHopCount),
    hops: journal.hops(statusHopCount),
    messages: journal.messages(statusMessageCount),
  };
}

async function packageStatus({ catalog, holdings, queue }: Engine, id: PackageId): Promise<PackageMessage> {
  const { name, source } = catalog.package(id);
  const version = catalog.newestVersion(id);
  const manifest = version === 0 ? undefined : await catalog.manifest(id, version);
  const error = queue.find('snapshot', id)?.error;
  return {
    id,
    name,
    version,
    ...(source === undefined ? {} : { source }),
    files: manifest === undefined ? 0 : fileEntries(manifest).length,
    bytes: manifest === undefined ? 0 : logicalBytes(manifest),
    destinations: catalog
      .destinationsOf(id)
      .map((to) => ({ name: to.name, version: holdings.confirmedVersion(to.name, id) ?? 0 })),
    ...(error === undefined ? {} : { error }),
  };
}

async function createPackage(
  { world, identity, catalog, queue }: Engine,
  { request }: RoutedRequest,
): Promise<OutgoingResponse> {
  const { name, source } = parseCommand(createPackageMessage, await readJson(request));
  if (!isSiteCode(identity.name)) throw new RangeError(`${identity.name} is not a site code`);
  await requireFolder(world, source);
  const { id } = await catalog.createPackage(identity.name, name, source);
  await queue.put('snapshot', id, null);
  return jsonResponse(201, { id });
}

async function requireFolder({ files }: Engine['world'], source: string): Promise<void> {
  const refusal = (state: string, cause?: unknown): ReplicationError =>
    new ReplicationError('source-missing', `Cannot create a package from ${source}: ${state} at this site`, {
      cause,
      hint: 'the path is one on the machine of the site',
    });
  let path: string;
  try {
    path = await files.realPath(source);
  } catch (cause) {
    throw refusal('there is no such folder', cause);
  }
  if ((await files.facts(path))?.kind !== 'directory') throw refusal('it is not a folder');
}

function packageIdIn({ params }: RoutedRequest): PackageId {
  const id = params['id'] ?? '';
  if (isPackageId(id)) return id;
  throw new ReplicationError('package-unknown', `${JSON.stringify(id)} is not a package id such as P0100001`);
}

function nodeNameIn({ params }: RoutedRequest): NodeName {
  const name = params['name'] ?? '';
  if (isNodeName(name)) return name;
  throw new ReplicationError('usage', `${JSON.stringify(name)} is not a name of 1 to 15 characters A-Z, 0-9 and -`);
}

async function updatePackage({ catalog, queue }: Engine, routed: RoutedRequest): Promise<OutgoingResponse> {
  const { id, source } = catalog.package(packageIdIn(routed));
  if (source === undefined)
    throw new ReplicationError('usage', `Package ${id} comes from another site and is updated there`);
  await queue.put('snapshot', id, null);
  return jsonResponse(202, {});
}

/** Also the operator's way to say "look again": what the destination confirmed is asked anew. */
async function distributePackage(engine: Engine, routed: RoutedRequest): Promise<OutgoingResponse> {
  const { catalog, holdings, queue } = engine;
  const { to } = parseCommand(distributeMessage, await readJson(routed.request));
  const { id } = catalog.package(packageIdIn(routed));
  const { name } = catalog.destination(to);
  await catalog.changePackage(id, (record) => ({
    ...record,
    assigned: [...new Set([...record.assigned, name])].sort(),
  }));
  await holdings.forget(name, id);
  await queue.put('distribute', id, null);
  await retryNow(engine, name);
  return jsonResponse(200, {});
}

async function setDestination(engine: Engine, routed: RoutedRequest): Promise<OutgoingResponse> {
  const { catalog, queue, identity } = engine;
  const name = nodeNameIn(routed);
  if (name === identity.name)
    throw new ReplicationError('usage', `${name} is this site itself: it cannot be its own destination`);
  const told = parseCommand(setDestinationMessage, await readJson(routed.request));
  if (told.kind === 'site' && !isSiteCode(name))
    throw new ReplicationError('usage', `${name} is not a site code of three characters`);
  await catalog.changeDestination(name, (old) => ({ name, ...told, isOpen: old?.isOpen ?? true }));
  // Another machine may stand behind the name now.
  for (const { id } of catalog.packages()) await engine.holdings.forget(name, id);
  for (const { id } of catalog.packages()) await queue.put('distribute', id, null);
  await retryNow(engine, name);
  return jsonResponse(200, {});
}

async function setOpen(engine: Engine, routed: RoutedRequest): Promise<OutgoingResponse> {
  const { isOpen } = parseCommand(setOpenMessage, await readJson(routed.request));
  const destination = engine.catalog.destination(nodeNameIn(routed));
  await engine.catalog.changeDestination(destination.name, (now) => ({ ...(now ?? destination), isOpen }));
  if (isOpen) await retryNow(engine, destination.name);
  return jsonResponse(200, {});
}

async function removeDestination(
  { catalog, holdings, queue }: Engine,
  routed: RoutedRequest,
): Promise<OutgoingResponse> {
  const { name } = catalog.destination(nodeNameIn(routed));
  await catalog.removeDestination(name);
  for (const { id } of catalog.packages()) {
    await holdings.forget(name, id);
    for (const office of ['replicate', 'schedule', 'send'] as const) await queue.remove(office, `${id}/${name}`);
  }
  return jsonResponse(200, {});
}

/** Whatever waited for this destination waits no longer. */
async function retryNow({ queue }: Engine, name: NodeName): Promise<void> {
  await queue.makeReady((job) => job.key.endsWith(`/${name}`));
}
