/** The simulated twins keep the contracts of the world, fail as the world fails, and repeat exactly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { World } from '../../src/world/world.ts';
import { clockConformance } from '../conformance/clock.ts';
import { databaseConformance } from '../conformance/database.ts';
import { rejectsWithCode } from '../conformance/expect.ts';
import { filesConformance } from '../conformance/files.ts';
import { networkConformance } from '../conformance/network.ts';
import { threadsConformance } from '../conformance/threads.ts';
import { Life } from './life.ts';
import type { Machine } from './machine.ts';
import { nextWord, Seeded } from './seeded.ts';
import { simThreads } from './sim-threads.ts';
import { Simulation } from './simulation.ts';
import { SimulationFailure } from './timeline.ts';
import { runTraffic, writeDurably } from './traffic.ts';

const SEED_COUNT = 20;
const BYTES = new TextEncoder().encode('0123456789'.repeat(300));

// The conformance suites, on a simulation whose time runs by itself.

function selfDriven(): { machine: Machine; world: World; [Symbol.asyncDispose](): Promise<void> } {
  const simulation = new Simulation('conformance');
  simulation.driveItself();
  const machine = simulation.machine('solo');
  machine.files.makeDirectory('/root');
  return { machine, world: machine.boot(), [Symbol.asyncDispose]: async () => machine.kill() };
}

clockConformance('simulated clock', async () => {
  const { world, [Symbol.asyncDispose]: dispose } = selfDriven();
  return { clock: world.clock, [Symbol.asyncDispose]: dispose };
});
filesConformance('simulated files', async () => {
  const { machine, world, [Symbol.asyncDispose]: dispose } = selfDriven();
  const makeSymlink = async (target: string, path: string): Promise<void> => machine.files.symlink(target, path);
  return { files: world.files, root: '/root', makeSymlink, hasHoles: async () => true, [Symbol.asyncDispose]: dispose };
});
databaseConformance('simulated database', async () => {
  const { world, [Symbol.asyncDispose]: dispose } = selfDriven();
  return { openDatabase: world.openDatabase, directory: '/root/db', [Symbol.asyncDispose]: dispose };
});
networkConformance('simulated network', async () => {
  const { world, [Symbol.asyncDispose]: dispose } = selfDriven();
  return { network: world.network, host: 'solo', [Symbol.asyncDispose]: dispose };
});
threadsConformance('simulated threads', async (threadCount) => {
  const { machine, [Symbol.asyncDispose]: dispose } = selfDriven();
  const life = new Life(machine, 99, new Seeded('threads'));
  return { threads: simThreads(life, threadCount), [Symbol.asyncDispose]: dispose };
});

/** Runs `body` for each seed and names the seed that fails. */
async function forSeeds(body: (seed: number) => Promise<void>, seedCount = SEED_COUNT): Promise<void> {
  for (let seed = 0; seed < seedCount; seed++) {
    try {
      await body(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  }
}

// Repetition.

test('Simulation repeats: random traffic with crashes gives one digest per seed, and keeps what it acknowledged', async () => {
  const digests = new Set<string>();
  await forSeeds(async (seed) => {
    const { simulation, acknowledged } = await runTraffic(seed);
    const again = await runTraffic(seed);
    assert.equal(again.simulation.trace.eventCount, simulation.trace.eventCount);
    assert.equal(again.simulation.trace.digest(), simulation.trace.digest());
    digests.add(simulation.trace.digest());
    for (const machine of simulation.machines) {
      machine.powerCut('all');
      assert.equal(machine.files.readText('/data/state'), `round ${acknowledged.files.get(machine.name)}`);
      assert.ok(machine.log.length > 0);
    }
  });
  assert.equal(digests.size, SEED_COUNT);
});

test('nextWord() gives the stream of the published xoshiro128**', () => {
  // From the authors' C code, started with 1, 2, 3, 4.
  const state = Uint32Array.of(1, 2, 3, 4);
  const words = Array.from({ length: 8 }, () => nextWord(state));
  assert.deepEqual(words, [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849]);
});

test('Seeded forks into independent streams and draws evenly', () => {
  const chance = new Seeded('a');
  const fork = chance.fork('x');
  const first = fork.word();
  chance.bytes(100);
  assert.equal(chance.fork('x').word(), first);
  assert.notEqual(chance.fork('y').word(), first);
  const drawn = Array.from({ length: 10_000 }, () => chance.integer(0, 10));
  assert.deepEqual(new Set(drawn), new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
  assert.ok(Math.abs(drawn.reduce((sum, each) => sum + each, 0) / drawn.length - 4.5) < 0.2);
  assert.throws(() => chance.integer(3, 3), RangeError);
});

test('run() rejects with the seed when nothing is left to happen or time is up', async () => {
  const simulation = new Simulation('the-seed');
  await assert.rejects(
    simulation.run(() => false, { virtualMsMax: 10 }),
    (error) => error instanceof SimulationFailure && error.message.includes('seed the-seed'),
  );
  const { clock } = simulation.machine('a').boot();
  void clock.sleep(1000);
  await assert.rejects(
    simulation.run(() => false, { virtualMsMax: 10 }),
    /10 virtual ms/,
  );
  assert.equal(simulation.nowMs, 10);
});

test('wall clocks may jump and differ, monotonic time does not', async () => {
  const simulation = new Simulation(1);
  const machine = simulation.machine('a', { wallOffsetMs: 5000 });
  const { clock } = machine.boot();
  const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()];
  machine.wallOffsetMs -= 86_400_000;
  await simulation.drive(clock.sleep(100));
  assert.ok(clock.wallMs() < wallMs);
  assert.ok(clock.monotonicMs() - monotonicMs >= 100);
});

// Crashes.

test('kill() lets nothing of the dead life settle, and keeps the page cache', async () => {
  const simulation = new Simulation(1);
  const machine = simulation.machine('a');
  const settled: string[] = [];
  const started = machine.start(async (world) => {
    const note = (name: string) => () => settled.push(name);
    const handle = await world.files.open('/file', 'create');
    await handle.write(0, BYTES);
    await world.files.lock('/');
    machine.kill();
    for (const pending of [
      world.clock.sleep(1),
      handle.sync(),
      handle.close(),
      world.files.facts('/file'),
      world.openDatabase('/db'),
      world.network.serve({ host: 'a', port: 1, connectionCountMax: 1, handle: async () => ({ status: 200 }) }),
      world.network.connect('http://a:1').request({ method: 'GET', path: '/' }),
      world.threads.run({ name: 'job', run: () => 1 }, 1),
    ]) {
      pending.then(note('resolved'), note('rejected'));
    }
    return undefined;
  });
  await assert.rejects(simulation.drive(started), /ended before it was up/);
  await simulation.advance(100_000);
  assert.deepEqual(settled, []);
  assert.equal(machine.isRunning, false);
  const world = machine.boot();
  await using _lock = await simulation.drive(world.files.lock('/'));
  assert.deepEqual(machine.files.readFile('/file'), BYTES);
});

test('powerCut() loses or tears what was not synced for some seed, and never what was (negative control)', async () => {
  const outcomes = new Set<string>();
  await forSeeds(async (seed) => {
    const simulation = new Simulation(seed);
    const machine = simulation.machine('a');
    const write = async (world: World): Promise<undefined> => {
      await writeDurably(world, '/durable', BYTES);
      await using named = await world.files.open('/unsynced', 'create');
      await world.files.syncDirectory('/');
      await named.write(0, BYTES);
      await using nameless = await world.files.open('/nameless', 'create');
      await nameless.write(0, BYTES);
      await nameless.sync();
      return undefined;
    };
    await simulation.drive(machine.start(write));
    machine.powerCut();
    assert.deepEqual(machine.files.readFile('/durable'), BYTES);
    const unsynced = machine.files.readFile('/unsynced');
    assert.ok(unsynced !== undefined, 'a synced name was lost');
    const isWhole = Buffer.compare(unsynced, BYTES) === 0;
    outcomes.add(unsynced.length === 0 ? 'empty' : isWhole ? 'whole' : 'torn');
    outcomes.add(machine.files.exists('/nameless') ? 'named' : 'nameless');
  }, 60);
  assert.deepEqual([...outcomes].sort(), ['empty', 'named', 'nameless', 'torn', 'whole']);
});

test('powerCut() leaves a renamed file under one of its names, with the content it replaces or its own', async () => {
  const outcomes = new Set<string>();
  await forSeeds(async (seed) => {
    const simulation = new Simulation(seed);
    const machine = simulation.machine('a');
    machine.files.writeFile('/x/old', 'new content');
    machine.files.writeFile('/y/current', 'old content');
    const { files } = machine.boot();
    await simulation.drive(files.rename('/x/old', '/y/current'));
    if (seed % 3 === 1) await simulation.drive(files.syncDirectory('/x'));
    if (seed % 3 === 2) await simulation.drive(files.syncDirectory('/y'));
    machine.powerCut();
    const [before, after] = [machine.files.readText('/x/old'), machine.files.readText('/y/current')];
    assert.deepEqual(before === undefined ? ['new content'] : ['old content'], [after]);
    outcomes.add(before === undefined ? 'kept' : 'lost');
  }, 60);
  assert.deepEqual([...outcomes].sort(), ['kept', 'lost']);
});

test('a rename is durable once both directories are synced', async () => {
  await forSeeds(async (seed) => {
    const simulation = new Simulation(seed);
    const machine = simulation.machine('a');
    machine.files.writeFile('/x/old', 'content');
    machine.files.makeDirectory('/y');
    const { files } = machine.boot();
    await simulation.drive(files.rename('/x/old', '/y/new'));
    await simulation.drive(Promise.all([files.syncDirectory('/x'), files.syncDirectory('/y')]));
    machine.powerCut('all');
    assert.deepEqual(machine.files.filesBelow('/'), ['/y/new']);
  });
});

test('a new link is durable once its directory is synced, and may be lost before', async () => {
  for (const isSynced of [false, true]) {
    const simulation = new Simulation(1);
    const machine = simulation.machine('a');
    const { files } = machine.boot();
    await simulation.drive(files.makeDirectory('/x'));
    await simulation.drive(files.makeLink('/x/link', 'anywhere'));
    if (isSynced) await simulation.drive(files.syncDirectory('/x'));
    machine.powerCut('all');
    assert.equal(machine.files.exists('/x/link'), isSynced);
  }
});

test('crashAtChange() at every change of a durable replacement leaves the old or the new file whole', async () => {
  const seen = new Set<string | undefined>();
  await forSeeds(async (seed) => {
    for (const crash of ['kill', 'powerCut'] as const) {
      for (let change = 1; ; change++) {
        const simulation = new Simulation(`${seed}/${crash}/${change}`);
        const machine = simulation.machine('a');
        machine.files.writeFile('/state', 'old');
        machine.crashAtChange(change, crash);
        void machine.start(async (world) => {
          await writeDurably(world, '/state', new TextEncoder().encode('new'));
          return undefined;
        });
        await simulation.run(() => machine.isUp || !machine.isRunning, { virtualMsMax: 1000 });
        const content = machine.files.readText('/state');
        seen.add(content);
        assert.ok(content === 'old' || content === 'new', `change ${change}: ${content}`);
        assert.equal(machine.failure, undefined);
        if (machine.isUp) {
          assert.equal(content, 'new');
          break;
        }
      }
    }
  });
  assert.deepEqual([...seen].sort(), ['new', 'old']);
});

test('a database keeps resolved transactions and decides the one under way wholly', async () => {
  const outcomes = new Set<number>();
  await forSeeds(async (seed) => {
    const simulation = new Simulation(seed);
    const machine = simulation.machine('a');
    const database = await simulation.drive(machine.boot().openDatabase('/db'));
    const put = (value: number): Promise<void> =>
      database.transaction((transaction) => {
        transaction.put('t', 'a', value);
        transaction.put('t', 'b', value);
      });
    await simulation.drive(put(1));
    void put(2);
    // Its commit takes at least half a millisecond more than its work.
    await simulation.advance(0.6);
    machine.powerCut('all');
    const again = await simulation.drive(machine.boot().openDatabase('/db'));
    const value = again.get('t', 'a');
    assert.equal(again.get('t', 'b'), value);
    assert.ok(value === 1 || value === 2);
    outcomes.add(value);
  });
  assert.deepEqual([...outcomes].sort(), [1, 2]);
});

test('a damaged database throws database-damaged, by record or as a whole, and can be set aside', async () => {
  const simulation = new Simulation(1);
  const machine = simulation.machine('a');
  const world = machine.boot();
  const database = await simulation.drive(world.openDatabase('/db'));
  await simulation.drive(database.transaction((transaction) => transaction.put('t', 'k', 'value')));
  const records = machine.files.databaseAt('/db');
  assert.ok(records !== undefined);
  assert.equal(records.flipBit('t', 'k'), true);
  assert.throws(() => database.get('t', 'k'), { code: 'database-damaged' });
  records.isDamaged = true;
  await simulation.drive(Promise.resolve(database[Symbol.asyncDispose]()));
  await simulation.drive(rejectsWithCode(world.openDatabase('/db'), 'database-damaged'));
  await simulation.drive(world.files.rename('/db', '/db.damaged'));
  const fresh = await simulation.drive(world.openDatabase('/db'));
  assert.deepEqual(fresh.entries('t'), []);
});

test('stop() disposes of the service and frees lock and port for the next start', async () => {
  const simulation = new Simulation(1);
  const machine = simulation.machine('a');
  const told: string[] = [];
  const main = async (world: World): Promise<AsyncDisposable> => {
    await world.files.lock('/');
    const handle = async (): Promise<{ status: number }> => ({ status: 200 });
    const server = await world.network.serve({ host: 'a', port: 1, connectionCountMax: 1, handle });
    told.push('up');
    return {
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]();
        told.push('down');
      },
    };
  };
  for (let round = 0; round < 2; round++) {
    await simulation.drive(machine.start(main));
    assert.equal(machine.isUp, true);
    await simulation.drive(machine.stop());
    assert.equal(machine.isRunning, false);
  }
  assert.deepEqual(told, ['up', 'down', 'up', 'down']);
});

