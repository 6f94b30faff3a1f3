/**
 * Replication manager: decides for one package and one destination what must travel, has the payload made (once for all
 * who need the same), and hands a send request to the scheduler. Also makes payloads that pulling nodes ask for.
 */
import { z } from 'zod';
import type { DestinationRecord } from '../engine/catalog/records.ts';
import { makePayload } from '../engine/delta/make-payload.ts';
import { planContents } from '../engine/delta/plan.ts';
import type { Engine } from '../engine/engine.ts';
import { startConsumer } from '../engine/queue/consumer.ts';
import { startPeriodically } from '../engine/queue/periodically.ts';
import type { Job } from '../engine/queue/queue.ts';
import { type PayloadFile, variantOf } from '../engine/spool/outbox.ts';
import { askHeldContents, askHeldPackages, askHeldVersion, type Held } from '../engine/transfer/inventory.ts';
import { PeerLink } from '../engine/transfer/peer-link.ts';
import { ReplicationError } from '../errors.ts';
import type { ContentId } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import type { PackageId, Version } from '../model/package.ts';
import type { NodeName } from '../model/site.ts';
import { contentsOf } from '../wire/manifest.ts';
import { type Role, roleOf } from './role.ts';

const component = 'replication-manager';

/**
 * How far the destination's word is trusted. 0: it holds what it confirmed. 1: it refused something, so it is asked
 * about every content. 2 and more: it gets everything whole.
 */
const spentSchema = z.object({ startedMs: z.number(), wireBytes: z.int().nonnegative() });
const replicateBody = z.object({
  caution: z.int().nonnegative(),
  /** What refused attempts have cost. */
  spent: spentSchema.optional(),
});
const prepareBody = z.object({ packageId: z.string(), basisVersion: z.int(), version: z.int() });

export function startReplicationManager(engine: Engine, options: { packageCountMax: number }): Role {
  const parallelCount = options.packageCountMax;
  return roleOf(component, [
    startInventories(engine),
    startConsumer(engine, {
      queue: 'inventory',
      component,
      parallelCount,
      handle: (job, signal) => takeInventory(engine, job, signal),
    }),
    startConsumer(engine, {
      queue: 'replicate',
      component,
      parallelCount,
      handle: (job, signal) => replicate(engine, job, signal),
    }),
    startConsumer(engine, { queue: 'prepare', component, parallelCount: 1, handle: (job) => prepare(engine, job) }),
  ]);
}

/** Asks every destination what it holds, at the start and from time to time: disks are lost, and backups restored. */
function startInventories({ world, queue, catalog }: Engine): { stop(): Promise<void> } {
  return startPeriodically(world, limits.inventoryIntervalMs, async () => {
    for (const { name } of catalog.destinations()) await queue.put('inventory', name, null, { keepWaiting: true });
  });
}

/** The job's key is the destination. What it tells replaces what it once confirmed. */
async function takeInventory(engine: Engine, job: Job, signal: AbortSignal): Promise<void> {
  const { world, catalog, holdings, journal, queue } = engine;
  const destination = catalog.findDestination(job.key as NodeName);
  if (destination === undefined) return;
  refuseClosed(destination);
  await using link = new PeerLink(world, destination);
  const held = await askHeldPackages(link, signal);
  for (const { id } of catalog.packages()) {
    if (!catalog.destinationsOf(id).some(({ name }) => name === destination.name)) continue;
    const [told, confirmed] = [held.get(id)?.version ?? 0, holdings.confirmedVersion(destination.name, id)];
    await tellConflict(engine, destination, id, held.get(id));
    if (confirmed !== undefined && told < confirmed) {
      await journal.tell(
        30004,
        component,
        `${destination.name} holds version ${told} of package ${id}, no longer ${confirmed}; it is planned anew`,
      );
    }
    if (told > catalog.newestVersion(id)) {
      await journal.tell(
        30009,
        component,
        `${destination.name} holds version ${told} of package ${id}, newer than this site's ${catalog.newestVersion(id)}`,
      );
    }
    await holdings.confirm(destination.name, id, told);
    if (told < catalog.newestVersion(id))
      await queue.put('replicate', `${id}/${destination.name}`, { caution: 0 }, { keepWaiting: true });
  }
}

/** Two trees under one number: only after both sides lost something. A new version replaces both. */
async function tellConflict(
  { catalog, journal }: Engine,
  { name }: DestinationRecord,
  id: PackageId,
  held: Held | undefined,
): Promise<void> {
  if (held === undefined || !catalog.versions(id).includes(held.version)) return;
  const { identity } = await catalog.manifestFile(id, held.version);
  if (identity === held.manifest) return;
  await journal.tell(
    30011,
    component,
    `${name} holds another version ${held.version} of package ${id} than this site: change the source and update the package`,
  );
}

