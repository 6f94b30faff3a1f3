/** Reads from the basis what a segment copies. */
import { type BasisReader, readExactly } from '../basis-reader.ts';
import { copyBytes } from '../copy-bytes.ts';
import { READ_GAP_BYTES_MAX } from '../limits.ts';
import type { Ops } from './delta-ops.ts';

/** From here on `copyBytes` is worth a call. */
const COPIED_BYTES_MIN = 1024;

const ACTION = 'apply the delta';

/** A part of the basis, and where it lies in the batch. */
interface ReadPart {
  readonly start: number;
  bytes: number;
  readonly at: number;
}

/**
 * Fills the copies of `target`, the bytes of a segment, with old bytes. `batch` is `READ_BATCH_PER_TARGET_BYTE`
 * times as long.
 *
 * A read costs some 50 µs whatever its size, and a delta of densely changed content has a copy every few KiB, here and
 * there: so all copies are read in the order of the basis, neighbours as one. A batch holds what a segment copies and as
 * much again in gaps; a delta that copies the same bytes again and again reads them once.
 */
export async function copyFromBasis(
  basis: BasisReader,
  ops: Ops,
  { target, batch }: { readonly target: Uint8Array; readonly batch: Uint8Array },
): Promise<void> {
  const places = placesOf(ops);
  const copies = [...places.keys()].filter((index) => (ops.starts[index] as number) >= 0);
  copies.sort((left, right) => (ops.starts[left] as number) - (ops.starts[right] as number));
  const parts = partsOf(ops, copies);
  for (const { start, bytes, at } of parts) await readExactly(basis, start, batch.subarray(at, at + bytes), ACTION);
  let part = 0;
  for (const index of copies) {
    const start = ops.starts[index] as number;
    while (partEnd(parts[part] as ReadPart) <= start) part++;
    const { start: partStart, at } = parts[part] as ReadPart;
    const from = at + start - partStart;
    const bytes = ops.lengths[index] as number;
    const place = places[index] as number;
    if (bytes < COPIED_BYTES_MIN) target.set(batch.subarray(from, from + bytes), place);
    else copyBytes(batch.subarray(from, from + bytes), target, place);
  }
}

/** Where each operation begins in the segment. */
function placesOf({ lengths, count }: Ops): Uint32Array {
  const places = new Uint32Array(count);
  for (let index = 1; index < count; index++) {
    places[index] = (places[index - 1] as number) + (lengths[index - 1] as number);
  }
  return places;
}

/** What to read for these copies, which are ascending: gaps are read, too, as long as they are not more than what is used. */
function partsOf({ starts, lengths }: Ops, copies: readonly number[]): ReadPart[] {
  const parts: ReadPart[] = [];
  let usedBytes = 0;
  let gapBytes = 0;
  for (const index of copies) {
    const start = starts[index] as number;
    const bytes = lengths[index] as number;
    const last = parts.at(-1);
    const gap = last === undefined ? Number.POSITIVE_INFINITY : start - partEnd(last);
    if (last !== undefined && gap <= READ_GAP_BYTES_MAX && gapBytes + gap <= usedBytes) {
      gapBytes += Math.max(0, gap);
      usedBytes += Math.max(0, start + bytes - Math.max(start, partEnd(last)));
      last.bytes = Math.max(last.bytes, start + bytes - last.start);
    } else {
      parts.push({ start, bytes, at: last === undefined ? 0 : last.at + last.bytes });
      usedBytes += bytes;
    }
  }
  return parts;
}

function partEnd({ start, bytes }: ReadPart): number {
  return start + bytes;
}
