/**
 * Composition root of a node: engine, then the roles its kind plays, then its HTTP face; closed in reverse. A site
 * decides and sends on, a distribution point receives and serves, a branch pulls and serves: the same parts in three
 * casts.
 */
import { join } from 'node:path';
import { consoleRoutes } from './console/server.ts';
import { type Engine, openEngine } from './engine/engine.ts';
import { publishFile } from './engine/store/publish.ts';
import { createRouter } from './engine/transfer/router.ts';
import type { NodeConfig } from './model/config.ts';
import { limits } from './model/limits.ts';
import { branchRoutes, startBranchDistributionPoint } from './roles/branch-distribution-point.ts';
import { despoolerRoutes, startDespooler } from './roles/despooler.ts';
import { startDistributionManager } from './roles/distribution-manager.ts';
import { distributionPointRoutes } from './roles/distribution-point.ts';
import { startReplicationManager } from './roles/replication-manager.ts';
import type { Role } from './roles/role.ts';
import { startScheduler } from './roles/scheduler.ts';
import { startSender } from './roles/sender.ts';
import type { World } from './world/world.ts';

export interface NodeOptions {
  readonly config: NodeConfig;
  /** Absolute; everything the node keeps lies below it. */
  readonly directory: string;
  readonly softwareVersion: string;
}

export interface RunningNode {
  /** `http://host:port` with the real port. */
  readonly origin: string;
  /** Resolves when nothing of the node runs any more. Unfinished work goes on at the next start. */
  stop(): Promise<void>;
}

/** Where a running node writes its origin, so that the command line finds a port chosen by the system. */
export function originPath(directory: string): string {
  return join(directory, 'run', 'origin');
}

/** Throws `already-running`, `port-in-use`, `disk-full`, `access-denied`; nothing runs then. */
export async function openNode(world: World, options: NodeOptions): Promise<RunningNode> {
  const { config, directory } = options;
  await using opened = new AsyncDisposableStack();
  const engine = opened.use(await openEngine(world, directory, { name: config.name, kind: config.kind }));
  // Served before anything is sent, so that a node that cannot listen does nothing at all.
  const server = opened.use(
    await world.network.serve({
      host: config.listen.host,
      port: config.listen.port,
      connectionCountMax: limits.connectionCountMax,
      handle: createRouter(routesOf(engine, options), config.tokens, world.log),
    }),
  );
  for (const role of startRoles(engine, config)) opened.defer(() => role.stop());
  await world.files.makeDirectory(join(directory, 'run'));
  await publishFile(
    engine.store.publishPlace,
    originPath(directory),
    new Uint8Array(Buffer.from(`${server.origin}\n`)),
  );
  world.log('info', 'node is running', { origin: server.origin, kind: config.kind });
  const closing = opened.move();
  return {
    origin: server.origin,
    async stop() {
      await world.files.remove(originPath(directory));
      await closing.disposeAsync();
    },
  };
}

function routesOf(engine: Engine, { config, softwareVersion }: NodeOptions): ReturnType<typeof consoleRoutes> {
  const node = { name: config.name, kind: config.kind, software: softwareVersion };
  return [
    ...consoleRoutes(engine, node),
    ...distributionPointRoutes(engine),
    ...(config.kind === 'branch' ? branchRoutes(engine) : despoolerRoutes(engine)),
  ];
}

function startRoles(engine: Engine, config: NodeConfig): Role[] {
  const { packageCountMax } = config.distribution;
  const roles = [
    startDespooler(engine),
    startReplicationManager(engine, { packageCountMax }),
    startDistributionManager(engine, { packageCountMax }),
  ];
  if (config.kind === 'site')
    roles.push(startScheduler(engine), startSender(engine, { payloadCountMax: config.sender.payloadCountMax }));
  if (config.kind === 'branch' && config.upstream !== undefined) {
    roles.push(startBranchDistributionPoint(engine, config.upstream));
  }
  return roles;
}