test('a main that throws ends its process and is remembered', async () => {
  const simulation = new Simulation(1);
  const machine = simulation.machine('a');
  const failure = new Error('bad start');
  const started = machine.start(async ({ clock }) => {
    await clock.sleep(5);
    throw failure;
  });
  await assert.rejects(simulation.drive(started), (error) => error === failure);
  assert.deepEqual([machine.isRunning, machine.failure], [false, failure]);
});

// Faults of the disk.

test('a full disk fails writes and commits with disk-full, and works again with room', async () => {
  const simulation = new Simulation(1);
  const machine = simulation.machine('a');
  machine.files.capacityBytes = 1000;
  const world = machine.boot();
  const handle = await simulation.drive(world.files.open('/file', 'create'));
  const database = await simulation.drive(world.openDatabase('/db'));
  await simulation.drive(rejectsWithCode(handle.write(0, BYTES), 'disk-full'));
  assert.ok(machine.files.usedBytes <= 1000);
  const put = (): Promise<void> => database.transaction((transaction) => transaction.put('t', 'k', BYTES));
  await simulation.drive(rejectsWithCode(put(), 'disk-full'));
  assert.equal(database.get('t', 'k'), undefined);
  machine.files.capacityBytes = 10_000;
  await simulation.drive(handle.write(0, BYTES));
  await simulation.drive(put());
  const before = machine.files.usedBytes;
  await simulation.drive(Promise.all([handle.close(), world.files.remove('/file')]));
  assert.equal(machine.files.usedBytes, before - BYTES.length);
});

