/** Despooler: receives payloads piece by piece, applies them when they are complete, tells the distribution manager. */
import type { Engine } from '../engine/engine.ts';
import { startConsumer } from '../engine/queue/consumer.ts';
import type { Job } from '../engine/queue/queue.ts';
import { despool } from '../engine/spool/despool.ts';
import { jsonResponse, type Route, type RoutedRequest, readBody } from '../engine/transfer/router.ts';
import { ReplicationError } from '../errors.ts';
import { type ContentId, isContentId } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import { contentDigest, parseCount } from '../wire/http.ts';
import type { OutgoingResponse } from '../world/network.ts';
import { type Role, roleOf } from './role.ts';

const component = 'despooler';

export function startDespooler(engine: Engine): Role {
  return roleOf(component, [
    startConsumer(engine, {
      queue: 'despool',
      component,
      parallelCount: limits.despoolCountMax,
      handle: (job, signal) => despoolOne(engine, job, signal),
    }),
  ]);
}

/** The job's key is the payload's SHA-256. */
async function despoolOne(engine: Engine, job: Job, signal: AbortSignal): Promise<void> {
  const { journal, queue } = engine;
  const outcome = await despool(engine, job.key as ContentId, signal);
  if (outcome.state === 'settled') return;
  if (outcome.state === 'refused') {
    await journal.tell(
      30005,
      component,
      `Payload ${job.key} was refused: ${outcome.error.code}: ${outcome.error.message}`,
    );
    return;
  }
  const { packageId, version } = outcome.applied.head;
  await queue.put('distribute', packageId, null);
  await journal.tell(4400, component, `Version ${version} of package ${packageId} was received and installed`);
}

/** The inbox, for peers: where does an upload stand, and here is its next piece. */
export function despoolerRoutes(engine: Engine): Route[] {
  const pattern = '/v1/inbox/:id';
  return [
    { method: 'GET', pattern, access: 'feed', handle: async (routed) => describe(engine, routed) },
    { method: 'PATCH', pattern, access: 'feed', handle: (routed) => append(engine, routed) },
  ];
}

function uploadIdOf({ params }: RoutedRequest): ContentId {
  const id = params['id'] ?? '';
  if (isContentId(id)) return id;
  throw new ReplicationError('usage', 'Cannot find an upload: its name is not the SHA-256 of a payload');
}

function describe({ inbox }: Engine, routed: RoutedRequest): OutgoingResponse {
  const upload = inbox.describe(uploadIdOf(routed));
  if (upload === undefined) throw new ReplicationError('content-missing', 'Nobody has begun this upload');
  return jsonResponse(200, upload);
}

async function append({ inbox, queue }: Engine, routed: RoutedRequest): Promise<OutgoingResponse> {
  const id = uploadIdOf(routed);
  const { headers } = routed.request;
  const offset = parseCount(headers['upload-offset']);
  const length = parseCount(headers['upload-length']);
  if (offset === undefined || length === undefined) {
    throw new ReplicationError('usage', 'Cannot take a piece: upload-offset and upload-length are needed');
  }
  const piece = await readBody(routed.request, limits.uploadPieceBytesMax);
  if (piece.byteLength === 0) throw new ReplicationError('usage', 'Cannot take a piece: it is empty');
  if (headers['content-digest'] !== contentDigest(piece)) {
    throw new ReplicationError('payload-invalid', 'Cannot take a piece: its bytes are not those of its content-digest');
  }
  const outcome = await inbox.append(id, length, offset, piece);
  // Also when this very piece was taken before the sender could hear it: the put is idempotent.
  if (outcome.isComplete && inbox.find(id)?.state === 'despooling')
    await queue.put('despool', id, null, { keepWaiting: true });
  return {
    status: outcome.taken ? 204 : 409,
    headers: { 'upload-offset': String(outcome.offset), 'upload-complete': outcome.isComplete ? '?1' : '?0' },
  };
}
