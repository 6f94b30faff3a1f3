/**
 * Groups of a signature's records, found by content as chunks are: an edit changes the group around it and no other.
 *
 * A record is the length and the kept hash of a chunk. A group ends after record i if i ≥ 16, the lowest 32 bits of its
 * hash are greater than those of each of the 16 records before it, and no less than those of each of the 16 records
 * after it; or after 256 records; or with the signature. 33 records on average. A group's id is the first 16 bytes of
 * the SHA-256 of its records: 128 bits, since a group taken for another is found out only at the very end.
 */
import { createHash } from 'node:crypto';
import { GROUP_HORIZON_RECORDS, GROUP_ID_BYTES, GROUP_RECORDS_MAX } from '../limits.ts';
import { encodeHashes } from './chunk-codec.ts';
import type { Signature } from './signature.ts';

/** Columns of equal length, in the order of the signature. */
export interface RecordGroups {
  /** Records in each group, 1 to 256. Their sum is the chunks of the signature. */
  readonly recordCounts: Uint16Array;
  /** The ids, 16 bytes each, one behind the other. */
  readonly ids: Uint8Array;
}

/** The part of a signature that groups are made of. */
export type Records = Pick<Signature, 'chunkLengths' | 'chunkHashes' | 'hashBytes'>;

export function groupsOf(records: Records): RecordGroups {
  const ends = groupEndsOf(records.chunkHashes);
  const recordCounts = new Uint16Array(ends.length);
  const ids = new Uint8Array(ends.length * GROUP_ID_BYTES);
  let start = 0;
  ends.forEach((end, group) => {
    recordCounts[group] = end - start;
    ids.set(groupIdOf(records, start, end), group * GROUP_ID_BYTES);
    start = end;
  });
  return { recordCounts, ids };
}

/** The id of the group of records [start, end). */
export function groupIdOf(records: Records, start: number, end: number): Uint8Array {
  const { hashBytes } = records;
  const lengths = new DataView(new ArrayBuffer((end - start) * 4));
  for (let index = start; index < end; index++) {
    lengths.setUint32((index - start) * 4, records.chunkLengths[index] as number, true);
  }
  const hashes = new Uint8Array((end - start) * hashBytes);
  encodeHashes(records.chunkHashes.subarray(start, end), hashBytes, hashes);
  const sha256 = createHash('sha256').update(new Uint8Array(lengths.buffer)).update(hashes);
  return sha256.digest().subarray(0, GROUP_ID_BYTES);
}

/** Indexes just behind the last record of each group. */
function groupEndsOf(chunkHashes: BigUint64Array): number[] {
  const values = Uint32Array.from(chunkHashes, (hash) => Number(BigInt.asUintN(32, hash)));
  const ends: number[] = [];
  let start = 0;
  const forceUpTo = (end: number): void => {
    for (; end - start > GROUP_RECORDS_MAX; start += GROUP_RECORDS_MAX) ends.push(start + GROUP_RECORDS_MAX);
  };
  // Simpler than for chunks, and quick enough: there are thousands of times fewer records than bytes.
  for (let at = GROUP_HORIZON_RECORDS; at < values.length; at++) {
    if (!isGreatest(values, at)) continue;
    forceUpTo(at + 1);
    start = at + 1;
    ends.push(start);
    at += GROUP_HORIZON_RECORDS;
  }
  forceUpTo(values.length);
  if (start < values.length) ends.push(values.length);
  return ends;
}

function isGreatest(values: Uint32Array, at: number): boolean {
  const value = values[at] as number;
  const last = Math.min(values.length - 1, at + GROUP_HORIZON_RECORDS);
  for (let after = at + 1; after <= last; after++) if ((values[after] as number) > value) return false;
  for (let before = at - 1; before >= at - GROUP_HORIZON_RECORDS; before--) {
    if ((values[before] as number) >= value) return false;
  }
  return true;
}