test('scripted faults strike where told, and a sync that failed never saves the bytes', async () => {
  const simulation = new Simulation(1);
  const machine = simulation.machine('a');
  const { files } = machine.boot();
  const handle = await simulation.drive(files.open('/file', 'create'));
  await simulation.drive(files.syncDirectory('/'));
  await simulation.drive(handle.write(0, BYTES));
  machine.files.inject({ operation: 'sync', code: 'disk-failed', pathPart: 'file' });
  machine.files.inject({ operation: 'read', code: 'disk-failed', skipCount: 1 });
  await simulation.drive(rejectsWithCode(handle.sync(), 'disk-failed'));
  const other = await simulation.drive(files.open('/file', 'update'));
  await simulation.drive(other.sync());
  assert.equal(await simulation.drive(other.read(0, new Uint8Array(10))), 10);
  await simulation.drive(rejectsWithCode(other.read(0, new Uint8Array(10)), 'disk-failed'));
  machine.powerCut('all');
  assert.notDeepEqual(machine.files.readFile('/file'), BYTES);
});

test('a buffer changed during its write is reported as a breach', async () => {
  const simulation = new Simulation(1);
  const { files } = simulation.machine('a').boot();
  const handle = await simulation.drive(files.open('/file', 'create'));
  const bytes = Buffer.of(1, 2, 3);
  const written = handle.write(0, bytes);
  bytes.fill(9);
  await assert.rejects(simulation.drive(written), /changed before it was done/);
});

