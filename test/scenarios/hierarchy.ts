/**
 * A whole hierarchy on the simulated world: one parent, two children, each child with a standard and a branch
 * distribution point. Versions are published while machines crash, power fails and connections break; then the faults
 * end and everything must come right by itself.
 *
 * Invariants. Safety, looked at all the time: whatever version a node serves is byte for byte the source's. Liveness:
 * once faults stop, every node ends with the newest version. Both verified over HTTP, as a client would.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { askHeldPackages } from '../../src/engine/transfer/inventory.ts';
import { PeerLink } from '../../src/engine/transfer/peer-link.ts';
import type { NodeConfig } from '../../src/model/config.ts';
import type { PackageId } from '../../src/model/package.ts';
import { openNode } from '../../src/site.ts';
import { createdPackageMessage, type StatusMessage, statusMessage } from '../../src/wire/api.ts';
import { httpPaths } from '../../src/wire/http.ts';
import { decodeManifest, fileEntries } from '../../src/wire/manifest.ts';
import type { World } from '../../src/world/world.ts';
import type { Machine } from '../sim/machine.ts';
import type { Seeded } from '../sim/seeded.ts';
import { Simulation } from '../sim/simulation.ts';

export interface Post {
  readonly name: string;
  readonly kind: NodeConfig['kind'];
  /** Host that pushes to it. */
  readonly parent?: string;
  /** Host it pulls from. */
  readonly upstream?: string;
}

/** Host name of each machine, and what it plays; `p01` is always the one that creates packages. */
export type Posts = Readonly<Record<string, Post>>;

export const wholeHierarchy: Posts = {
  p01: { name: 'P01', kind: 'site' },
  c01: { name: 'C01', kind: 'site', parent: 'p01' },
  c02: { name: 'C02', kind: 'site', parent: 'p01' },
  dp1: { name: 'DP1', kind: 'dp', parent: 'c01' },
  dp2: { name: 'DP2', kind: 'dp', parent: 'c02' },
  b01: { name: 'B01', kind: 'branch', upstream: 'dp1' },
  b02: { name: 'B02', kind: 'branch', upstream: 'dp2' },
};

/** The smallest that has every way of travelling: a push and a pull. */
export const smallHierarchy: Posts = {
  p01: { name: 'P01', kind: 'site' },
  c01: { name: 'C01', kind: 'site', parent: 'p01' },
  b01: { name: 'B01', kind: 'branch', upstream: 'c01' },
};

const port = 8100;
const adminToken = 'a'.repeat(32);
const feedToken = 'f'.repeat(32);
const peerToken = 'p'.repeat(32);
const anything = z.unknown();

/** Path to content. */
export type Tree = ReadonlyMap<string, Uint8Array>;

export interface HierarchyOptions {
  readonly versionCount: number;
  /** Mean virtual time between faults; 0 for none. */
  readonly faultEveryMs: number;
  /** How long after the last version faults go on. */
  readonly faultsForMs: number;
  /** Size of the package's one big file: large ones are interrupted on their way, small ones are quick. */
  readonly programBytes?: number;
}

export interface HierarchyResult {
  readonly digest: string;
  readonly eventCount: number;
  readonly virtualMs: number;
  readonly crashCount: number;
  readonly cutCount: number;
  readonly checkedFileCount: number;
}

export class Hierarchy {
  readonly simulation: Simulation;
  readonly #posts: Posts;
  readonly #chance: Seeded;
  readonly #trees: Tree[] = [];
  readonly #worlds = new Map<string, World>();
  /** Someone outside who only knows the network. */
  readonly operator: World;
  #crashCount = 0;
  #cutCount = 0;
  /** Files compared with the source so far. */
  checkedFileCount = 0;

  constructor(seed: string | number, posts: Posts = wholeHierarchy) {
    this.simulation = new Simulation(seed);
    this.#posts = posts;
    this.#chance = this.simulation.seeded.fork('scenario');
    for (const host of Object.keys(posts)) this.simulation.machine(host);
    this.operator = this.simulation.machine('operator').boot();
  }

  machine(host: string): Machine {
    const found = this.simulation.machines.find((machine) => machine.name === host);
    assert.ok(found, `there is no machine ${host}`);
    return found;
  }

