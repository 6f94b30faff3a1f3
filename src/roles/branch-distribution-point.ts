/**
 * Branch distribution point: asks its distribution point what is new and pulls it by ranges, at its own pace, resuming
 * after any break. What it pulls is the same payload a sender would push, and goes through the same despooler.
 */
import { z } from 'zod';
import type { Engine } from '../engine/engine.ts';
import { startConsumer } from '../engine/queue/consumer.ts';
import { startPeriodically } from '../engine/queue/periodically.ts';
import type { Job } from '../engine/queue/queue.ts';
import { download, lookUp, type Representation } from '../engine/transfer/download.ts';
import { askHeldPackages } from '../engine/transfer/inventory.ts';
import { type PeerAddress, PeerLink } from '../engine/transfer/peer-link.ts';
import { jsonResponse, type Route } from '../engine/transfer/router.ts';
import { ReplicationError } from '../errors.ts';
import { type ContentId, isContentId } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import type { PackageId, Version } from '../model/package.ts';
import { nodeMessage } from '../wire/api.ts';
import { httpPaths } from '../wire/http.ts';
import { logicalBytes } from '../wire/manifest.ts';
import { type Role, roleOf } from './role.ts';

const component = 'branch-distribution-point';

/** The job that asks for news; every other key of the queue is a package id. */
const pollKey = '*';

/** `caution` 1 and more: a delta was refused here, so the version is pulled whole. */
const pullBody = z.object({
  version: z.int().positive(),
  caution: z.int().nonnegative(),
  startedMs: z.number(),
  wireBytes: z.int().nonnegative(),
});
type PullBody = z.infer<typeof pullBody>;

/** The distribution point it pulls from. Its name is asked when there is something to pull. */
export interface Upstream {
  readonly url: string;
  readonly token: string;
  readonly pollSeconds: number;
}

export function startBranchDistributionPoint(engine: Engine, upstream: Upstream): Role {
  const address = { name: upstream.url, url: upstream.url, token: upstream.token };
  const handle = (job: Job, signal: AbortSignal): Promise<void> =>
    job.key === pollKey ? poll(engine, address, signal) : pull(engine, address, job, signal);
  const consumer = startConsumer(engine, {
    queue: 'pull',
    component,
    parallelCount: limits.distributedPackageCountMax,
    handle,
  });
  return roleOf(component, [consumer, startPolling(engine, upstream)]);
}

function startPolling({ world, queue }: Engine, upstream: Upstream): { stop(): Promise<void> } {
  return startPeriodically(world, upstream.pollSeconds * 1000, () =>
    queue.put('pull', pollKey, null, { keepWaiting: true }),
  );
}

/** `POST /v1/sync`: look now. */
export function branchRoutes({ queue }: Engine): Route[] {
  const handle = async () => {
    await queue.put('pull', pollKey, null);
    await queue.makeReady((job) => job.queue === 'pull');
    return jsonResponse(200, {});
  };
  return [{ method: 'POST', pattern: '/v1/sync', access: 'admin', handle }];
}

async function poll(engine: Engine, upstream: PeerAddress, signal: AbortSignal): Promise<void> {
  const { completeness, queue, world } = engine;
  await using link = new PeerLink(world, upstream);
  for (const [packageId, { version }] of await askHeldPackages(link, signal)) {
    const known = queue.find('pull', packageId);
    if (version <= (await completeness.newestWhole(packageId))) continue;
    if (known !== undefined && pullBody.parse(known.body).version >= version) continue;
    const body: PullBody = { version, caution: 0, startedMs: world.clock.wallMs(), wireBytes: 0 };
    await queue.put('pull', packageId, body);
  }
}