// Faults of the network.

interface Pair {
  readonly simulation: Simulation;
  readonly server: Machine;
  readonly client: Machine;
  /** What the handler saw of each request. */
  readonly seen: string[];
  ask(silenceMsMax?: number): Promise<string>;
}

/** A server that reads all and answers as many bytes, and a client that notes how far it came. */
async function pair(seed: number): Promise<Pair> {
  const simulation = new Simulation(seed);
  const [server, client] = [simulation.machine('server'), simulation.machine('client')];
  const seen: string[] = [];
  await simulation.drive(
    server.start(async ({ network }) =>
      network.serve({
        host: '0.0.0.0',
        port: 80,
        connectionCountMax: 2,
        async handle(request) {
          request.signal.addEventListener('abort', () => seen.push('aborted'));
          try {
            for await (const _part of request.body);
          } catch (error) {
            seen.push('body failed');
            throw error;
          }
          seen.push('handled');
          return { status: 200, body: BYTES };
        },
      }),
    ),
  );
  const { network } = client.boot();
  const ask = async (silenceMsMax = 1000): Promise<string> => {
    await using connection = network.connect('http://server:80');
    let progress = 'unanswered';
    try {
      const response = await connection.request({ method: 'POST', path: '/', body: BYTES, silenceMsMax });
      progress = 'answered';
      for await (const _part of response.body);
      return 'whole';
    } catch (error) {
      return `${progress}, ${error instanceof Error && 'code' in error ? error.code : error}`;
    }
  };
  return { simulation, server, client, seen, ask };
}

