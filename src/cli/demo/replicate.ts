/**
 * The story of the demo, told to the nodes over their HTTP API: publish OLD, let it flow down, verify it everywhere; then
 * the same with NEW. Every step may be repeated, since a node can die between a request and its answer.
 */
import { join } from 'node:path';
import { ReplicationError } from '../../errors.ts';
import { isPackageId, type PackageId } from '../../model/package.ts';
import { createdPackageMessage, type HopMessage, type StatusMessage } from '../../wire/api.ts';
import { httpPaths } from '../../wire/http.ts';
import { linkDirectory } from '../../world/host.ts';
import { randomHex } from '../../world/random.ts';
import type { LiveLines } from '../live-lines.ts';
import type { NodeClient, NodeRequest } from '../node-client.ts';
import type { Shell } from '../shell.ts';
import { describeWaiting } from '../status.ts';
import type { Folder } from './folder.ts';
import type { DemoNode, DemoNodeName, Hierarchy } from './hierarchy.ts';
import { untilAnswered } from './patience.ts';
import { type Hop, knownWireBytes } from './report.ts';
import { type Version, verifyVersion } from './verify.ts';

const packageName = 'demo';
const pollMs = 150;
/** How long the record of a hop that has ended may lag behind the version it brought. */
const hopGraceMs = 8_000;

const routes: readonly (readonly [from: DemoNodeName, to: DemoNodeName])[] = [
  ['P01', 'C01'],
  ['C01', 'C01DP1'],
  ['C01DP1', 'B01'],
];

export interface ReplicateOptions {
  /** The working directory, absolute. */
  readonly work: string;
  readonly basis: Folder;
  readonly target: Folder;
  readonly live: LiveLines;
}

export async function replicate(
  shell: Shell,
  hierarchy: Hierarchy,
  options: ReplicateOptions,
): Promise<{ readonly package: PackageId; readonly hops: readonly Hop[] }> {
  const story = new Story(shell, hierarchy, options.live);
  const { P01, C01, C01DP1 } = hierarchy.nodes;
  const source = join(options.work, 'source');
  await pointTo(shell, options.basis.path, source);
  const packageId = await story.createPackage(source);
  await story.setDestination(C01, C01DP1, { kind: 'dp', receives: 'all' });
  await story.setDestination(P01, C01, { kind: 'site', receives: 'assigned' });
  await story.command(P01.admin, {
    method: 'POST',
    path: `${httpPaths.package(packageId)}/distribute`,
    body: { to: C01.name },
  });
  const first = await story.deliver({ packageId, version: 1, folder: options.basis });
  await pointTo(shell, options.target.path, source);
  await story.command(P01.admin, { method: 'POST', path: `${httpPaths.package(packageId)}/update` });
  const second = await story.deliver({ packageId, version: 2, folder: options.target });
  return { package: packageId, hops: [...first, ...second] };
}

/** Atomic where the system can replace a link by renaming; nothing reads the source at that moment anyway. */
async function pointTo({ files, random }: Shell, target: string, path: string): Promise<void> {
  const draft = `${path}.${randomHex(random, 4)}`;
  await linkDirectory(target, draft);
  await files.rename(draft, path);
}

class Story {
  readonly #shell: Shell;
  readonly #hierarchy: Hierarchy;
  readonly #live: LiveLines;

  constructor(shell: Shell, hierarchy: Hierarchy, live: LiveLines) {
    this.#shell = shell;
    this.#hierarchy = hierarchy;
    this.#live = live;
  }

  #ask<Answer>(question: () => Promise<Answer>): Promise<Answer> {
    return untilAnswered(this.#shell.clock, this.#shell.signal, question);
  }

  async command(client: NodeClient, request: NodeRequest): Promise<void> {
    await this.#ask(() => client.command(request, this.#shell.signal));
  }

  async setDestination(
    at: DemoNode,
    to: DemoNode,
    how: { readonly kind: 'site' | 'dp'; readonly receives: 'all' | 'assigned' },
  ): Promise<void> {
    const body = { ...how, url: to.origin, token: to.config.tokens.feed };
    await this.command(at.admin, { method: 'PUT', path: httpPaths.destination(to.name), body });
  }

