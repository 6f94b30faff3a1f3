/**
 * Distribution manager: turns a changed package source into a new version, and a new version into one piece of work per
 * destination that shall hold it.
 */
import type { Engine } from '../engine/engine.ts';
import { startConsumer } from '../engine/queue/consumer.ts';
import type { Job } from '../engine/queue/queue.ts';
import { takeSnapshot } from '../engine/snapshot/snapshot.ts';
import { ReplicationError } from '../errors.ts';
import type { PackageId } from '../model/package.ts';
import { formatBytes } from '../model/units.ts';
import { fileEntries, logicalBytes } from '../wire/manifest.ts';
import { type Role, roleOf } from './role.ts';

const component = 'distribution-manager';

/** How far a destination may be ahead of a site that was restored from a backup. */
const versionLeapMax = 10_000;

/** `packageCountMax`: facts §5, packages processed at once. */
export function startDistributionManager(engine: Engine, options: { packageCountMax: number }): Role {
  const parallelCount = options.packageCountMax;
  return roleOf(component, [
    startConsumer(engine, {
      queue: 'snapshot',
      component,
      parallelCount,
      handle: (job, signal) => snapshot(engine, job, signal),
    }),
    startConsumer(engine, { queue: 'distribute', component, parallelCount, handle: (job) => distribute(engine, job) }),
  ]);
}

/** The job's key is the package id. */
async function snapshot(engine: Engine, job: Job, signal: AbortSignal): Promise<void> {
  const { world, store, catalog, holdings, journal, queue } = engine;
  const packageId = job.key as PackageId;
  const { name: packageName, source } = catalog.package(packageId);
  if (source === undefined)
    throw new ReplicationError('usage', `Package ${packageId} comes from another site and is updated there`);
  await journal.tell(2300, component, `Processing package ${packageId} from ${source}`);
  const newest = catalog.newestVersion(packageId);
  const previous = newest === 0 ? undefined : await catalog.manifest(packageId, newest);
  // A site restored from an old backup must not give a number twice.
  const confirmed = catalog.destinations().map(({ name }) => holdings.confirmedVersion(name, packageId) ?? 0);
  const { lastVersion } = catalog.package(packageId);
  // A number far beyond all we ever gave is a lie or an accident, and would use up the numbers that are left.
  const versionFloor = Math.max(lastVersion, ...confirmed.filter((version) => version <= lastVersion + versionLeapMax));
  const taken = await takeSnapshot(
    world,
    store,
    { packageId, packageName, source, nodeDirectory: engine.directory, previous, versionFloor },
    signal,
  );
  if (!taken.changed) {
    // The source may have given back what the library had lost.
    await queue.put('distribute', packageId, null);
    await journal.tell(30002, component, `The source of package ${packageId} did not change since version ${newest}`);
    return;
  }
  const { manifest, manifestBytes, portabilityWarnings } = taken;
  await catalog.publishVersion(manifest, manifestBytes);
  await queue.put('distribute', packageId, null);
  const files = `${fileEntries(manifest).length} files, ${formatBytes(logicalBytes(manifest))}`;
  await journal.tell(2376, component, `Version ${manifest.version} of package ${packageId} was taken: ${files}`);
  if (portabilityWarnings.length > 0) {
    await journal.tell(30003, component, `Package ${packageId}: ${portabilityWarnings.join('; ')}`);
  }
}

async function distribute(engine: Engine, job: Job): Promise<void> {
  const { catalog, queue, outbox, journal } = engine;
  const packageId = job.key as PackageId;
  const newest = catalog.newestVersion(packageId);
  if (newest === 0) return;
  for (const { name } of catalog.destinationsOf(packageId)) {
    await queue.put('replicate', `${packageId}/${name}`, { caution: 0 }, { keepWaiting: true });
  }
  // The last but one stays: someone may be in the middle of fetching it.
  const kept = catalog.versions(packageId).at(-2) ?? newest;
  await outbox.retire(
    packageId,
    kept,
    (file) => queue.refersTo('send', file.sha256) || queue.refersTo('schedule', file.sha256),
  );
  await journal.tell(
    2301,
    component,
    `Package ${packageId} version ${newest} is distributed to all its destinations or queued for them`,
  );
}
