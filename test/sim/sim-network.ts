/**
 * The network between simulated machines, and the twin of `Network` for one life on it.
 *
 * A machine is reached under its name (`http://child1:8100`) and, by itself only, as `127.0.0.1` or `localhost`.
 */
import { ReplicationError } from '../../src/errors.ts';
import { limits } from '../../src/model/limits.ts';
import type { Log } from '../../src/world/log.ts';
import type {
  Connection,
  IncomingResponse,
  Network,
  OutgoingRequest,
  ServeOptions,
  Server,
} from '../../src/world/network.ts';
import { checkHeaders, Exchange, type Listener, type PlannedCut } from './exchange.ts';
import { type Life, never } from './life.ts';
import { Link, type LinkConditions } from './link.ts';
import type { Simulation } from './simulation.ts';

/** A cut by script: the next matching requests lose their connection at this point. */
export interface CutScript extends PlannedCut {
  readonly from?: string;
  readonly to?: string;
  /** Only requests whose path contains this. */
  readonly pathPart?: string;
  readonly skipCount?: number;
  /** How many; one when absent. */
  readonly count?: number;
}

interface Socket extends Listener {
  readonly isLoopback: boolean;
}

const LOOPBACK_HOSTS: readonly string[] = ['127.0.0.1', 'localhost', '::1'];
const WILDCARD_HOSTS: readonly string[] = ['0.0.0.0', '::'];
const FREE_PORT_FIRST = 49_152;
const PORT_COUNT = 65_536;

export class SimNetwork {
  readonly #simulation: Simulation;
  readonly #links = new Map<string, Link>();
  /** `machine:port` to what listens there. */
  readonly #sockets = new Map<string, Socket>();
  readonly #exchanges = new Set<Exchange>();
  #cuts: (CutScript & { left: { skip: number; strike: number } })[] = [];
  #exchangeCount = 0;
  #portNext = FREE_PORT_FIRST;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  /** The conditions of one direction; change them at any time. */
  link(from: string, to: string): LinkConditions {
    return this.#link(from, to).conditions;
  }

  /** Both directions between `a` and `b` go silent (default) or break. Open connections suffer, too. */
  partition(a: string, b: string, how: 'silent' | 'cut' = 'silent'): void {
    this.link(a, b).state = how;
    this.link(b, a).state = how;
    if (how === 'cut') this.cutOpen(a, b);
  }

  /** Ends partitions between `a` and `b`; everywhere, with chances of cuts and damage, when called without names. */
  heal(a?: string, b?: string): void {
    if (a !== undefined && b !== undefined) {
      this.link(a, b).state = 'up';
      this.link(b, a).state = 'up';
      return;
    }
    this.#cuts = [];
    for (const { conditions } of this.#links.values()) {
      Object.assign(conditions, { state: 'up', cutChance: 0, corruptChance: 0 } satisfies Partial<LinkConditions>);
    }
  }

  /** Changes every link there is between the machines that exist now. */
  setAllLinks(conditions: Partial<LinkConditions>): void {
    const names = this.#simulation.machines.map((machine) => machine.name);
    for (const from of names) for (const to of names) Object.assign(this.link(from, to), conditions);
  }