test('a cut fails the side that waits, wherever it strikes', async () => {
  await forSeeds(async (seed) => {
    const { simulation, seen, ask } = await pair(seed);
    const cutAt = async (side: 'request' | 'response', fraction: number): Promise<readonly [string, string]> => {
      seen.length = 0;
      simulation.network.cutNext({ side, fraction, to: 'server' });
      const told = await simulation.drive(ask());
      await simulation.advance(10_000);
      assert.equal(simulation.network.openCount, 0);
      return [told, seen.join(', ')];
    };
    assert.equal(await simulation.drive(ask()), 'whole');
    assert.deepEqual(await cutAt('request', 0), ['unanswered, link-failed', '']);
    assert.deepEqual(await cutAt('request', 0.5), ['unanswered, link-failed', 'aborted, body failed']);
    assert.deepEqual(await cutAt('response', 0), ['unanswered, link-failed', 'handled, aborted']);
    const [told, server] = await cutAt('response', 0.5);
    assert.equal(told, 'answered, link-failed');
    assert.match(server, /^handled/);
    assert.equal(await simulation.drive(ask()), 'whole');
  });
});

test('a dead machine fails fast, a silent one after silenceMsMax, and heal() restores', async () => {
  const { simulation, server, ask } = await pair(1);
  simulation.network.partition('server', 'client');
  const startMs = simulation.nowMs;
  assert.equal(await simulation.drive(ask(700)), 'unanswered, link-timeout');
  assert.ok(simulation.nowMs - startMs >= 700 && simulation.nowMs - startMs < 710);
  const late = ask(5000);
  await simulation.advance(1000);
  simulation.network.heal('server', 'client');
  assert.equal(await simulation.drive(late), 'whole');
  simulation.network.partition('server', 'client', 'cut');
  assert.equal(await simulation.drive(ask()), 'unanswered, link-failed');
  simulation.network.heal();
  server.kill();
  assert.equal(await simulation.drive(ask()), 'unanswered, link-failed');
});

test('a server that dies while it answers cuts its peers', async () => {
  await forSeeds(async (seed) => {
    const { simulation, server, seen, ask } = await pair(seed);
    const asked = ask();
    await simulation.run(() => seen.length > 0, { virtualMsMax: 1000 });
    if (seed % 2 === 0) server.kill();
    else server.powerCut();
    assert.match(await simulation.drive(asked), /link-(failed|timeout)$/);
  });
});

test('connections beyond the most a server takes are refused', async () => {
  const { simulation, ask } = await pair(1);
  const told = await simulation.drive(Promise.all([ask(), ask(), ask(), ask(), ask()]));
  assert.ok(told.includes('whole') && told.includes('unanswered, link-failed'), told.join());
});

test('corruptChance changes bits of bodies that arrive', async () => {
  const { simulation, client } = await pair(1);
  simulation.network.link('server', 'client').corruptChance = 1;
  // Alive already: its life ends here and a new one asks.
  client.kill();
  const { network } = client.boot();
  const differing = await simulation.drive(
    (async () => {
      const connection = network.connect('http://server:80');
      const { body } = await connection.request({ method: 'GET', path: '/' });
      let [offset, count] = [0, 0];
      for await (const part of body) for (const byte of part) if (byte !== BYTES[offset++]) count++;
      assert.equal(offset, BYTES.length);
      return count;
    })(),
  );
  assert.ok(differing > 0);
});

test('rateBytesPerSecond bounds what a link carries', async () => {
  const { simulation, ask } = await pair(1);
  simulation.network.link('client', 'server').rateBytesPerSecond = 1000;
  const startMs = simulation.nowMs;
  assert.equal(await simulation.drive(ask(60_000)), 'whole');
  assert.ok(simulation.nowMs - startMs > 3000);
});