async function pull(engine: Engine, upstream: PeerAddress, job: Job, signal: AbortSignal): Promise<void> {
  const { world, completeness, inbox, queue } = engine;
  const packageId = job.key as PackageId;
  const body = pullBody.parse(job.body);
  const newest = await completeness.newestWhole(packageId);
  if (newest >= body.version) return;
  const basisVersion = body.caution === 0 ? newest : 0;
  await using link = new PeerLink(world, upstream);
  const soFar = (): PullBody => ({ ...body, wireBytes: body.wireBytes + link.wireBytes });
  let from: string;
  try {
    from = (await link.json(nodeMessage, { method: 'GET', path: httpPaths.node, signal })).name;
    const order = { packageId, version: body.version, basisVersion };
    const id = await fetchPayload(engine, link, order, signal, () => queue.keepProgress(job, soFar()));
    await queue.put('despool', id, null, { keepWaiting: true });
    const { state, error } = await inbox.settled(id, signal);
    if (state === 'failed') {
      const because = error === undefined ? 'no reason' : `${error.code}: ${error.message}`;
      throw new ReplicationError(
        'peer-refused',
        `Cannot install version ${body.version} of ${packageId} as pulled: ${because}`,
      );
    }
  } catch (error) {
    signal.throwIfAborted();
    const isUseless =
      error instanceof ReplicationError && (error.code === 'peer-refused' || error.code === 'content-missing');
    await queue.keepProgress(job, { ...soFar(), caution: body.caution + (isUseless ? 1 : 0) });
    throw error instanceof ReplicationError
      ? new ReplicationError(error.code, error.message, { retry: 'later', cause: error })
      : error;
  }
  await recordPulled(engine, from, packageId, basisVersion, soFar());
}

interface PullOrder {
  readonly packageId: PackageId;
  readonly version: Version;
  readonly basisVersion: Version | 0;
}

/** Brings the payload into the inbox, from wherever it stands; returns its identity. */
async function fetchPayload(
  { inbox }: Engine,
  link: PeerLink,
  order: PullOrder,
  signal: AbortSignal,
  keepProgress: () => Promise<void>,
): Promise<ContentId> {
  const path = httpPaths.payload(order.packageId, order.version, order.basisVersion);
  const found = await lookUp(link, path, signal);
  if (found === 'preparing')
    throw new ReplicationError('peer-busy', `${link.name} is preparing version ${order.version} of ${order.packageId}`);
  if (found === 'absent')
    throw new ReplicationError(
      'content-missing',
      `${link.name} cannot lead from version ${order.basisVersion} to ${order.version} of ${order.packageId}`,
    );
  const id = identityOf(found, link);
  const upload = inbox.find(id);
  if (upload?.state === 'despooling' || upload?.state === 'installed') return id;
  const startByte = upload?.state === 'receiving' ? upload.offset : 0;
  await download(link, {
    ...found,
    path,
    startByte,
    signal,
    take: async (offset, piece) => {
      const outcome = await inbox.append(id, found.bytes, offset, piece);
      if (!outcome.taken)
        throw new ReplicationError('superseded', `Another pull of ${id} is under way`, { retry: 'later' });
      await keepProgress();
    },
  });
  return id;
}

function identityOf(found: Representation, link: PeerLink): ContentId {
  if (isContentId(found.identity)) return found.identity;
  throw new ReplicationError('peer-answer-invalid', `${link.name} names a payload by something else than its SHA-256`);
}

async function recordPulled(
  engine: Engine,
  from: string,
  packageId: PackageId,
  basisVersion: number,
  body: PullBody,
): Promise<void> {
  const { world, identity, catalog, journal, outbox } = engine;
  const { version } = body;
  const file = await outbox.find({ packageId, basisVersion, version, variant: '' });
  const finishedMs = world.clock.wallMs();
  if (file !== undefined) {
    await journal.recordHop({
      packageId,
      from,
      to: identity.name,
      basisVersion,
      version,
      mechanisms: (await outbox.headOf(file)).mechanisms,
      logicalBytes: logicalBytes(await catalog.manifest(packageId, version)),
      payloadBytes: file.bytes,
      wireBytes: body.wireBytes,
      seconds: Math.max(0, finishedMs - body.startedMs) / 1000,
      finishedMs,
    });
  }
  await journal.tell(30008, component, `Version ${version} of package ${packageId} was pulled from ${from}`);
}