/** The job's key is `<package>/<destination>`. */
async function replicate(engine: Engine, job: Job, signal: AbortSignal): Promise<void> {
  const { world, catalog, holdings, journal, queue } = engine;
  const [packageId, name] = job.key.split('/') as [PackageId, NodeName];
  const { caution, spent } = replicateBody.parse(job.body);
  const destination = catalog.findDestination(name);
  const newest = await engine.completeness.newestWhole(packageId);
  if (destination === undefined || newest === 0) return;
  const underWay = requestUnderWay(engine, job.key);
  if (underWay !== undefined && underWay.caution >= caution) {
    if (underWay.version === newest) return;
    // Not dropped but put off: the sender may be done with it at this very moment.
    if (underWay.hasBegun)
      throw new ReplicationError(
        'peer-busy',
        `Version ${underWay.version} of ${packageId} is on its way to ${name}; the next one waits for it`,
      );
  }
  await using link = new PeerLink(world, destination);
  const known = caution === 0 ? holdings.confirmedVersion(name, packageId) : undefined;
  const confirmed = known ?? (await confirmedByAsking(engine, link, destination, packageId, signal));
  if (confirmed >= newest) return;
  const basisVersion = caution < 2 && catalog.versions(packageId).includes(confirmed) ? confirmed : 0;
  const held = await heldContents(
    engine,
    link,
    { destination, packageId, basisVersion, version: newest, caution },
    signal,
  );
  const file = await obtainPayload(engine, { packageId, basisVersion, version: newest }, held);
  await journal.tell(
    2333,
    component,
    `A payload of ${file.bytes} bytes is ready to bring ${name} from version ${basisVersion} to ${newest} of ${packageId}`,
  );
  await queue.put('schedule', job.key, {
    sha256: file.sha256,
    basisVersion,
    version: newest,
    confirmedVersion: confirmed,
    caution,
    offset: 0,
    startedMs: (underWay ?? spent)?.startedMs ?? world.clock.wallMs(),
    wireBytes: link.wireBytes + ((underWay ?? spent)?.wireBytes ?? 0),
  });
}

/** What a send request remembers; the sender has the rest. */
const requestBody = spentSchema.extend({ version: z.int(), caution: z.int(), offset: z.int() });

/**
 * The send request that this key has already. One that has begun is not replaced, or what it transferred would be lost:
 * the sender asks for a new plan when it is done. What one has cost that is replaced goes over to the next.
 */
function requestUnderWay(
  { queue }: Engine,
  key: string,
): (z.infer<typeof requestBody> & { hasBegun: boolean }) | undefined {
  const sending = queue.find('send', key);
  const job = sending ?? queue.find('schedule', key);
  if (job === undefined || job.isParked) return undefined;
  const body = requestBody.parse(job.body);
  return { ...body, hasBegun: sending !== undefined && body.offset > 0 };
}

async function confirmedByAsking(
  { holdings }: Engine,
  link: PeerLink,
  destination: DestinationRecord,
  packageId: PackageId,
  signal: AbortSignal,
): Promise<Version | 0> {
  refuseClosed(destination);
  const version = await askHeldVersion(link, packageId, signal);
  await holdings.confirm(destination.name, packageId, version);
  return version;
}

/** A closed address carries nothing, questions included. */
function refuseClosed(destination: DestinationRecord): void {
  if (destination.isOpen) return;
  throw new ReplicationError('address-closed', `Cannot reach ${destination.name}: its address is closed`, {
    hint: `siteferry address open ${destination.name}`,
  });
}

interface HeldQuestion {
  readonly destination: DestinationRecord;
  readonly packageId: PackageId;
  readonly basisVersion: Version | 0;
  readonly version: Version;
  readonly caution: number;
}

/** The contents of basis and target version that the destination is taken to hold. */
async function heldContents(
  engine: Engine,
  link: PeerLink,
  question: HeldQuestion,
  signal: AbortSignal,
): Promise<Set<ContentId>> {
  const { catalog } = engine;
  const { packageId, basisVersion, version, caution, destination } = question;
  if (caution >= 2) return new Set();
  const confirmed = await basisContents(engine, packageId, basisVersion);
  const wanted = [...contentsOf(await catalog.manifest(packageId, version)).keys()];
  const doubtful = caution === 0 ? wanted.filter((id) => !confirmed.has(id)) : [...new Set([...confirmed, ...wanted])];
  const held = caution === 0 ? new Set(confirmed) : new Set<ContentId>();
  // Planning ahead behind a closed address: the question is left out, and at worst something travels needlessly.
  if (doubtful.length === 0 || (caution === 0 && !destination.isOpen)) return held;
  refuseClosed(destination);
  for (const id of await askHeldContents(link, doubtful, signal)) held.add(id);
  return held;
}

async function basisContents(engine: Engine, packageId: PackageId, basisVersion: Version | 0): Promise<Set<ContentId>> {
  return basisVersion === 0
    ? new Set()
    : new Set(contentsOf(await engine.catalog.manifest(packageId, basisVersion)).keys());
}

async function prepare(engine: Engine, job: Job): Promise<void> {
  const { packageId, basisVersion, version } = prepareBody.parse(job.body);
  const id = packageId as PackageId;
  await obtainPayload(engine, { packageId: id, basisVersion, version }, await basisContents(engine, id, basisVersion));
}

interface Journey {
  readonly packageId: PackageId;
  readonly basisVersion: Version | 0;
  readonly version: Version;
}

/** The ready-made payload where one suits a holder of exactly `held`, else a new one. */
async function obtainPayload(engine: Engine, journey: Journey, held: ReadonlySet<ContentId>): Promise<PayloadFile> {
  const { world, store, catalog, outbox } = engine;
  const { packageId, basisVersion, version } = journey;
  const confirmed = await basisContents(engine, packageId, basisVersion);
  const isUsual = held.size === confirmed.size && [...held].every((id) => confirmed.has(id));
  const variant = isUsual ? '' : variantOf(held);
  const target = await catalog.manifest(packageId, version);
  const basis = basisVersion === 0 ? undefined : await catalog.manifest(packageId, basisVersion);
  const targetManifestBytes = await catalog.manifestBytes(packageId, version);
  const basisManifestBytes = basisVersion === 0 ? undefined : await catalog.manifestBytes(packageId, basisVersion);
  const plan = planContents(
    target,
    basis,
    (id) => held.has(id),
    (id) => store.has(id),
  );
  return await outbox.obtain({ packageId, basisVersion, version, variant }, () =>
    makePayload(world, store, { target, targetManifestBytes, basisManifestBytes, basisVersion, variant, plan }),
  );
}