  /** Breaks the connections open now between `a` and `b`; returns how many. */
  cutOpen(a: string, b: string): number {
    const between = [...this.#exchanges].filter((exchange) => {
      const names = [exchange.client.host.name, exchange.server?.host.name];
      return names.includes(a) && names.includes(b);
    });
    for (const exchange of between) exchange.breakOff();
    return between.length;
  }

  cutNext(script: CutScript): void {
    this.#cuts.push({ ...script, left: { skip: script.skipCount ?? 0, strike: script.count ?? 1 } });
  }

  /** Requests begun and not yet finished on both sides. */
  get openCount(): number {
    return this.#exchanges.size;
  }

  /** What `life` sees of it. */
  forLife(life: Life, log: Log): Network {
    return {
      serve: (options) => this.#serve(life, log, options),
      connect: (origin) => this.#connect(life, origin),
    };
  }

  /** Frees its ports and cuts its connections. `isSudden`: the machine vanished, so peers may learn of it late. */
  lifeEnded(life: Life, isSudden: boolean): void {
    for (const [key, socket] of this.#sockets) if (socket.life === life) this.#sockets.delete(key);
    for (const exchange of [...this.#exchanges]) {
      if (exchange.client === life || exchange.server === life) exchange.lifeEnded(life, isSudden);
    }
  }

  #serve(life: Life, log: Log, options: ServeOptions): Promise<Server> {
    const machine = life.host.name;
    const isLoopback = LOOPBACK_HOSTS.includes(options.host);
    const isWildcard = WILDCARD_HOSTS.includes(options.host);
    const listen = (): Server => {
      if (!isLoopback && !isWildcard && options.host !== machine) {
        throw new ReplicationError('access-denied', `Cannot serve on ${options.host}: it is not ${machine}`);
      }
      const port = options.port === 0 ? this.#freePort(machine) : options.port;
      const key = `${machine}:${port}`;
      if (this.#sockets.has(key)) throw new ReplicationError('port-in-use', `Cannot serve on ${key}: it is in use`);
      const { handle, connectionCountMax } = options;
      const socket: Socket = { life, log, handle, connectionCountMax, isLoopback, openCount: 0 };
      this.#sockets.set(key, socket);
      const origin = `http://${isWildcard ? machine : options.host}:${port}`;
      return { origin, [Symbol.asyncDispose]: () => this.#close(life, key, socket) };
    };
    const delayMs = life.seeded.between(0, 2);
    return life.perform({ name: 'serve', facts: `${options.host}:${options.port}`, delayMs, apply: listen });
  }

  #freePort(machine: string): number {
    let port = this.#portNext;
    while (this.#sockets.has(`${machine}:${port}`)) port++;
    this.#portNext = port + 1 < PORT_COUNT ? port + 1 : FREE_PORT_FIRST;
    return port;
  }

  #close(life: Life, key: string, socket: Socket): Promise<void> {
    if (life.isOver) return never();
    if (this.#sockets.get(key) === socket) this.#sockets.delete(key);
    for (const exchange of [...this.#exchanges]) if (exchange.listener === socket) exchange.closeServer();
    return life.perform({ name: 'close', facts: key, delayMs: life.seeded.between(0, 2), apply: () => {} });
  }

  #connect(life: Life, origin: string): Connection {
    const parts = /^http:\/\/([a-z0-9.-]+|\[[0-9a-f:]+\])(?::(\d+))?$/.exec(origin);
    if (parts === null) throw new TypeError(`Cannot connect to ${origin}: expected http://host:port`);
    const hostname = (parts[1] ?? '').replace(/^\[|\]$/g, '');
    const port = parts[2] ?? '80';
    const isLoopback = LOOPBACK_HOSTS.includes(hostname);
    const to = isLoopback ? life.host.name : hostname;
    const open = new Set<Exchange>();
    const wire = { sent: 0, received: 0 };
    let isDisposed = false;
    const request = (outgoing: OutgoingRequest): Promise<IncomingResponse> => {
      if (life.isOver) return never();
      if (outgoing.signal?.aborted === true) return Promise.reject(outgoing.signal.reason);
      if (isDisposed) return Promise.reject(new TypeError(`Cannot ask ${origin}: the connection is closed`));
      try {
        checkHeaders(outgoing.headers);
        if (!/^\/[\x21-\x7e]*$/.test(outgoing.path)) throw new TypeError(`Cannot ask for ${outgoing.path}`);
      } catch (error) {
        return Promise.reject(error);
      }
      const exchange = this.#exchange(life, to, `${hostname}:${port}`, outgoing, wire, () => open.delete(exchange));
      open.add(exchange);
      return exchange.response;
    };
    return {
      request,
      wireBytes: () => ({ ...wire }),
      [Symbol.asyncDispose]: async () => {
        if (life.isOver) return never();
        isDisposed = true;
        const error = new ReplicationError('link-failed', `The connection to ${origin} was closed`);
        for (const exchange of [...open]) exchange.giveUp(error);
      },
    };
  }

  #exchange(
    client: Life,
    to: string,
    host: string,
    request: OutgoingRequest,
    wire: { sent: number; received: number },
    onDone: () => void,
  ): Exchange {
    const from = client.host.name;
    const outward = this.#link(from, to);
    const chance = this.#simulation.seeded.fork(`exchange/${this.#exchangeCount++}`);
    const exchange: Exchange = new Exchange({
      client,
      request,
      host,
      silenceMsMax: request.silenceMsMax ?? limits.silenceMsMax,
      outward,
      homeward: this.#link(to, from),
      chance,
      cut: this.#plannedCut(from, to, request.path, outward),
      wire,
      findListener: () => {
        const socket = this.#sockets.get(`${to}:${host.slice(host.lastIndexOf(':') + 1)}`);
        return socket?.isLoopback === true && from !== to ? undefined : socket;
      },
      onDone: () => {
        this.#exchanges.delete(exchange);
        onDone();
      },
    });
    this.#exchanges.add(exchange);
    return exchange;
  }

  #plannedCut(from: string, to: string, path: string, link: Link): PlannedCut | undefined {
    for (const cut of this.#cuts) {
      const isMeant = (cut.from ?? from) === from && (cut.to ?? to) === to && path.includes(cut.pathPart ?? '');
      if (!isMeant || cut.left.strike === 0) continue;
      if (cut.left.skip > 0) {
        cut.left.skip--;
        continue;
      }
      cut.left.strike--;
      return cut;
    }
    if (!link.chance.chance(link.conditions.cutChance)) return undefined;
    const side = link.chance.pick(['request', 'response'] as const);
    return { side, fraction: link.chance.chance(0.3) ? 0 : link.chance.fraction() };
  }

  #link(from: string, to: string): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      const chance = this.#simulation.seeded.fork(`link/${name}`);
      // The same machine, a local network or a thin line, as chance has it.
      const latencyMsMin = from === to ? 0.02 : chance.pick([0.2, 1, 5, 20]);
      const conditions: LinkConditions = {
        latencyMsMin,
        latencyMsMax: latencyMsMin * 3,
        rateBytesPerSecond: Number.POSITIVE_INFINITY,
        state: 'up',
        cutChance: 0,
        corruptChance: 0,
      };
      link = new Link({ name, conditions, chance, simulation: this.#simulation });
      this.#links.set(name, link);
    }
    return link;
  }
}
