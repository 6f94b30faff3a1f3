/**
 * Pushes a payload to a peer's inbox and waits for its verdict. Resumes at the receiver's durable offset, whoever died;
 * a piece is `uploadPieceBytesMax`, so no more than that is ever sent twice.
 */
import { ReplicationError } from '../../errors.ts';
import type { ContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import { parseAnswer, type UploadMessage, uploadMessage } from '../../wire/api.ts';
import { contentDigest, contentTypes, httpPaths, parseCount } from '../../wire/http.ts';
import type { World } from '../../world/world.ts';
import { type PeerLink, parseJson } from './peer-link.ts';

export interface UploadOrder {
  /** The payload's SHA-256, by which the receiver knows it. */
  readonly id: ContentId;
  readonly path: string;
  readonly bytes: number;
  readonly signal: AbortSignal;
  /** Called after each durable piece and while waiting. May throw to stop, for instance because the address was closed. */
  readonly onProgress: (offset: number) => Promise<void>;
}

/** The receiver's final word: `installed`, or `failed` with a code. */
export async function uploadPayload(world: World, link: PeerLink, order: UploadOrder): Promise<UploadMessage> {
  const known = await uploadState(link, order);
  if (known === undefined || known.state === 'receiving' || known.state === 'failed') {
    await sendPieces(world, link, order, known?.state === 'receiving' ? known.offset : 0);
  }
  return await confirmation(world, link, order);
}

/** What the receiver knows of the upload; `undefined`: nothing. */
async function uploadState(link: PeerLink, order: UploadOrder): Promise<UploadMessage | undefined> {
  const request = { method: 'GET', path: httpPaths.upload(order.id), signal: order.signal, expects: [404] } as const;
  const response = await link.request(request);
  const body = await link.bytes(response);
  if (response.status === 404) return undefined;
  return parseAnswer(uploadMessage, parseJson(body, link.name), link.name);
}

async function sendPieces(world: World, link: PeerLink, order: UploadOrder, startByte: number): Promise<void> {
  await using file = await world.files.open(order.path, 'read');
  let pieceBytes: number = limits.uploadPieceBytesMin;
  let movedCount = 0;
  for (let offset = startByte; offset < order.bytes; ) {
    order.signal.throwIfAborted();
    const piece = new Uint8Array(Math.min(pieceBytes, order.bytes - offset));
    const read = await file.read(offset, piece);
    if (read !== piece.byteLength) {
      throw new ReplicationError(
        'content-damaged',
        `Cannot send ${order.path}: it ends at byte ${offset + read} of ${order.bytes}`,
      );
    }
    const beganMs = world.clock.monotonicMs();
    const { next, isTaken } = await sendPiece(link, order, offset, piece);
    movedCount = isTaken ? 0 : movedCount + 1;
    if (movedCount > limits.movedUploadCountMax) {
      throw new ReplicationError('peer-answer-invalid', `${link.name} keeps changing its mind where the upload stands`);
    }
    offset = next;
    pieceBytes = nextPieceBytes(pieceBytes, world.clock.monotonicMs() - beganMs);
    await order.onProgress(offset);
  }
}

/**
 * A whole piece may wait in the system's send buffer, where its progress is not seen; so a piece must take far less time
 * than `silenceMsMax` on any link: 64 KiB take 16 s at 32 kbit/s.
 */
function nextPieceBytes(pieceBytes: number, tookMs: number): number {
  if (tookMs < limits.uploadPieceMsGoal / 4) return Math.min(limits.uploadPieceBytesMax, 2 * pieceBytes);
  return tookMs > limits.uploadPieceMsGoal ? Math.max(limits.uploadPieceBytesMin, pieceBytes / 2) : pieceBytes;
}

/** Sends one piece; returns the receiver's durable offset, which may be another one than expected. */
async function sendPiece(
  link: PeerLink,
  order: UploadOrder,
  offset: number,
  piece: Uint8Array,
): Promise<{ next: number; isTaken: boolean }> {
  const response = await link.request({
    method: 'PATCH',
    path: httpPaths.upload(order.id),
    headers: {
      'content-type': contentTypes.bytes,
      'content-digest': contentDigest(piece),
      'upload-offset': String(offset),
      'upload-length': String(order.bytes),
      'upload-complete': offset + piece.byteLength === order.bytes ? '?1' : '?0',
    },
    body: piece,
    signal: order.signal,
    expects: [409],
  });
  await link.bytes(response);
  const next = parseCount(response.headers['upload-offset']);
  if (next === undefined || next > order.bytes) {
    throw new ReplicationError('peer-answer-invalid', `${link.name} does not say where the upload stands`);
  }
  if (response.status !== 409 && next <= offset) {
    throw new ReplicationError('peer-answer-invalid', `${link.name} took a piece at ${offset} and stands at ${next}`);
  }
  return { next, isTaken: response.status !== 409 };
}

/**
 * Asks until the despooler has decided, often at first, then less and less; not for ever, since the place of a sender is
 * needed by others. Whoever comes back later finds the verdict with the first question.
 */
async function confirmation(world: World, link: PeerLink, order: UploadOrder): Promise<UploadMessage> {
  const beganMs = world.clock.monotonicMs();
  for (let delayMs: number = limits.confirmPollMsMin; ; delayMs = Math.min(limits.confirmPollMsMax, delayMs * 1.5)) {
    const state = await uploadState(link, order);
    if (state === undefined || state.state === 'receiving') {
      throw new ReplicationError('link-failed', `${link.name} forgot an upload that was complete: it is sent again`);
    }
    if (state.state !== 'despooling') return state;
    if (world.clock.monotonicMs() - beganMs > limits.confirmWaitMsMax) {
      throw new ReplicationError('peer-busy', `${link.name} has the whole payload and is still working on it`);
    }
    await order.onProgress(order.bytes);
    await world.clock.sleep(delayMs, order.signal);
  }
}
