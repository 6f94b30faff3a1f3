/**
 * The kernel of wasm/chunk.as.ts, which finds the cuts of local-maximum.ts at some 5 GB/s.
 *
 * One instance a thread, made when first needed (0.3 ms) and kept: 448 KiB. It keeps nothing from one call to the
 * next, so all chunkers of a thread share it. Where WebAssembly or its SIMD is missing, the plain rule is used: same cuts.
 */
import { HASHED_BYTES, HORIZON_BYTES_CEILING } from '../limits.ts';
import { base64 } from '../wasm/chunk.ts';
import { assertContext, type CutWindow, localMaxima } from './local-maximum.ts';

/** What is used of WebAssembly; the compiler's libraries declare it only together with a browser's. */
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (binary: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: Readonly<Record<string, (...numbers: number[]) => number>> };
};

/** Bytes asked about in one go. In L2 with their context; a longer one would save a horizon each, 1 % at most. */
const STEP_BYTES = 256 * 1024;

const PAGE_BYTES = 64 * 1024;
/** A vector's worth before the first hash; the rest before it is the kernel's own constants. */
const BYTES_AT = 4096;
const WINDOW_BYTES_MAX = STEP_BYTES + 2 * HORIZON_BYTES_CEILING;
/** The kernel looks at whole blocks of 64, the last one too. */
const MAXIMA_AT = BYTES_AT + WINDOW_BYTES_MAX + 64;
const CUTS_AT = MAXIMA_AT + (WINDOW_BYTES_MAX / 64 + 1) * 2 + 2;
/** The densest cuts are a block and a byte apart. */
const MEMORY_BYTES = CUTS_AT + (STEP_BYTES / 64) * 4;

/** Finds cuts as `localMaxima` does. */
export type CutFinder = (window: CutWindow, horizonBytes: number) => readonly number[];

let finder: CutFinder | undefined;

/** The kernel, or the plain rule where there is none. */
export function contentCuts(window: CutWindow, horizonBytes: number): readonly number[] {
  finder ??= makeKernel() ?? localMaxima;
  return finder(window, horizonBytes);
}

/** A kernel of its own memory, or undefined where it cannot run. */
export function makeKernel(): CutFinder | undefined {
  try {
    const memory = new WebAssembly.Memory({ initial: Math.ceil(MEMORY_BYTES / PAGE_BYTES) });
    const module = new WebAssembly.Module(Buffer.from(base64, 'base64'));
    const { findCuts } = new WebAssembly.Instance(module, { env: { memory } }).exports;
    return findCuts && ((window, horizonBytes) => cutsByKernel(memory.buffer, findCuts, window, horizonBytes));
  } catch {
    return undefined;
  }
}

function cutsByKernel(
  memory: ArrayBuffer,
  findCuts: (...numbers: number[]) => number,
  window: CutWindow,
  horizonBytes: number,
): number[] {
  assertContext(window, horizonBytes);
  const { bytes } = window;
  const room = new Uint8Array(memory, 0, MAXIMA_AT);
  const cuts: number[] = [];
  const start = window.isFileStart ? Math.max(window.startByte, horizonBytes) : window.startByte;
  for (let from = start; from < window.endByte; from += STEP_BYTES) {
    const to = Math.min(from + STEP_BYTES, window.endByte);
    const first = Math.max(0, from - horizonBytes);
    const last = Math.min(to + horizonBytes, bytes.length);
    const lead = Math.min(first, HASHED_BYTES - 1);
    room.fill(0, BYTES_AT - HASHED_BYTES, BYTES_AT - lead);
    room.set(bytes.subarray(first - lead, last), BYTES_AT - lead);
    const found = findCuts(BYTES_AT, last - first, from - first, to - first, horizonBytes, MAXIMA_AT, CUTS_AT);
    const ends = new DataView(memory, CUTS_AT, found * 4);
    for (let index = 0; index < found; index++) cuts.push(first + ends.getUint32(index * 4, true));
  }
  return cuts;
}
