/** The queue and its consumer: what a scenario meets only by luck. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal } from '../../src/engine/journal/journal.ts';
import { type Consumer, startConsumer } from '../../src/engine/queue/consumer.ts';
import { type Job, Queue } from '../../src/engine/queue/queue.ts';
import { ReplicationError } from '../../src/errors.ts';
import type { World } from '../../src/world/world.ts';
import { Simulation } from '../sim/simulation.ts';

interface Bench {
  readonly simulation: Simulation;
  readonly world: World;
  readonly queue: Queue;
  readonly journal: Journal;
  readonly drive: <Result>(promise: Promise<Result>) => Promise<Result>;
}

async function bench(seed: string): Promise<Bench> {
  const simulation = new Simulation(seed);
  const drive = <Result>(promise: Promise<Result>): Promise<Result> =>
    simulation.drive(promise, { virtualMsMax: 600_000 });
  const world = simulation.machine('one').boot();
  const database = await drive(world.openDatabase('/database'));
  return { simulation, world, queue: new Queue(world, database), journal: new Journal(world, database), drive };
}

const later = (): ReplicationError => new ReplicationError('link-failed', 'the link failed');

test('a consumer with one slot tries a failed job again', async () => {
  const { simulation, world, queue, journal, drive } = await bench('one slot');
  let runCount = 0;
  const handle = async (): Promise<void> => {
    runCount += 1;
    if (runCount < 4) throw later();
  };
  const consumer = startConsumer(
    { world, queue, journal },
    { queue: 'send', component: 'test', parallelCount: 1, handle },
  );
  await drive(queue.put('send', 'a', null));
  await simulation.run(() => queue.find('send', 'a') === undefined, { virtualMsMax: 60_000 });
  assert.equal(runCount, 4);
  await drive(consumer.stop());
});

test('a consumer with one slot goes on after a job was parked', async () => {
  const { simulation, world, queue, journal, drive } = await bench('parked');
  const done: string[] = [];
  const handle = async (job: Job): Promise<void> => {
    done.push(job.key);
    if (job.key === 'bad') throw new ReplicationError('usage', 'no');
  };
  const consumer = startConsumer(
    { world, queue, journal },
    { queue: 'send', component: 'test', parallelCount: 1, handle },
  );
  await drive(Promise.all([queue.put('send', 'bad', null), queue.put('send', 'good', null)]));
  await simulation.run(() => done.includes('good'), { virtualMsMax: 60_000 });
  assert.equal(queue.find('send', 'bad')?.isParked, true);
  await drive(consumer.stop());
});

test('work put while its job finishes or is handed on is never lost, at any moment of the commit', async () => {
  for (let delayMs = 0; delayMs < 12; delayMs += 0.5) {
    const { simulation, world, queue, journal, drive } = await bench(`overtaken ${delayMs}`);
    const seen: unknown[] = [];
    const consumers: Consumer[] = [
      startConsumer(
        { world, queue, journal },
        {
          queue: 'schedule',
          component: 'test',
          parallelCount: 1,
          handle: async (job) => ({ queue: 'send', body: job.body }),
        },
      ),
      startConsumer(
        { world, queue, journal },
        {
          queue: 'send',
          component: 'test',
          parallelCount: 2,
          handle: async (job) => {
            seen.push(job.body);
          },
        },
      ),
    ];
    await drive(queue.put('schedule', 'a', 'first'));
    const second = world.clock.sleep(delayMs).then(() => queue.put('schedule', 'a', 'second'));
    await drive(second);
    await simulation.run(() => seen.includes('second') && queue.waiting().length === 0, { virtualMsMax: 60_000 });
    for (const consumer of consumers) await drive(consumer.stop());
  }
});

test('makeReady() does not bring back what was put or finished meanwhile', async () => {
  const { queue, drive } = await bench('make ready');
  await drive(queue.put('send', 'a', 'old'));
  const job = queue.take('send');
  assert.ok(job);
  await drive(queue.defer(job, 30_000, later()));
  await drive(Promise.all([queue.makeReady(() => true), queue.put('send', 'a', 'new')]));
  assert.equal(queue.find('send', 'a')?.body, 'new');
});

test('smaller priority goes first, then order of creation; a key is one job', async () => {
  const { queue, drive } = await bench('order');
  for (const [key, priority] of [
    ['low', 3],
    ['first', 2],
    ['second', 2],
    ['high', 1],
    ['first', 2],
  ] as const) {
    await drive(queue.put('send', key, null, { priority }));
  }
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => queue.take('send')?.key),
    ['high', 'first', 'second', 'low', undefined],
  );
});

test('a wait written under a clock that was wrong by years ends at once when the clock is set right', async () => {
  const { simulation, queue, drive } = await bench('clock');
  const [machine] = simulation.machines;
  assert.ok(machine);
  machine.wallOffsetMs = 10 * 365 * 86_400_000;
  await drive(queue.put('send', 'a', null));
  const job = queue.take('send');
  assert.ok(job);
  await drive(queue.defer(job, 30_000, later()));
  assert.equal(queue.take('send'), undefined);
  machine.wallOffsetMs = 0;
  assert.equal(queue.take('send')?.key, 'a');
});
