/**
 * Pulls one representation by ranged GETs into whatever takes its bytes in order. Every request names the expected
 * entity tag (`If-Range`), so bytes of two versions never mix; resuming is the taker's offset.
 */
import { ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import { entityTag, parseContentRange, parseCount, rangeField } from '../../wire/http.ts';
import type { PeerLink } from './peer-link.ts';

export interface Representation {
  /** The identity inside a strong entity tag. */
  readonly identity: string;
  readonly bytes: number;
}

/** What a HEAD tells. `preparing`: the peer makes it, ask again later. `absent`: it cannot be had. */
export async function lookUp(
  link: PeerLink,
  path: string,
  signal: AbortSignal,
): Promise<Representation | 'preparing' | 'absent'> {
  const response = await link.request({ method: 'HEAD', path, signal, expects: [404] });
  await link.bytes(response);
  if (response.status === 404) return 'absent';
  if (response.status === 202) return 'preparing';
  const bytes = parseCount(response.headers['content-length']);
  const identity = /^"([^"]+)"$/.exec(response.headers['etag'] ?? '')?.[1];
  if (bytes === undefined || bytes < 1 || identity === undefined) {
    throw new ReplicationError(
      'peer-answer-invalid',
      `${link.name} does not say how long ${path} is or what it is called`,
    );
  }
  return { identity, bytes };
}

export interface DownloadOrder extends Representation {
  readonly path: string;
  readonly startByte: number;
  readonly signal: AbortSignal;
  /** Takes the next bytes, at most `downloadCheckpointBytes`; on return they are durable. The buffer is handed over. */
  readonly take: (offset: number, piece: Uint8Array) => Promise<void>;
}

/** On return every byte was taken. */
export async function download(link: PeerLink, order: DownloadOrder): Promise<void> {
  for (let startByte = order.startByte; startByte < order.bytes; ) {
    const endByte = Math.min(order.bytes, startByte + limits.downloadRangeBytesMax);
    await downloadRange(link, order, startByte, endByte);
    startByte = endByte;
  }
}

async function downloadRange(link: PeerLink, order: DownloadOrder, startByte: number, endByte: number): Promise<void> {
  const response = await link.request({
    method: 'GET',
    path: order.path,
    headers: { range: rangeField({ startByte, endByte }), 'if-range': entityTag(order.identity) },
    signal: order.signal,
  });
  const answered = parseContentRange(response.headers['content-range']);
  const isAsked =
    response.status === 206 &&
    answered?.range.startByte === startByte &&
    answered.range.endByte === endByte &&
    answered.bytes === order.bytes &&
    response.headers['etag'] === entityTag(order.identity);
  if (!isAsked) {
    throw new ReplicationError(
      'peer-answer-invalid',
      `${link.name} answered another range or another version of ${order.path}`,
    );
  }
  let offset = startByte;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const flush = async (): Promise<void> => {
    if (pendingBytes === 0) return;
    const piece = new Uint8Array(Buffer.concat(pending));
    pending = [];
    pendingBytes = 0;
    await order.take(offset, piece);
    offset += piece.byteLength;
  };
  for await (const block of response.body) {
    if (offset + pendingBytes + block.byteLength > endByte) {
      throw new ReplicationError('peer-answer-invalid', `${link.name} sent more than the range it announced`);
    }
    for (let rest = block; rest.byteLength > 0; ) {
      const part = rest.subarray(0, limits.downloadCheckpointBytes - pendingBytes);
      pending.push(part);
      pendingBytes += part.byteLength;
      rest = rest.subarray(part.byteLength);
      if (pendingBytes === limits.downloadCheckpointBytes) await flush();
    }
  }
  await flush();
  if (offset !== endByte)
    throw new ReplicationError(
      'link-failed',
      `${link.name} sent ${offset - startByte} bytes of ${endByte - startByte}`,
    );
}