  #configOf(host: string): NodeConfig {
    const post = this.#posts[host];
    assert.ok(post);
    return {
      kind: post.kind,
      name: post.name,
      listen: { host, port },
      tokens: { admin: adminToken, feed: feedToken, peer: peerToken },
      ...(post.upstream === undefined
        ? {}
        : { upstream: { url: `http://${post.upstream}:${port}`, token: peerToken, pollSeconds: 20 } }),
      log: { level: 'info' },
      threads: { count: 2 },
      sender: { payloadCountMax: 5 },
      distribution: { packageCountMax: 3 },
    };
  }

  /** Starts a node; its failure to start is looked at when it matters. */
  startNode(host: string): void {
    void this.machine(host).start(async (world) => {
      this.#worlds.set(host, world);
      const node = await openNode(world, { config: this.#configOf(host), directory: '/node', softwareVersion: 'test' });
      return { [Symbol.asyncDispose]: () => node.stop() };
    });
  }

  /** The world of the present life of `host`. */
  worldOf(host: string): World {
    const world = this.#worlds.get(host);
    assert.ok(world, `${host} was never started`);
    return world;
  }

  /** Opens a node once more in the same process, as a second process would: on the same port, in some directory. */
  async openSecond(host: string, directory: string): Promise<unknown> {
    return await openNode(this.worldOf(host), { config: this.#configOf(host), directory, softwareVersion: 'test' });
  }

  /** Lets `work` be done by someone outside, trying until it succeeds: nodes may be down at any moment. */
  async persist<Result>(host: string, work: (link: PeerLink, signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { signal } = new AbortController();
    for (;;) {
      await using link = new PeerLink(this.operator, { name: host, url: `http://${host}:${port}`, token: adminToken });
      try {
        return await work(link, signal);
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        await this.operator.clock.sleep(500);
      }
    }
  }

  async command(host: string, method: 'POST' | 'PUT', path: string, body: unknown): Promise<unknown> {
    return await this.persist(host, (link, signal) => link.sendJson(anything, { method, path, signal }, body));
  }

  get operatorClock(): World['clock'] {
    return this.operator.clock;
  }

  /** Nothing was published yet after all: the next tree is version 1 again. */
  forgetSources(): void {
    this.#trees.length = 0;
  }

  /** Puts a tree at the source, replacing the old one. */
  publishSource(tree: Tree): void {
    const { files } = this.machine('p01');
    files.removeTree('/source');
    for (const [path, bytes] of tree) files.writeFile(`/source/${path}`, bytes);
    this.#trees.push(tree);
  }

  async status(host: string): Promise<StatusMessage> {
    return await this.persist(host, (link, signal) =>
      link.json(statusMessage, { method: 'GET', path: httpPaths.status, signal }),
    );
  }

  /** Wires the hierarchy and creates the package; every step may be repeated after a crash. */
  async setUp(): Promise<PackageId> {
    for (const [host, { name, kind, parent }] of Object.entries(this.#posts)) {
      if (parent === undefined) continue;
      const destination = { kind, url: `http://${host}:${port}`, token: feedToken, receives: 'all' };
      await this.command(parent, 'PUT', httpPaths.destination(name), destination);
    }
    return await this.persist('p01', async (link, signal) => {
      const { packages } = await link.json(statusMessage, { method: 'GET', path: httpPaths.status, signal });
      const known = packages[0]?.id;
      if (known !== undefined) return known;
      const request = { method: 'POST', path: httpPaths.packages, signal } as const;
      return (await link.sendJson(createdPackageMessage, request, { name: 'editor', source: '/source' })).id;
    });
  }

  get hosts(): string[] {
    return Object.keys(this.#posts);
  }

  async update(packageId: PackageId): Promise<void> {
    await this.command('p01', 'POST', `${httpPaths.package(packageId)}/update`, {});
  }

  /** Resolves when `host` serves the version. */
  async reaches(host: string, packageId: PackageId, version: number): Promise<void> {
    for (;;) {
      const held = await this.persist(host, (link, signal) => askHeldPackages(link, signal));
      if ((held.get(packageId)?.version ?? 0) >= version) return;
      await this.operator.clock.sleep(1_000);
    }
  }

  /** Compares everything `host` serves with the sources; a node that is down is not looked at. */
  async check(host: string): Promise<void> {
    const { signal } = new AbortController();
    await using link = new PeerLink(this.operator, { name: host, url: `http://${host}:${port}`, token: peerToken });
    try {
      for (const [packageId, { version }] of await askHeldPackages(link, signal))
        await this.#checkVersion(link, packageId, version, signal);
    } catch (error) {
      // A broken connection says nothing; a wrong byte says all.
      if (error instanceof assert.AssertionError) throw error;
    }
  }

  async #checkVersion(link: PeerLink, packageId: PackageId, version: number, signal: AbortSignal): Promise<void> {
    const tree = this.#trees[version - 1];
    assert.ok(tree, `${link.name} serves version ${version}, which was never published`);
    const path = httpPaths.manifest(packageId, version);
    const bytes = await link.bytes(await link.request({ method: 'GET', path, signal }));
    const served = fileEntries(decodeManifest(bytes));
    assert.deepEqual(
      served.map((entry) => entry.path).sort(),
      [...tree.keys()].sort(),
      `paths of version ${version} at ${link.name}`,
    );
    for (const entry of served) {
      const response = await link.request({
        method: 'GET',
        path: httpPaths.file(packageId, version, entry.path),
        signal,
      });
      assert.equal(
        sha256(await link.bytes(response)),
        sha256(tree.get(entry.path) ?? new Uint8Array()),
        `${entry.path} of version ${version} at ${link.name}`,
      );
      this.checkedFileCount += 1;
    }
  }

  /** Hurts something by chance, and lets whatever is down come back after a while. */
  #oneFault(): void {
    const { simulation } = this;
    const chance = this.#chance;
    const hosts = this.hosts;
    const host = chance.pick(hosts);
    const kind = chance.integer(0, 5);
    if (kind === 0) {
      this.#cutCount += simulation.network.cutOpen(host, chance.pick(hosts));
    } else if (kind === 1) {
      const other = chance.pick(hosts.filter((name) => name !== host));
      simulation.network.partition(host, other, chance.chance(0.5) ? 'silent' : 'cut');
      simulation.schedule(chance.between(100, 20_000), () => simulation.network.heal(host, other));
    } else if (kind === 2) {
      this.machine(host).crashAtChange(chance.integer(1, 60), chance.chance(0.5) ? 'kill' : 'powerCut');
    } else if (chance.chance(0.5)) {
      this.machine(host).kill();
    } else {
      this.machine(host).powerCut();
    }
  }

  /** Machines that are down are switched on again after a moment, as a supervisor would. */
  #supervise(isOver: () => boolean): void {
    for (const host of this.hosts) {
      let wasRunning = false;
      const look = (): void => {
        if (isOver()) return;
        const { isRunning } = this.machine(host);
        if (!isRunning) {
          if (wasRunning) this.#crashCount += 1;
          this.startNode(host);
        }
        wasRunning = true;
        this.simulation.schedule(this.#chance.between(300, 3_000), look);
      };
      look();
    }
  }

  /** The whole story; rejects with the seed and the last events when an invariant breaks. */
  async run(options: HierarchyOptions): Promise<HierarchyResult> {
    const { simulation } = this;
    let areFaultsOver = options.faultEveryMs === 0;
    let isOver = false;
    this.publishSource(randomTree(this.#chance, options.programBytes ?? this.#chance.integer(1_200_000, 2_500_000)));
    this.#supervise(() => isOver);
    const fault = (): void => {
      if (areFaultsOver) return;
      this.#oneFault();
      simulation.schedule(this.#chance.between(0, 2 * options.faultEveryMs), fault);
    };
    if (!areFaultsOver) {
      simulation.network.setAllLinks({
        rateBytesPerSecond: this.#chance.integer(200_000, 2_000_000),
        cutChance: this.#chance.between(0, 0.05),
      });
      simulation.schedule(this.#chance.between(0, 2 * options.faultEveryMs), fault);
    }
    const watch = async (): Promise<void> => {
      while (!isOver) {
        await this.check(this.#chance.pick(this.hosts));
        await this.operator.clock.sleep(this.#chance.between(1_000, 10_000));
      }
    };
    const story = async (): Promise<void> => {
      const packageId = await this.setUp();
      for (let version = 1; version <= options.versionCount; version += 1) {
        if (version > 1) {
          this.publishSource(edited(this.#trees.at(-1) ?? new Map(), this.#chance));
          await this.update(packageId);
        }
        await this.reaches('p01', packageId, version);
        await this.operator.clock.sleep(this.#chance.between(0, 30_000));
      }
      await this.operator.clock.sleep(options.faultsForMs);
      areFaultsOver = true;
      simulation.heal();
      for (const host of this.hosts) {
        await this.reaches(host, packageId, options.versionCount);
        await this.persist(host, (link, signal) => this.#checkVersion(link, packageId, options.versionCount, signal));
      }
      isOver = true;
    };
    const watching = watch();
    try {
      // Ends also when the watcher finds a wrong byte.
      await simulation.drive(Promise.race([story(), watching.then(() => new Promise<never>(() => {}))]), {
        virtualMsMax: 30 * 60_000,
      });
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}\n${simulation.describe()}`, { cause: error });
    }
    const { digest, eventCount } = { digest: simulation.trace.digest(), eventCount: simulation.trace.eventCount };
    return {
      digest,
      eventCount,
      virtualMs: simulation.nowMs,
      crashCount: this.#crashCount,
      cutCount: this.#cutCount,
      checkedFileCount: this.checkedFileCount,
    };
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function randomTree(chance: Seeded, programBytes: number): Tree {
  const tree = new Map<string, Uint8Array>([
    ['empty', new Uint8Array(0)],
    ['big/program.bin', chance.bytes(programBytes)],
    ['big/text.txt', new Uint8Array(Buffer.from('siteferry '.repeat(chance.integer(2_000, 3_000))))],
  ]);
  for (let index = 0; index < 12; index += 1) tree.set(`small/файл-${index}`, chance.bytes(chance.integer(1, 3_000)));
  return tree;
}

/** Edits, renames, removes and adds: what a new version does. */
function edited(tree: Tree, chance: Seeded): Tree {
  const next = new Map(tree);
  const program = Uint8Array.from(tree.get('big/program.bin') ?? []);
  program.set(chance.bytes(500), chance.integer(0, Math.max(1, program.byteLength - 500)));
  next.set('big/program.bin', program);
  for (const [path, bytes] of tree) {
    if (!path.startsWith('small/')) continue;
    if (chance.chance(0.2)) next.set(path, chance.bytes(chance.integer(1, 3_000)));
    if (!chance.chance(0.1)) continue;
    next.delete(path);
    next.set(`${path}-moved`, bytes);
  }
  next.set(`small/new-${chance.integer(0, 1_000_000)}`, chance.bytes(100));
  return next;
}
