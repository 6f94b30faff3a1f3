/**
 * What our HTTP means: paths, header names, range arithmetic. HTTP's inclusive ranges exist only in this file; all
 * else counts half-open.
 *
 * Uploads follow the vocabulary of the IETF resumable-upload draft (`Upload-Offset`, `Upload-Length`,
 * `Upload-Complete`) with `Content-Digest` (RFC 9530) on every piece; downloads are ranged GETs with `If-Range`
 * (RFC 9110 §13, §14), so any static server can stand in for a distribution point.
 */
import { createHash, createHmac } from 'node:crypto';
import type { ByteRange } from '../model/content.ts';
import type { PackageId, Version } from '../model/package.ts';
import type { PackagePath } from '../model/package-path.ts';

export const httpPaths = {
  node: '/v1/node',
  proof: '/v1/proof',
  status: '/v1/status',
  packages: '/v1/packages',
  sync: '/v1/sync',
  missing: '/v1/contents/missing',
  package: (id: PackageId | string): string => `/v1/packages/${id}`,
  manifest: (id: PackageId, version: Version): string => `/v1/packages/${id}/versions/${version}/manifest`,
  payload: (id: PackageId, version: Version, basis: Version | 0): string =>
    `/v1/packages/${id}/versions/${version}/payload?basis=${basis}`,
  file: (id: PackageId, version: Version, path: PackagePath): string =>
    `/v1/packages/${id}/versions/${version}/files/${path.split('/').map(encodeURIComponent).join('/')}`,
  upload: (uploadId: string): string => `/v1/inbox/${uploadId}`,
  destination: (name: string): string => `/v1/destinations/${name}`,
} as const;

export const contentTypes = { json: 'application/json', bytes: 'application/octet-stream' } as const;

/** `sha-256=:…:` of RFC 9530. */
export function contentDigest(bytes: Uint8Array): string {
  return `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
}

/** What only a node with this admin token can answer to `nonce`, 64 hex digits drawn by the asker. */
export function nodeProof(adminToken: string, nonce: string): string {
  return createHmac('sha256', adminToken).update(`siteferry node proof ${nonce}`).digest('hex');
}

/** A strong entity tag from an identity. */
export function entityTag(identity: string): string {
  return `"${identity}"`;
}

/**
 * What a `Range` field asks of a representation of `bytes`. `whole`: send everything (no field, another unit, several
 * ranges or a form we do not honour: RFC 9110 §14.2 lets a server ignore those). `unsatisfiable`: answer 416.
 */
export function parseRange(field: string | undefined, bytes: number): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^bytes=(\d*)-(\d*)$/.exec(field?.trim() ?? '');
  if (match === null) return 'whole';
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return 'whole';
  if (first === '') {
    const suffixBytes = Number(last);
    if (suffixBytes === 0 || bytes === 0) return 'unsatisfiable';
    return { startByte: Math.max(0, bytes - suffixBytes), endByte: bytes };
  }
  const startByte = Number(first);
  const endByte = last === '' ? bytes : Math.min(Number(last) + 1, bytes);
  if (last !== '' && Number(last) < startByte) return 'whole';
  return startByte >= bytes ? 'unsatisfiable' : { startByte, endByte };
}

export function rangeField(range: ByteRange): string {
  return `bytes=${range.startByte}-${range.endByte - 1}`;
}

export function contentRangeField(range: ByteRange, bytes: number): string {
  return `bytes ${range.startByte}-${range.endByte - 1}/${bytes}`;
}

/** `undefined` when the field is absent or not of the form `bytes first-last/length`. */
export function parseContentRange(field: string | undefined): { range: ByteRange; bytes: number } | undefined {
  const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(field ?? '');
  if (match === null) return undefined;
  const [startByte, lastByte, bytes] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (startByte > lastByte || lastByte >= bytes) return undefined;
  return { range: { startByte, endByte: lastByte + 1 }, bytes };
}

/** A non-negative safe integer from a header, or `undefined`. */
export function parseCount(field: string | undefined): number | undefined {
  if (field === undefined || !/^\d{1,16}$/.test(field)) return undefined;
  const value = Number(field);
  return Number.isSafeInteger(value) ? value : undefined;
}
