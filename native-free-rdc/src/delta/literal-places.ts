/**
 * Where in a window of old bytes the like of literals is to be expected: close to what is copied around them.
 *
 * A guess that costs bytes where it is wrong, never correctness. Knows nothing of where the window lies in the basis.
 */
import type { PlacedOps } from './placed-ops.ts';

/** Old bytes in memory, of which those between two ends lie together in the basis. */
export interface OldBytes {
  readonly window: Uint8Array;
  /** Where each extent ends in the window, ascending; the last is the length of the window. */
  readonly extentEnds: readonly number[];
}

/** A range of bytes. */
export interface Range {
  readonly start: number;
  readonly bytes: number;
}

/** Places are counted in units of this size. */
const PLACE_UNIT_BYTES = 4096;
/** Within a long run the place moves on as the literals do, so often. */
const PLACED_BYTES_MAX = 64 * 1024;
const EVEN_RUNS = 64;

/** Literals and their places. */
export class PlacedLiterals {
  readonly bytes: Uint8Array;
  /** Alternating: where in `bytes` a run begins, ascending from 0; its place in the window. */
  readonly #runs: readonly number[];

  private constructor(bytes: Uint8Array, runs: readonly number[]) {
    this.bytes = bytes;
    this.#runs = runs;
  }

  /** All of a target that has hardly a copy: as if it went through the window at an even pace. */
  static evenly(target: Uint8Array, windowBytes: number): PlacedLiterals {
    const runs: number[] = [];
    const runBytes = Math.ceil(target.length / EVEN_RUNS);
    for (let at = 0; at < target.length; at += runBytes) {
      runs.push(at, Math.floor((at * windowBytes) / target.length));
    }
    return new PlacedLiterals(target, runs);
  }

  /** The literals of `ops`, whose copies have a place each; with `isWhole` all of the target, copied or not. */
  static among(
    bytes: Uint8Array,
    { ops, windowStarts }: PlacedOps,
    { isWhole }: { readonly isWhole: boolean },
  ): PlacedLiterals {
    const runs: number[] = [];
    let place = Math.max(0, windowStarts.find((start) => start >= 0) ?? 0);
    let taken = 0;
    ops.lengths.forEach((length, index) => {
      const isLiteral = (ops.starts[index] as number) < 0;
      if (!isLiteral) place = windowStarts[index] as number;
      if (isLiteral || isWhole) {
        for (let done = 0; done < length; done += PLACED_BYTES_MAX) runs.push(taken + done, place + done);
        taken += length;
      }
      place += length;
    });
    return new PlacedLiterals(bytes, runs);
  }

  /**
   * The old bytes, all of one extent and at most `bytesMax`, to which the most of `some` of the literals belong.
   * Undefined if there are none.
   */
  nearest(some: Range, old: OldBytes, bytesMax: number): Range | undefined {
    if (old.window.length === 0) return undefined;
    const counts = this.#countsByPlace(some, old.window.length);
    let best: Fullest | undefined;
    let extentStart = 0;
    for (const extentEnd of old.extentEnds) {
      const found = fullest(counts, { start: extentStart, bytes: extentEnd - extentStart }, bytesMax);
      if (best === undefined || found.literalBytes > best.literalBytes) best = found;
      extentStart = extentEnd;
    }
    return best === undefined || best.literalBytes === 0 ? undefined : best.range;
  }

  /** How many of the literals belong to each unit of the window. */
  #countsByPlace(some: Range, windowBytes: number): Float64Array {
    const counts = new Float64Array(Math.ceil(windowBytes / PLACE_UNIT_BYTES));
    for (let run = 0; run < this.#runs.length; run += 2) {
      const from = Math.max(this.#runs[run] as number, some.start);
      const to = Math.min(this.#runs[run + 2] ?? this.bytes.length, some.start + some.bytes);
      const unit = Math.min(counts.length - 1, Math.floor((this.#runs[run + 1] as number) / PLACE_UNIT_BYTES));
      if (to > from) counts[unit] = (counts[unit] as number) + to - from;
    }
    return counts;
  }
}

interface Fullest {
  readonly range: Range;
  readonly literalBytes: number;
}

/** The part of an extent, at most `bytesMax`, with the most literals; of equal ones side by side that in the middle. */
function fullest(counts: Float64Array, extent: Range, bytesMax: number): Fullest {
  const extentEnd = extent.start + extent.bytes;
  const units = Math.max(1, Math.floor(bytesMax / PLACE_UNIT_BYTES));
  const first = Math.floor(extent.start / PLACE_UNIT_BYTES);
  const end = Math.ceil(extentEnd / PLACE_UNIT_BYTES);
  let literalBytes = 0;
  for (let unit = first; unit < Math.min(end, first + units); unit++) literalBytes += counts[unit] as number;
  let most = literalBytes;
  let mostFrom = first;
  let mostTo = first;
  for (let from = first + 1; from + units <= end; from++) {
    literalBytes += (counts[from + units - 1] as number) - (counts[from - 1] as number);
    if (literalBytes > most) {
      most = literalBytes;
      mostFrom = from;
      mostTo = from;
    } else if (literalBytes === most && mostTo === from - 1) mostTo = from;
  }
  const start = Math.max(extent.start, Math.floor((mostFrom + mostTo) / 2) * PLACE_UNIT_BYTES);
  const bytes = Math.min(bytesMax, units * PLACE_UNIT_BYTES, extentEnd - start);
  return { range: { start, bytes }, literalBytes: most };
}
