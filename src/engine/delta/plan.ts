/**
 * What a destination lacks, and what it has that this can be made from. Pure: two manifests and a set in, a plan out.
 *
 * All contents a destination lacks travel as one stream, as a delta against all that it has of the two versions as one
 * stream. So a file that was renamed, moved, split or merged finds its relatives wherever they are, and 10,000 small
 * files cost no more than one large one.
 */
import { createHash } from 'node:crypto';
import { BASIS_BYTES_MAX } from 'native-free-rdc';
import { type ContentId, digestOf } from '../../model/content.ts';
import { contentsOf, type Manifest } from '../../wire/manifest.ts';
import type { ContentChoice, Mechanisms } from '../../wire/payload.ts';
import { joinedBytesOf } from '../store/joined-contents.ts';

export interface SizedContent {
  readonly content: ContentId;
  readonly bytes: number;
}

export interface ContentPlan {
  /** What the delta leads from: see `JoinedContents`. */
  readonly basis: readonly SizedContent[];
  /** End to end, what it leads to. */
  readonly wanted: readonly SizedContent[];
  /** The same, told by places in `candidatesOf` and in the target's contents. */
  readonly choice: ContentChoice;
  readonly mechanisms: Mechanisms;
  /** The version that the destination confirmed: its names tell what probably comes from where. */
  readonly basisManifest: Manifest | undefined;
}

/**
 * `basis` is the version the destination confirmed; `isHeld` says what the destination has, `isHere` what we have: a
 * basis must be both.
 */
export function planContents(
  target: Manifest,
  basis: Manifest | undefined,
  isHeld: (content: ContentId) => boolean,
  isHere: (content: ContentId) => boolean,
): ContentPlan {
  const isWanted = [...contentsOf(target).keys()].map((content) => !isHeld(content));
  let basisBytes = 0;
  const isBasis = candidatesOf(target, basis).map(({ content, bytes }) => {
    const joinedBytes = joinedBytesOf(bytes);
    if (!isHeld(content) || !isHere(content) || basisBytes + joinedBytes > BASIS_BYTES_MAX) return false;
    basisBytes += joinedBytes;
    return true;
  });
  const hasBasis = isWanted.includes(true) && isBasis.includes(true);
  const choice = { basis: hasBasis ? isBasis : [], target: isWanted };
  const chosen = chosenContents(target, basis, choice);
  if (chosen === undefined) throw new RangeError('a plan contradicts its own manifests');
  return { ...chosen, choice, mechanisms: mechanismsOf(target, chosen), basisManifest: basis };
}

/** The contents a choice means, or `undefined` when it was made for other manifests. */
export function chosenContents(
  target: Manifest,
  basis: Manifest | undefined,
  choice: ContentChoice,
): Pick<ContentPlan, 'basis' | 'wanted'> | undefined {
  const wanted = [...contentsOf(target)].map(([content, bytes]) => ({ content, bytes }));
  const candidates = choice.basis.length === 0 ? [] : candidatesOf(target, basis);
  if (choice.target.length !== wanted.length || choice.basis.length !== candidates.length) return undefined;
  return {
    basis: candidates.filter((_, index) => choice.basis[index]),
    wanted: wanted.filter((_, index) => choice.target[index]),
  };
}

/** What a basis may be made of: the contents of the basis version, then those that only the target has, once each. */
function candidatesOf(target: Manifest, basis: Manifest | undefined): SizedContent[] {
  const candidates = new Map(basis === undefined ? [] : contentsOf(basis));
  for (const [content, bytes] of contentsOf(target)) if (!candidates.has(content)) candidates.set(content, bytes);
  return [...candidates].map(([content, bytes]) => ({ content, bytes }));
}

/** What a delta calls its basis: SHA-256 over identity and length (8 bytes, little-endian) of each content in order. */
export function basisIdOf(basis: readonly SizedContent[]): Uint8Array {
  const hash = createHash('sha256');
  const length = Buffer.alloc(8);
  for (const { content, bytes } of basis) {
    length.writeBigUInt64LE(BigInt(bytes));
    hash.update(digestOf(content)).update(length);
  }
  return Uint8Array.from(hash.digest());
}

export function totalBytes(contents: readonly SizedContent[]): number {
  return contents.reduce((sum, { bytes }) => sum + bytes, 0);
}

function mechanismsOf(target: Manifest, { basis, wanted }: Pick<ContentPlan, 'basis' | 'wanted'>): Mechanisms {
  const none = { contents: 0, bytes: 0 };
  const all = contentsOf(target);
  const moved = { contents: wanted.length, bytes: totalBytes(wanted) };
  const allBytes = [...all.values()].reduce((sum, bytes) => sum + bytes, 0);
  const present = { contents: all.size - moved.contents, bytes: allBytes - moved.bytes };
  return basis.length > 0 ? { present, diff: moved, whole: none } : { present, diff: none, whole: moved };
}
