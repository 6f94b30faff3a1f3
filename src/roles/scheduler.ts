/** Scheduler: lets a send request go to its sender when the address of its destination is open. */
import type { Engine } from '../engine/engine.ts';
import { startConsumer } from '../engine/queue/consumer.ts';
import type { HandOn, Job } from '../engine/queue/queue.ts';
import { ReplicationError } from '../errors.ts';
import type { NodeName } from '../model/site.ts';
import { type Role, roleOf } from './role.ts';

const component = 'scheduler';

export function startScheduler(engine: Engine): Role {
  return roleOf(component, [
    startConsumer(engine, { queue: 'schedule', component, parallelCount: 1, handle: (job) => schedule(engine, job) }),
  ]);
}

/** The job's key is `<package>/<destination>`, as of the send request it becomes. */
async function schedule({ catalog }: Engine, job: Job): Promise<HandOn | undefined> {
  const name = job.key.split('/')[1] as NodeName;
  const destination = catalog.findDestination(name);
  if (destination === undefined) return undefined;
  if (!destination.isOpen) {
    throw new ReplicationError('address-closed', `Cannot send to ${name}: its address is closed`, {
      hint: `siteferry address open ${name}`,
    });
  }
  return { queue: 'send', body: job.body };
}
