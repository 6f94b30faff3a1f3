/**
 * Where in a delta what part of the target is: a delta whose bytes can be read at any place, as a file or by ranges of
 * HTTP, is addressable, since segments do not depend on one another and their heads tell how long they are.
 *
 * Made of the heads alone, one read of 72 bytes each; takes 16 bytes of memory a segment, 4 MiB of target as this
 * library cuts them. What it says was checked for being possible, not for being true: a forged head that lies about its
 * columns is told when its segment is rebuilt.
 */
import type { BasisReader } from '../basis-reader.ts';
import { RdcError } from '../errors.ts';
import { type ApplyDeltaOptions, applySegments } from './apply-delta.ts';
import {
  COLUMNS,
  DELTA_HEADER_BYTES,
  type DeltaHeader,
  type DeltaTrailer,
  decodeDeltaTrailer,
  decodeSegmentHead,
  invalid,
  readDeltaHeader,
  SEGMENT_HEAD_BYTES,
  TAG_SEGMENT,
  TAG_TRAILER,
  TRAILER_BYTES,
} from './delta-format.ts';

/** A segment: the part of the target it makes, and where it lies in the delta, its head included. In bytes. */
export interface SegmentPlace {
  readonly targetStart: number;
  readonly targetBytes: number;
  readonly deltaStart: number;
  readonly deltaBytes: number;
}

/** What the heads of a delta say, and its header and trailer. Nothing of it is verified before the whole is applied. */
export interface DeltaIndex extends DeltaTrailer {
  readonly header: DeltaHeader;
  readonly deltaBytes: number;
  readonly segmentCount: number;
  /** `index` is in [0, segmentCount). */
  segmentAt(index: number): SegmentPlace;
  /** The segments that make `[startByte, endByte)` of the target, as indexes `[first, end)`. */
  covering(range: TargetRange): { readonly first: number; readonly end: number };
}

/** A part of the target, half-open. */
export interface TargetRange {
  readonly startByte: number;
  readonly endByte: number;
}

/** Segments of one index, 4 MiB of it: a target of 1 TiB. */
export const INDEXED_SEGMENTS_MAX = 2 ** 18;

/** Delta bytes read as one while a range is rebuilt. */
const DELTA_PIECE_BYTES = 1024 * 1024;

/**
 * Reads the heads of `delta`, one after the other, and nothing else.
 *
 * Throws `RdcError`: `delta-truncated` if the delta ends early, `delta-invalid` if it is malformed as far as that is to
 * be seen, `limit-exceeded` if its sizes are beyond this library's or it has more than 2^18 segments.
 */
export async function readDeltaIndex(delta: BasisReader): Promise<DeltaIndex> {
  const header = readDeltaHeader(await readDelta(delta, 0, Math.min(DELTA_HEADER_BYTES, delta.bytes)));
  const places = new SegmentPlaces();
  for (;;) {
    const at = places.deltaEnd;
    const left = delta.bytes - at;
    if (left < TRAILER_BYTES) throw truncated(`it ends after ${delta.bytes} bytes`);
    const part = await readDelta(delta, at, left === TRAILER_BYTES ? left : Math.min(left, SEGMENT_HEAD_BYTES));
    if (part[0] !== TAG_SEGMENT) {
      if (part[0] !== TAG_TRAILER) throw invalid(`it goes on with tag ${part[0]}, expected a segment or the trailer`);
      if (left > TRAILER_BYTES) throw invalid('it goes on after its trailer');
      return indexOf(places, { header, trailer: decodeTrailer(part, places), deltaBytes: delta.bytes });
    }
    if (part.length < SEGMENT_HEAD_BYTES) throw truncated('it ends within the head of a segment');
    const { targetBytes, columns } = decodeSegmentHead(part, header);
    if (columns.ops.rawBytes === 0) throw invalid('a segment has no operations');
    places.add(
      targetBytes,
      COLUMNS.reduce((sum, name) => sum + columns[name].encodedBytes, SEGMENT_HEAD_BYTES),
    );
  }
}

/**
 * The part of the target in `range`, piece by piece, as `applyDelta` would yield it, of reads of the segments that make
 * it and no others. `delta` and `basis` are the ones meant: of each segment only the 64-bit hash is checked, which tells
 * damage. It does not tell whether this is a part of the target that the trailer names, and nothing against a forger:
 * who needs that applies the whole delta.
 *
 * Throws `RangeError` for a range outside the target, and `RdcError` as `applyDelta` does. `options.onVerified` is never
 * told.
 */
