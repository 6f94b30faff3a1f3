/**
 * The signature of a signature: for a receiver that has one of an earlier version, and fetches the changes of it only.
 *
 * The sender sends the outline, a sixteenth of the signature; the receiver asks for the records of the groups that no
 * signature it knows has, and completes the signature from those and its own. Both were made with one salt, so the
 * signer of a new version takes the salt of the old. Guarantees that a completed signature is the outlined one, or an
 * `RdcError`; whether that is the signature of the file, the tree hash of the rebuilt file says.
 */
import { RdcError } from '../errors.ts';
import {
  GROUP_HORIZON_RECORDS,
  GROUP_ID_BYTES,
  GROUP_RECORDS_MAX,
  NEED_RANGES_MAX,
  OUTLINED_BYTES_MIN,
} from '../limits.ts';
import type { NeedList } from '../needs/need-list.ts';
import { ByteWriter, VarintReader } from '../varint.ts';
import {
  assertLengths,
  decodeHashes,
  decodeLengths,
  encodeHashes,
  encodeLengths,
  packColumn,
  unpackColumn,
} from './chunk-codec.ts';
import { assertComparable } from './combine-signatures.ts';
import { groupIdOf, groupsOf, type RecordGroups, type Records } from './record-groups.ts';
import type { Signature } from './signature.ts';
import { frame, type HeaderKind, type SignatureHead, unframe } from './signature-header.ts';

/** What a signature is made of, without its records. */
export interface SignatureOutline {
  readonly head: SignatureHead;
  readonly groups: RecordGroups;
}

/** Grows when the layout or the rule of the groups changes. */
export const OUTLINE_FORMAT_VERSION = 1;

const kind: HeaderKind = { magic: 'NFRDCOUT', version: OUTLINE_FORMAT_VERSION, fault: invalid };

/** Records: bytes of the packed lengths, their coding, three reserved bytes. */
const RECORDS_HEAD_BYTES = 8;

/** Bytes of one record and of one group on the wire, for prediction: 1.4 bytes of length, 17 of id and count. */
const LENGTH_BYTES_USUAL = 1.4;
const GROUP_BYTES_USUAL = GROUP_ID_BYTES + 1;
const GROUP_RECORDS_USUAL = 2 * GROUP_HORIZON_RECORDS + 1;

/**
 * Whether an outline is likely to save bytes. `changedFraction` is the part of the records, 0 to 1, that will have to
 * be fetched: best what it was the last time (`recordNeedsOf`); `roundTripBytes` what the line carries while a
 * question crosses it.
 */
export function outlinePays(
  signature: Pick<Signature, 'chunkCount' | 'hashBytes'>,
  expected: { readonly changedFraction: number; readonly roundTripBytes: number },
): boolean {
  const signatureBytes = signature.chunkCount * (signature.hashBytes + LENGTH_BYTES_USUAL);
  if (signatureBytes <= OUTLINED_BYTES_MIN) return false;
  const outlineBytes = (signature.chunkCount / GROUP_RECORDS_USUAL) * GROUP_BYTES_USUAL;
  return outlineBytes + expected.changedFraction * signatureBytes + expected.roundTripBytes < signatureBytes;
}

export function outlineOf(signature: Signature): SignatureOutline {
  const { parameters, salt, hashBytes, bytes, treeHash, chunkCount } = signature;
  return { head: { parameters, salt, hashBytes, bytes, treeHash, chunkCount }, groups: groupsOf(signature) };
}

/** The outline as bytes, freshly allocated: 88 and 17 for 33 chunks. */
export function encodeOutline(outline: SignatureOutline): Uint8Array {
  const counts = new ByteWriter(outline.groups.recordCounts.length * 2);
  for (const count of outline.groups.recordCounts) counts.varint(count);
  return frame(kind, { head: outline.head, column: packColumn(counts.view()), rest: outline.groups.ids });
}

/**
 * The outline in `encoded`, of which nothing is kept. Throws `RdcError` `signature-invalid` if it is damaged, cut short,
 * followed by anything or of another version, `limit-exceeded` if it is well formed but too large.
 */
