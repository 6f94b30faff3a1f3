/**
 * Random traffic for the tests of the twins: machines that write, sync, rename, commit, ask each other and crash.
 * What is acknowledged is remembered outside the machines, so that a test can hold them to it.
 */
import type { IncomingRequest, OutgoingResponse } from '../../src/world/network.ts';
import type { World } from '../../src/world/world.ts';
import type { Machine } from './machine.ts';
import { Simulation } from './simulation.ts';

const MACHINE_NAMES: readonly string[] = ['parent', 'child1', 'child2', 'dp1', 'dp2', 'dp3', 'dp4'];
const PORT = 8100;
const ROUND_COUNT = 8;

export interface Acknowledged {
  /** Machine name to the last round whose file was written, synced, renamed and its directory synced. */
  readonly files: Map<string, number>;
  /** Machine name to the last round whose transaction resolved. */
  readonly records: Map<string, number>;
}

/** Runs the traffic of one seed; everything that happened is in the digest. */
export async function runTraffic(
  seed: string | number,
): Promise<{ simulation: Simulation; acknowledged: Acknowledged }> {
  const simulation = new Simulation(seed);
  const chance = simulation.seeded.fork('traffic');
  const acknowledged: Acknowledged = { files: new Map(), records: new Map() };
  const machines = MACHINE_NAMES.map((name) => simulation.machine(name, { wallOffsetMs: chance.integer(-5000, 5000) }));
  simulation.network.setAllLinks({ cutChance: 0.1 });
  const start = (machine: Machine): void => void machine.start((world) => work(machine, world, acknowledged));
  for (const machine of machines) start(machine);
  for (let crash = 0; crash < 6; crash++) {
    await simulation.advance(chance.between(0, 120));
    const machine = chance.pick(machines);
    if (chance.chance(0.5)) machine.kill();
    else machine.powerCut();
    if (chance.chance(0.3)) simulation.network.partition(machine.name, chance.pick(machines).name);
    await simulation.advance(chance.between(0, 60));
    simulation.network.heal();
    simulation.network.setAllLinks({ cutChance: 0.1 });
    start(machine);
  }
  await simulation.run(() => machines.every((machine) => machine.isUp), { virtualMsMax: 3_600_000 });
  return { simulation, acknowledged };
}

/** Resolves when all rounds of this life are done. */
async function work(machine: Machine, world: World, acknowledged: Acknowledged): Promise<AsyncDisposable> {
  await world.files.makeDirectory('/data');
  await using _lock = await world.files.lock('/data');
  const database = await world.openDatabase('/data/db');
  const server = await world.network.serve({
    host: '0.0.0.0',
    port: PORT,
    connectionCountMax: 8,
    handle: (request) => answer(world, request),
  });
  const firstRound = (acknowledged.files.get(machine.name) ?? -1) + 1;
  for (let round = firstRound; round < firstRound + ROUND_COUNT; round++) {
    await writeDurably(world, '/data/state', new TextEncoder().encode(`round ${round}`));
    acknowledged.files.set(machine.name, round);
    await database.transaction((transaction) => transaction.put('rounds', 'last', round));
    acknowledged.records.set(machine.name, round);
    await ask(world, MACHINE_NAMES[(round * 3 + machine.name.length) % MACHINE_NAMES.length] ?? 'parent');
    await world.clock.sleep(5);
  }
  return {
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

/** Replaces the file at `path` so that, whatever happens, it is whole: old or new. */
export async function writeDurably(world: World, path: string, bytes: Uint8Array): Promise<void> {
  const directory = path.slice(0, Math.max(1, path.lastIndexOf('/')));
  {
    await using handle = await world.files.open(`${path}.new`, 'resume');
    await handle.truncate(0);
    await handle.write(0, bytes);
    await handle.sync();
  }
  await world.files.rename(`${path}.new`, path);
  await world.files.syncDirectory(directory);
}

async function answer(world: World, request: IncomingRequest): Promise<OutgoingResponse> {
  let bytes = 0;
  for await (const part of request.body) bytes += part.length;
  await world.clock.sleep(2);
  return { status: 200, body: world.random.bytes(bytes / 2) };
}

async function ask(world: World, name: string): Promise<void> {
  await using connection = world.network.connect(`http://${name}:${PORT}`);
  try {
    const body = world.random.bytes(6_000);
    const response = await connection.request({ method: 'POST', path: '/half', body, silenceMsMax: 500 });
    let bytes = 0;
    for await (const part of response.body) bytes += part.length;
    world.log('info', 'answered', { bytes });
  } catch (error) {
    world.log('warn', 'ask failed', { code: error instanceof Error && 'code' in error ? String(error.code) : 'none' });
  }
}