export async function* rebuildRange(
  sources: { readonly basis: BasisReader; readonly delta: BasisReader; readonly index: DeltaIndex },
  range: TargetRange,
  options: ApplyDeltaOptions = {},
): AsyncGenerator<Uint8Array, void> {
  const { basis, delta, index } = sources;
  const { first, end } = index.covering(range);
  if (first === end) return;
  let next = first;
  for await (const piece of applySegments(basis, deltaPieces(delta, index, { first, end }), index.header, options)) {
    const { targetStart, targetBytes } = index.segmentAt(next);
    // Heads are read again here, and a file may have changed since.
    if (next === end || piece.length !== targetBytes) throw invalid('its segments are not those of its index');
    next++;
    yield piece.subarray(
      Math.max(0, range.startByte - targetStart),
      Math.min(targetBytes, range.endByte - targetStart),
    );
  }
  if (next !== end) throw invalid('its segments are fewer than those of its index');
}

async function* deltaPieces(
  delta: BasisReader,
  index: DeltaIndex,
  { first, end }: { readonly first: number; readonly end: number },
): AsyncGenerator<Uint8Array, void> {
  const last = index.segmentAt(end - 1);
  const deltaEnd = last.deltaStart + last.deltaBytes;
  for (let at = index.segmentAt(first).deltaStart; at < deltaEnd; ) {
    const piece = await readDelta(delta, at, Math.min(DELTA_PIECE_BYTES, deltaEnd - at));
    at += piece.length;
    yield piece;
  }
}

/** Where each segment begins, in the target and in the delta. */
class SegmentPlaces {
  #count = 0;
  #targetStarts = new Float64Array(16);
  #deltaStarts = new Float64Array(16).fill(DELTA_HEADER_BYTES, 0, 1);

  get count(): number {
    return this.#count;
  }

  get targetEnd(): number {
    return this.#targetStarts[this.#count] as number;
  }

  get deltaEnd(): number {
    return this.#deltaStarts[this.#count] as number;
  }

  add(targetBytes: number, deltaBytes: number): void {
    if (this.#count === INDEXED_SEGMENTS_MAX) {
      throw new RdcError('limit-exceeded', `Cannot index the delta: it has more than ${INDEXED_SEGMENTS_MAX} segments`);
    }
    const [targetEnd, deltaEnd] = [this.targetEnd + targetBytes, this.deltaEnd + deltaBytes];
    this.#count++;
    if (this.#count === this.#targetStarts.length) {
      this.#targetStarts = grown(this.#targetStarts);
      this.#deltaStarts = grown(this.#deltaStarts);
    }
    this.#targetStarts[this.#count] = targetEnd;
    this.#deltaStarts[this.#count] = deltaEnd;
  }

  at(index: number): SegmentPlace {
    if (!Number.isInteger(index) || index < 0 || index >= this.#count) {
      throw new RangeError(`Cannot tell the place of segment ${index}: expected 0 to ${this.#count - 1}`);
    }
    const targetStart = this.#targetStarts[index] as number;
    const deltaStart = this.#deltaStarts[index] as number;
    return {
      targetStart,
      targetBytes: (this.#targetStarts[index + 1] as number) - targetStart,
      deltaStart,
      deltaBytes: (this.#deltaStarts[index + 1] as number) - deltaStart,
    };
  }

  /** The segment that makes byte `targetByte` of the target. */
  making(targetByte: number): number {
    let low = 0;
    let high = this.#count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#targetStarts[middle] as number) <= targetByte) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function grown(starts: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(starts.length * 2);
  larger.set(starts);
  return larger;
}

function indexOf(
  places: SegmentPlaces,
  told: { readonly header: DeltaHeader; readonly trailer: DeltaTrailer; readonly deltaBytes: number },
): DeltaIndex {
  const { header, trailer, deltaBytes } = told;
  return {
    ...trailer,
    header,
    deltaBytes,
    segmentCount: places.count,
    segmentAt: (index) => places.at(index),
    covering: ({ startByte, endByte }) => {
      const isWithin = Number.isSafeInteger(startByte) && Number.isSafeInteger(endByte) && startByte >= 0;
      if (!isWithin || startByte > endByte || endByte > trailer.targetBytes) {
        throw new RangeError(`Cannot rebuild [${startByte}, ${endByte}) of ${trailer.targetBytes} target bytes`);
      }
      if (startByte === endByte) return { first: 0, end: 0 };
      return { first: places.making(startByte), end: places.making(endByte - 1) + 1 };
    },
  };
}

function decodeTrailer(part: Uint8Array, places: SegmentPlaces): DeltaTrailer {
  const trailer = decodeDeltaTrailer(part);
  if (trailer.targetBytes !== places.targetEnd) {
    throw invalid(`its segments make ${places.targetEnd} bytes, its trailer tells ${trailer.targetBytes}`);
  }
  return trailer;
}

async function readDelta(delta: BasisReader, offset: number, bytes: number): Promise<Uint8Array> {
  const part = new Uint8Array(bytes);
  const read = await delta.read(offset, part);
  if (read !== bytes) throw truncated(`it gave ${read} bytes at ${offset}, expected ${bytes}`);
  return part;
}

function truncated(state: string): RdcError {
  return new RdcError('delta-truncated', `Cannot index the delta: ${state}`);
}