  /** Looks before it asks: an earlier request may have been carried out and its answer lost. */
  async createPackage(source: string): Promise<PackageId> {
    const { signal } = this.#shell;
    const { admin } = this.#hierarchy.nodes.P01;
    const id = await this.#ask(async () => {
      const known = (await admin.status(signal)).packages.find((held) => held.name === packageName);
      if (known !== undefined) return known.id;
      const request = { method: 'POST', path: httpPaths.packages, body: { name: packageName, source } } as const;
      return (await admin.json(createdPackageMessage, request, signal)).id;
    });
    if (isPackageId(id)) return id;
    throw new RangeError(`${id} passed the schema of ids`);
  }

  /** Waits until all nodes hold the version, verifies it at each, and collects what the hops cost. */
  async deliver(version: Version): Promise<readonly Hop[]> {
    await this.#arrived(version);
    const verified = await this.#verified(version);
    const records = await this.#hopRecords(version);
    return routes.map(([from, to], index) => {
      const record = records[index];
      return {
        from,
        to,
        version: version.version,
        mechanisms: record?.mechanisms ?? null,
        logicalBytes: version.folder.bytes,
        wireBytes: knownWireBytes(record),
        seconds: record?.seconds ?? null,
        // What P01 itself serves is the start of every hop from it.
        verified: verified.has(to) && verified.has(from),
      };
    });
  }

  async #arrived({ packageId, version }: Version): Promise<void> {
    const { clock, signal } = this.#shell;
    const nodes = this.#hierarchy.all();
    for (;;) {
      // One answer each, or none while a node is away: the others are shown meanwhile.
      const statuses = await Promise.all(nodes.map((node) => node.admin.status(signal).catch(absent)));
      signal.throwIfAborted();
      this.#live.show(nodes.map((node, index) => this.#describe(node, statuses[index], packageId)));
      for (const status of statuses) throwParked(status);
      const held = statuses.map((status) => status?.packages.find((one) => one.id === packageId)?.version ?? 0);
      if (held.every((newest) => newest >= version)) return;
      await clock.sleep(pollMs, signal);
    }
  }

  #describe(node: DemoNode, status: StatusMessage | undefined, packageId: PackageId): string {
    const { err, clock } = this.#shell;
    const title = `${node.name.padEnd(7)}${node.config.kind.padEnd(7)}`;
    if (status === undefined) return `${title}${err.style('yellow', 'starting')}`;
    const version = status.packages.find((held) => held.id === packageId)?.version ?? 0;
    // Polling is not news.
    const jobs = status.waiting.filter((job) => job.key !== '*');
    const now = clock.wallMs();
    const shown = jobs.map((job) => (err.isTerminal ? describeWaiting(job, now) : `${job.queue} ${job.state}`));
    return `${title}version ${version}${shown.length === 0 ? '' : `  ${shown.join('; ')}`}`;
  }

  async #verified(version: Version): Promise<ReadonlySet<DemoNodeName>> {
    const { signal, err } = this.#shell;
    const nodes = this.#hierarchy.all();
    const counts = nodes.map(() => 0);
    const files = [...version.folder.entries.values()].filter((entry) => entry.kind === 'file').length;
    const show = (): void =>
      this.#live.show(
        nodes.map(
          (node, index) =>
            `${node.name.padEnd(14)}verifying version ${version.version}: ${counts[index]} of ${files} files`,
        ),
      );
    const passed = new Set<DemoNodeName>();
    await Promise.all(
      nodes.map(async (node, index) => {
        const onFile = (): void => {
          counts[index] = (counts[index] ?? 0) + 1;
          if (err.isTerminal && (counts[index] ?? 0) % 16 === 0) show();
        };
        const faults = await verifyVersion(this.#shell, node.peer, version, { signal, onFile });
        if (faults.length === 0) passed.add(node.name);
        for (const fault of faults) this.#live.print(`${node.name} version ${version.version}: ${fault}`);
      }),
    );
    show();
    return passed;
  }

  /** Newest record of each route for this version; `undefined` where a kill took it. */
  async #hopRecords({ packageId, version }: Version): Promise<readonly (HopMessage | undefined)[]> {
    const { clock, signal } = this.#shell;
    const startedMs = clock.monotonicMs();
    for (;;) {
      const hops: HopMessage[] = [];
      for (const node of this.#hierarchy.all()) hops.push(...(await this.#ask(() => node.admin.status(signal))).hops);
      const found = routes.map(([from, to]) =>
        hops.findLast(
          (hop) => hop.packageId === packageId && hop.version === version && hop.from === from && hop.to === to,
        ),
      );
      if (!found.includes(undefined) || clock.monotonicMs() - startedMs > hopGraceMs) return found;
      await clock.sleep(pollMs, signal);
    }
  }
}

function absent(): undefined {
  return undefined;
}

/** What only a person can move will not move here. */
function throwParked(status: StatusMessage | undefined): void {
  const parked = status?.waiting.find((job) => job.state === 'parked');
  if (status === undefined || parked === undefined) return;
  throw new ReplicationError(
    'process-failed',
    `${status.node.name} cannot go on: ${parked.queue} ${parked.key}: ${parked.error?.code}: ${parked.error?.message}`,
  );
}