export function decodeOutline(encoded: Uint8Array): SignatureOutline {
  const { head, column, rest } = unframe(kind, encoded);
  const groupCount = rest.length / GROUP_ID_BYTES;
  if (!Number.isInteger(groupCount)) throw invalid(`its ids have ${rest.length} bytes`);
  // A varint of at most 256 takes 1 or 2 bytes.
  const reader = new VarintReader(unpackColumn(column, groupCount * 2, invalid));
  const recordCounts = new Uint16Array(groupCount);
  let records = 0;
  for (let group = 0; group < groupCount; group++) {
    const count = reader.read();
    if (count < 1 || count > GROUP_RECORDS_MAX) throw invalid(`group ${group} is empty, too large or malformed`);
    recordCounts[group] = count;
    records += count;
  }
  if (!reader.isAtEnd) throw invalid('its column goes on after the last group');
  if (records !== head.chunkCount) throw invalid(`its groups have ${records} records, expected ${head.chunkCount}`);
  return { head, groups: { recordCounts, ids: Uint8Array.from(rest) } };
}

/**
 * The ranges of records, not bytes, that none of the `known` signatures has in a group of its own: a need list about
 * the signature as if it were a file of `chunkCount` bytes. `encodeNeeds` writes it, `encodeRecords` answers it.
 *
 * Throws `RangeError` for signatures of another salt, hash width or chunk sizes: they have no group in common.
 */
export function recordNeedsOf(outline: SignatureOutline, known: readonly Signature[]): NeedList {
  const found = new KnownGroups(outline, known);
  const starts: number[] = [];
  const lengths: number[] = [];
  let start = 0;
  let neededBytes = 0;
  outline.groups.recordCounts.forEach((count, group) => {
    if (!found.has(group)) {
      const last = lengths.length - 1;
      if (last >= 0 && (starts[last] as number) + (lengths[last] as number) === start) {
        lengths[last] = (lengths[last] as number) + count;
      } else {
        starts.push(start);
        lengths.push(count);
      }
      neededBytes += count;
    }
    start += count;
  });
  return {
    targetBytes: outline.head.chunkCount,
    targetTreeHash: outline.head.treeHash,
    rangeCount: starts.length,
    starts: Float64Array.from(starts),
    lengths: Float64Array.from(lengths),
    neededBytes,
  };
}

/**
 * The needed records of a signature, freshly allocated. Throws `RdcError` `basis-mismatch` if the list is about another
 * signature.
 */
export function encodeRecords(signature: Signature, needs: NeedList): Uint8Array {
  const isSame = signature.treeHash.every((byte, index) => byte === needs.targetTreeHash[index]);
  if (!isSame || needs.targetBytes !== signature.chunkCount) {
    throw new RdcError('basis-mismatch', 'Cannot encode records: the needs are about another signature');
  }
  const chunkLengths = new Uint32Array(needs.neededBytes);
  const hashes = new Uint8Array(needs.neededBytes * signature.hashBytes);
  let at = 0;
  for (let range = 0; range < needs.rangeCount; range++) {
    const start = needs.starts[range] as number;
    const count = needs.lengths[range] as number;
    chunkLengths.set(signature.chunkLengths.subarray(start, start + count), at);
    const into = hashes.subarray(at * signature.hashBytes);
    encodeHashes(signature.chunkHashes.subarray(start, start + count), signature.hashBytes, into);
    at += count;
  }
  const packed = encodeLengths(chunkLengths);
  const encoded = new Uint8Array(RECORDS_HEAD_BYTES + packed.bytes.length + hashes.length);
  new DataView(encoded.buffer).setUint32(0, packed.bytes.length, true);
  encoded[4] = packed.coding;
  encoded.set(packed.bytes, RECORDS_HEAD_BYTES);
  encoded.set(hashes, RECORDS_HEAD_BYTES + packed.bytes.length);
  return encoded;
}

/**
 * The outlined signature, from the same `known` ones as the need list was made with, and the answer to it.
 *
 * Throws `RdcError` `answer-invalid` if `records` are damaged or not those needed, `signature-invalid` if the groups do
 * not make the signature of a file.
 */
