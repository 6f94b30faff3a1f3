/** Questions to a peer about what it holds. */

import { ReplicationError } from '../../errors.ts';
import type { ContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import type { PackageId, Version } from '../../model/package.ts';
import { contentHint, contentHintBytes, heldPackagesMessage } from '../../wire/api.ts';
import { contentTypes, httpPaths } from '../../wire/http.ts';
import type { PeerLink } from './peer-link.ts';

export interface Held {
  readonly version: Version;
  /** SHA-256 of the encoded manifest. */
  readonly manifest: ContentId;
}

/** Newest version of each package the peer has installed. */
export async function askHeldPackages(link: PeerLink, signal: AbortSignal): Promise<ReadonlyMap<PackageId, Held>> {
  const { packages } = await link.json(heldPackagesMessage, { method: 'GET', path: httpPaths.packages, signal });
  return new Map(packages.map(({ id, version, manifest }) => [id, { version, manifest }]));
}

/** Newest version of one package, 0 when it has none. */
export async function askHeldVersion(link: PeerLink, packageId: PackageId, signal: AbortSignal): Promise<Version | 0> {
  return (await askHeldPackages(link, signal)).get(packageId)?.version ?? 0;
}

/**
 * Those of `asked` that the peer says it holds. Costs 8 bytes and a bit each. A hint can be wrong in theory; then the
 * peer refuses the payload, and is asked more carefully.
 */
export async function askHeldContents(
  link: PeerLink,
  asked: readonly ContentId[],
  signal: AbortSignal,
): Promise<Set<ContentId>> {
  const held = new Set<ContentId>();
  for (let start = 0; start < asked.length; start += limits.missingQuestionCountMax) {
    const part = asked.slice(start, start + limits.missingQuestionCountMax);
    const response = await link.request({
      method: 'POST',
      path: httpPaths.missing,
      headers: { 'content-type': contentTypes.bytes },
      body: encodeQuestion(part),
      signal,
    });
    const answer = await link.bytes(response, Math.ceil(part.length / 8) + 1);
    if (answer.byteLength !== Math.ceil(part.length / 8)) {
      throw new ReplicationError(
        'peer-answer-invalid',
        `${link.name} answered about ${8 * answer.byteLength} contents, not ${part.length}`,
      );
    }
    part.forEach((id, index) => {
      if (!isMissing(answer, index)) held.add(id);
    });
  }
  return held;
}

function encodeQuestion(ids: readonly ContentId[]): Uint8Array {
  return new Uint8Array(Buffer.from(ids.map(contentHint).join(''), 'hex'));
}

/** The hints of a question, as hex; `undefined` when its length is none of a list. */
export function decodeQuestion(body: Uint8Array): string[] | undefined {
  if (body.byteLength % contentHintBytes !== 0) return undefined;
  const hex = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('hex');
  return hex.match(new RegExp(`.{${2 * contentHintBytes}}`, 'g')) ?? [];
}

/** One bit per question, lowest bit first: set when missing. */
export function encodeMissing(missing: readonly boolean[]): Uint8Array {
  const bits = new Uint8Array(Math.ceil(missing.length / 8));
  missing.forEach((isGone, index) => {
    if (isGone) bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
  });
  return bits;
}

function isMissing(bits: Uint8Array, index: number): boolean {
  return ((bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
}
