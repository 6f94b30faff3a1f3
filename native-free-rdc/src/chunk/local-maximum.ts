/**
 * Where a file is cut: after each byte whose hash is the greatest far and wide.
 *
 * Every byte has a 16-bit hash of the 32 bytes that end with it. A chunk ends after byte i if i ≥ horizon, the hash
 * of i is greater than that of each of the `horizon` bytes before it and no less than that of each of the `horizon`
 * bytes after it. Bytes before the start of the file count as zero when hashes are made; the horizon ends with the
 * file. So whether i is a cut depends on bytes [i − horizon − 31, i + horizon] and on nothing else: cuts move along
 * with their surroundings, are in step again one horizon behind an edit, and any part of a file can be cut without
 * the rest. (Bjørner, Blass, Gurevich: "Content-dependent chunking …, the local maximum approach"; hash and sizes ours.)
 *
 * This is the rule in plain TypeScript: the oracle of the kernel in wasm/chunk.as.ts, which does the same 50 times
 * faster, and its stand-in where WebAssembly has no SIMD. The hash chooses positions and identifies nothing.
 */
import { HASHED_BYTES } from '../limits.ts';

/**
 * Odd numbers, the first five little-endian 16-bit words of SHA-256("native-free-rdc lm16/1") with the lowest bit set.
 * Three other sets left as much unmatched, within 0.5 %, on the node and swc pairs: they need only be odd and unlike.
 */
export const MULTIPLIERS: readonly [number, number, number, number, number] = [0xf81d, 0x5325, 0x6b0b, 0x4c7d, 0x21cd];

/** Bytes of a file, consecutive, and which of them are asked about. */
export interface CutWindow {
  readonly bytes: Uint8Array;
  /** Cuts after the bytes [startByte, endByte), positions in `bytes`, are asked for; the others are context. */
  readonly startByte: number;
  readonly endByte: number;
  /** Whether `bytes` begins where the file does; otherwise horizon + 31 bytes precede `startByte`. */
  readonly isFileStart: boolean;
  /** Whether `bytes` ends where the file does; otherwise horizon bytes follow `endByte`. */
  readonly isFileEnd: boolean;
}

/** Bytes needed before and after what is asked about, unless the file begins or ends there. */
export function contextBytes(horizonBytes: number): { readonly before: number; readonly after: number } {
  return { before: horizonBytes + HASHED_BYTES - 1, after: horizonBytes };
}

/** Throws `RangeError` unless the window has the context its question needs. */
export function assertContext(window: CutWindow, horizonBytes: number): void {
  const { bytes, startByte, endByte } = window;
  const { before, after } = contextBytes(horizonBytes);
  const isInside = startByte >= 0 && startByte <= endByte && endByte <= bytes.length;
  const isEnough = (window.isFileStart || startByte >= before) && (window.isFileEnd || bytes.length - endByte >= after);
  if (!isInside || !isEnough) {
    throw new RangeError(
      `Cannot find cuts in [${startByte}, ${endByte}) of ${bytes.length} bytes: expected ${before} before, ${after} after`,
    );
  }
}

/** The ends of chunks after the bytes asked about, as positions in `window.bytes`, ascending. */
export function localMaxima(window: CutWindow, horizonBytes: number): number[] {
  assertContext(window, horizonBytes);
  const first = Math.max(0, window.startByte - horizonBytes);
  const count = Math.min(window.bytes.length, window.endByte + horizonBytes) - first;
  const hashes = hashesOf(window.bytes, first, count);
  const end = window.endByte - first;
  const cuts: number[] = [];
  let at = Math.max(window.startByte, window.isFileStart ? horizonBytes : 0) - first;
  while (at < end) {
    // Climb: a greater hash within the horizon beats this one, and this one or an earlier beats all in between.
    let hash = hashes[at] as number;
    let until = Math.min(at + horizonBytes, count - 1);
    for (let next = at + 1; next <= until; next++) {
      const other = hashes[next] as number;
      if (other > hash) {
        at = next;
        hash = other;
        until = Math.min(at + horizonBytes, count - 1);
      }
    }
    if (at >= end) break;
    let before = at - 1;
    const lowest = Math.max(0, at - horizonBytes);
    while (before >= lowest && (hashes[before] as number) < hash) before--;
    if (before < lowest) cuts.push(first + at + 1);
    // Whether it is a cut or not, it is not less than any of the horizon after it.
    at += horizonBytes + 1;
  }
  return cuts;
}

/** The hashes of the bytes [first, first + count), by doubling: those of 4 bytes, then of 8, 16 and 32. */
function hashesOf(bytes: Uint8Array, first: number, count: number): Int16Array {
  const [c1, c2, a8, a16, a32] = MULTIPLIERS;
  // Zeros stand for what is before the file, or is not needed.
  const lead = HASHED_BYTES - 1;
  const padding = 3;
  const padded = new Uint8Array(padding + lead + count);
  const from = Math.max(0, first - lead);
  padded.set(bytes.subarray(from, first + count), padding + lead - (first - from));
  const hashes = new Int16Array(lead + count);
  for (let index = 0; index < hashes.length; index++) {
    const near = (padded[index + 2] as number) + 256 * (padded[index + 3] as number);
    const far = (padded[index] as number) + 256 * (padded[index + 1] as number);
    hashes[index] = Math.imul(near, c1) + Math.imul(far, c2);
  }
  // From behind, so that what is added has not been doubled yet.
  for (let index = hashes.length - 1; index >= 4; index--) doubleAt(hashes, index, 4, a8);
  for (let index = hashes.length - 1; index >= 8; index--) doubleAt(hashes, index, 8, a16);
  for (let index = hashes.length - 1; index >= 16; index--) doubleAt(hashes, index, 16, a32);
  return hashes.subarray(lead);
}

function doubleAt(hashes: Int16Array, index: number, distance: number, multiplier: number): void {
  hashes[index] = (hashes[index] as number) + Math.imul(hashes[index - distance] as number, multiplier);
}