export function completeSignature(
  outline: SignatureOutline,
  known: readonly Signature[],
  records: Uint8Array,
): Signature {
  const { head, groups } = outline;
  const found = new KnownGroups(outline, known);
  const needed = groups.recordCounts.reduce((sum, count, group) => sum + (found.has(group) ? 0 : count), 0);
  const fetched = decodeRecords(records, needed, head.hashBytes);
  const chunkLengths = new Uint32Array(head.chunkCount);
  const chunkHashes = new BigUint64Array(head.chunkCount);
  let start = 0;
  let taken = 0;
  groups.recordCounts.forEach((count, group) => {
    const place = found.placeOf(group);
    const from = place?.signature ?? fetched;
    const first = place?.firstRecord ?? taken;
    chunkLengths.set(from.chunkLengths.subarray(first, first + count), start);
    chunkHashes.set(from.chunkHashes.subarray(first, first + count), start);
    if (place === undefined) {
      const id = groups.ids.subarray(group * GROUP_ID_BYTES, (group + 1) * GROUP_ID_BYTES);
      if (groupIdOf(fetched, taken, taken + count).some((byte, index) => byte !== id[index])) {
        throw answerInvalid(`group ${group} does not have its id`);
      }
      taken += count;
    }
    start += count;
  });
  assertLengths(chunkLengths, head, invalid);
  return { ...head, chunkLengths, chunkHashes };
}

/** Where the groups of an outline are in known signatures. */
class KnownGroups {
  readonly #places: ({ readonly signature: Signature; readonly firstRecord: number } | undefined)[];

  constructor(outline: SignatureOutline, known: readonly Signature[]) {
    const places = new Map<string, { readonly signature: Signature; readonly firstRecord: number }>();
    for (const signature of known) {
      assertComparable(signature, outline.head);
      const { recordCounts, ids } = groupsOf(signature);
      let firstRecord = 0;
      recordCounts.forEach((count, group) => {
        places.set(keyOf(ids, group, count), { signature, firstRecord });
        firstRecord += count;
      });
    }
    const { recordCounts, ids } = outline.groups;
    const found = Array.from(recordCounts, (count, group) => places.get(keyOf(ids, group, count)));
    // So scattered that no list can say it: then all is needed, in one range.
    const rangeCount = found.filter((place, group) => place === undefined && found[group - 1] !== undefined).length + 1;
    this.#places = rangeCount > NEED_RANGES_MAX ? [] : found;
  }

  has(group: number): boolean {
    return this.#places[group] !== undefined;
  }

  placeOf(group: number): { readonly signature: Signature; readonly firstRecord: number } | undefined {
    return this.#places[group];
  }
}

/** Id and size: an outline may claim another size than the group with that id has. */
function keyOf(ids: Uint8Array, group: number, count: number): string {
  const id = ids.subarray(group * GROUP_ID_BYTES, (group + 1) * GROUP_ID_BYTES);
  return `${Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1')}${count}`;
}

function decodeRecords(encoded: Uint8Array, count: number, hashBytes: number): Records {
  if (encoded.length < RECORDS_HEAD_BYTES) throw answerInvalid(`it has ${encoded.length} bytes`);
  const lengthBytes = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength).getUint32(0, true);
  const expectedBytes = RECORDS_HEAD_BYTES + lengthBytes + count * hashBytes;
  if (encoded.length !== expectedBytes) {
    throw answerInvalid(`it has ${encoded.length} bytes, expected ${expectedBytes}`);
  }
  if (encoded[5] !== 0 || encoded[6] !== 0 || encoded[7] !== 0) throw answerInvalid('its reserved bytes are not zero');
  const hashesAt = RECORDS_HEAD_BYTES + lengthBytes;
  const packed = { coding: encoded[4] as number, bytes: encoded.subarray(RECORDS_HEAD_BYTES, hashesAt) };
  return {
    hashBytes,
    chunkLengths: decodeLengths(packed, count, answerInvalid),
    chunkHashes: decodeHashes(encoded.subarray(hashesAt), hashBytes),
  };
}

function invalid(state: string, cause?: unknown): RdcError {
  return new RdcError('signature-invalid', `Cannot read the outline: ${state}`, { cause });
}

function answerInvalid(state: string, cause?: unknown): RdcError {
  return new RdcError('answer-invalid', `Cannot complete the signature: ${state}`, { cause });
}
