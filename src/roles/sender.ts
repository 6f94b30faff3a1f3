/**
 * Sender: brings a payload to its destination's inbox, resuming where anyone was interrupted, and records the
 * destination's word when it is installed.
 */
import { z } from 'zod';
import type { Engine } from '../engine/engine.ts';
import { startConsumer } from '../engine/queue/consumer.ts';
import type { HandOn, Job } from '../engine/queue/queue.ts';
import type { PayloadFile } from '../engine/spool/outbox.ts';
import { PeerLink } from '../engine/transfer/peer-link.ts';
import { uploadPayload } from '../engine/transfer/upload.ts';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';
import type { PackageId } from '../model/package.ts';
import type { NodeName } from '../model/site.ts';
import type { UploadMessage } from '../wire/api.ts';
import { logicalBytes } from '../wire/manifest.ts';
import type { Mechanisms } from '../wire/payload.ts';
import { type Role, roleOf } from './role.ts';

const component = 'sender';

/** At this caution everything is sent whole: see the replication manager. */
const cautionMax = 2;

/** What a send request remembers. `wireBytes` and `startedMs` cover all attempts, also those of processes now dead. */
const sendBody = z.object({
  sha256: z.string(),
  basisVersion: z.int().nonnegative(),
  version: z.int().positive(),
  /** What the destination had confirmed when this was planned. */
  confirmedVersion: z.int().nonnegative(),
  caution: z.int().nonnegative(),
  /** What the receiver has acknowledged: with that, the transfer has begun and is not replaced by another. */
  offset: z.int().nonnegative(),
  startedMs: z.number(),
  wireBytes: z.int().nonnegative(),
});
type SendBody = z.infer<typeof sendBody>;

/** `payloadCountMax`: facts §7.1, sendings at once to all destinations. */
export function startSender(engine: Engine, options: { payloadCountMax: number }): Role {
  const parallelCount = options.payloadCountMax;
  return roleOf(component, [
    startConsumer(engine, {
      queue: 'send',
      component,
      parallelCount,
      handle: (job, signal) => send(engine, job, signal),
    }),
  ]);
}

async function send(engine: Engine, job: Job, signal: AbortSignal): Promise<HandOn | undefined> {
  const { world, catalog, holdings, outbox, queue } = engine;
  const [packageId, name] = job.key.split('/') as [PackageId, NodeName];
  const body = sendBody.parse(job.body);
  const destination = catalog.findDestination(name);
  if (destination === undefined) return undefined;
  const confirmed = holdings.confirmedVersion(name, packageId) ?? body.confirmedVersion;
  if (confirmed >= body.version) return goOn(engine, body, packageId);
  const file = (await outbox.list(packageId)).find((candidate) => candidate.sha256 === body.sha256);
  // The plan was made for a destination that has moved on since, or its payload is gone.
  if (file === undefined || confirmed !== body.confirmedVersion || !(await outbox.isIntact(file)))
    return planAgain(body);
  refuseClosed(engine, name);
  const { mechanisms } = await outbox.headOf(file);
  await using link = new PeerLink(world, destination);
  let acknowledged = body.offset;
  const soFar = (): SendBody => ({ ...body, offset: acknowledged, wireBytes: body.wireBytes + link.wireBytes });
  let verdict: UploadMessage;
  try {
    verdict = await uploadPayload(world, link, {
      id: file.sha256,
      path: file.path,
      bytes: file.bytes,
      signal,
      onProgress: async (offset) => {
        acknowledged = offset;
        await queue.keepProgress(job, soFar());
        refuseClosed(engine, name);
      },
    });
  } catch (error) {
    signal.throwIfAborted();
    await queue.keepProgress(job, soFar());
    throw error;
  }
  if (verdict.state !== 'installed') return await planAnew(engine, job, file, soFar(), verdict);
  await recordInstalled(engine, file, mechanisms, name, soFar());
  return goOn(engine, body, packageId);
}

/** A version that was published during the sending waited for it. */
function goOn({ catalog }: Engine, body: SendBody, packageId: PackageId): HandOn | undefined {
  return catalog.newestVersion(packageId) > body.version ? { queue: 'replicate', body: { caution: 0 } } : undefined;
}

function planAgain({ caution, startedMs, wireBytes }: SendBody): HandOn {
  return { queue: 'replicate', body: { caution, spent: { startedMs, wireBytes } } };
}

/** Closing an address stops a transfer at its next piece; what arrived stays, and opening goes on from there. */
function refuseClosed({ catalog }: Engine, name: NodeName): void {
  if (catalog.findDestination(name)?.isOpen === true) return;
  throw new ReplicationError('address-closed', `Cannot go on sending to ${name}: its address was closed`);
}

/** The hop is recorded before the confirmation: killed between, it is recorded twice rather than never. */
async function recordInstalled(
  engine: Engine,
  file: PayloadFile,
  mechanisms: Mechanisms,
  name: NodeName,
  body: SendBody,
): Promise<void> {
  const { world, identity, catalog, holdings, journal } = engine;
  const { packageId, basisVersion, version } = file;
  const finishedMs = world.clock.wallMs();
  await journal.recordHop({
    packageId,
    from: identity.name,
    to: name,
    basisVersion,
    version,
    mechanisms,
    logicalBytes: logicalBytes(await catalog.manifest(packageId, version)),
    payloadBytes: file.bytes,
    wireBytes: body.wireBytes,
    seconds: Math.max(0, finishedMs - body.startedMs) / 1000,
    finishedMs,
  });
  await holdings.confirm(name, packageId, version);
  const isSite = catalog.findDestination(name)?.kind === 'site';
  const place = isSite ? 'child site' : 'distribution point';
  await journal.tell(
    isSite ? 30001 : 2330,
    component,
    `Version ${version} of package ${packageId} is installed at ${place} ${name}`,
  );
}

/**
 * The destination could not use the payload: it holds something else than it confirmed, or the payload is wrong. It is
 * made and planned anew, more carefully each time; when even everything whole was refused, a person must look.
 */
async function planAnew(
  engine: Engine,
  job: Job,
  file: PayloadFile,
  body: SendBody,
  verdict: UploadMessage,
): Promise<HandOn> {
  const { holdings, journal, outbox } = engine;
  const [packageId, name] = job.key.split('/') as [PackageId, NodeName];
  const because = `${name} refused version ${body.version} of package ${packageId} (${verdict.error ?? 'no reason'})`;
  await outbox.remove(file);
  await holdings.forget(name, packageId);
  if (body.caution >= cautionMax) {
    throw new ReplicationError('peer-refused', `${because}, although everything was sent whole`, {
      retry: 'never',
      hint: `look at the status of ${name}; then: siteferry package distribute ${packageId} --to ${name}`,
    });
  }
  await journal.tell(30004, component, `${because}; it is planned anew`);
  const delayMs = Math.min(limits.retryDelayMsMax, limits.retryDelayMsMin * 4 ** body.caution);
  const next = planAgain({ ...body, caution: body.caution + 1 });
  return { ...next, options: { delayMs } };
}
