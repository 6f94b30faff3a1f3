/**
 * The four nodes of the demo: P01 sends to C01, C01 to its distribution point C01DP1, and the branch B01 pulls from
 * there. Each is a process of its own with a directory of its own; the demo speaks to them over HTTP like anybody.
 */
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { initConfig } from '../../config.ts';
import type { NodeConfig } from '../../model/config.ts';
import type { Network } from '../../world/network.ts';
import { randomHex } from '../../world/random.ts';
import { NodeClient } from '../node-client.ts';
import { freePortFor } from '../ports.ts';
import type { Shell } from '../shell.ts';
import { Supervised } from './supervisor.ts';

export const nodeNames = ['P01', 'C01', 'C01DP1', 'B01'] as const;
export type DemoNodeName = (typeof nodeNames)[number];

export interface DemoNode {
  readonly name: DemoNodeName;
  readonly directory: string;
  readonly origin: string;
  readonly config: NodeConfig;
  /** Commands it. */
  readonly admin: NodeClient;
  /** Downloads from it, as other nodes and clients do. */
  readonly peer: NodeClient;
  readonly process: Supervised;
}

export interface HierarchyOptions {
  /** Absolute, exists. */
  readonly directory: string;
  /** Left running when the demo has gone: then nobody reads what they would log. */
  readonly isKept: boolean;
  /** Told name and process id at every start. */
  readonly onStart: (name: DemoNodeName, pid: number) => void;
}

export class Hierarchy implements AsyncDisposable {
  readonly nodes: Readonly<Record<DemoNodeName, DemoNode>>;
  #isLeftRunning = false;

  private constructor(nodes: Readonly<Record<DemoNodeName, DemoNode>>) {
    this.nodes = nodes;
  }

  /** Ports are chosen before anything starts, so that a node that is killed comes back where it was. */
  static async start(shell: Shell, options: HierarchyOptions): Promise<Hierarchy> {
    const host = '127.0.0.1';
    const network = await shell.loadNetwork();
    const taken = new Set<number>();
    const ready: Partial<Record<DemoNodeName, NodeConfig>> = {};
    for (const name of nodeNames) {
      const port = await freePortFor(network, { host, name: randomHex(shell.random, 8), except: taken });
      taken.add(port);
      const source = ready['C01DP1'];
      ready[name] = await initConfig({
        files: shell.files,
        random: shell.random,
        directory: join(options.directory, name),
        kind: name === 'B01' ? 'branch' : name === 'C01DP1' ? 'dp' : 'site',
        name,
        host,
        port,
        logLevel: options.isKept ? 'silent' : 'warn',
        ...(name === 'B01' && source !== undefined
          ? { upstream: { url: originOf(source), token: source.tokens.peer, pollSeconds: 1 } }
          : {}),
      });
    }
    const nodes: Partial<Record<DemoNodeName, DemoNode>> = {};
    for (const name of nodeNames) {
      const config = ready[name];
      if (config !== undefined) nodes[name] = startNode({ shell, network }, options, name, config);
    }
    return new Hierarchy(nodes as Record<DemoNodeName, DemoNode>);
  }

  all(): readonly DemoNode[] {
    return nodeNames.map((name) => this.nodes[name]);
  }

  get restarts(): number {
    return this.all().reduce((sum, node) => sum + node.process.restarts, 0);
  }

  pids(): Record<string, number> {
    return Object.fromEntries(
      this.all().flatMap(({ name, process }) => (process.pid === undefined ? [] : [[name, process.pid]])),
    );
  }

  /** Rejects when one of the nodes cannot be kept alive. */
  get givenUp(): Promise<never> {
    return Promise.race(this.all().map((node) => node.process.givenUp));
  }

  /** Disposing closes the connections and no longer stops the nodes. */
  leaveRunning(): void {
    this.#isLeftRunning = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.all().map(async ({ admin, peer, process }) => {
        await Promise.all([admin[Symbol.asyncDispose](), peer[Symbol.asyncDispose]()]);
        if (!this.#isLeftRunning) await process.stop();
      }),
    );
  }
}

function originOf({ listen }: NodeConfig): string {
  return `http://${listen.host}:${listen.port}`;
}

function startNode(
  { shell, network }: { readonly shell: Shell; readonly network: Network },
  options: HierarchyOptions,
  name: DemoNodeName,
  config: NodeConfig,
): DemoNode {
  const directory = join(options.directory, name);
  const origin = originOf(config);
  return {
    name,
    directory,
    origin,
    config,
    admin: new NodeClient(network, { name, origin, token: config.tokens.admin }),
    peer: new NodeClient(network, { name, origin, token: config.tokens.peer }),
    process: new Supervised({
      clock: shell.clock,
      name,
      command: [...commandLine(), config.kind, 'start', directory, ...(options.isKept ? [] : ['--until-input-ends'])],
      env: withoutSettings(shell),
      onStart: (pid) => options.onStart(name, pid),
    }),
  };
}

/** How this very program is run. */
export function commandLine(): [program: string, ...args: string[]] {
  return [process.execPath, ...process.execArgv, fileURLToPath(new URL('../launch.js', import.meta.url))];
}

/** Settings meant for another node must not reach these: `undefined` removes. */
function withoutSettings({ environment }: Shell): Record<string, undefined> {
  const names = Object.keys(environment).filter((name) => name.startsWith('SITEFERRY_'));
  return Object.fromEntries(names.map((name) => [name, undefined]));
}

/** Writes name and process id of every node to `path`, whole at any moment. */
export async function writePidFile(shell: Shell, path: string, pids: Readonly<Record<string, number>>): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.${randomHex(shell.random, 4)}`);
  const handle = await shell.files.open(draft, 'create');
  await handle.write(0, new Uint8Array(Buffer.from(`${JSON.stringify(pids)}\n`)));
  await handle.close();
  await shell.files.rename(draft, path);
}
