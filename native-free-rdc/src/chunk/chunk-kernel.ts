/**
 * The kernel of wasm/chunk.as.ts, which finds the cuts of local-maximum.ts at some 5 GB/s.
 *
 * One instance a thread, made when first needed (0.3 ms) and kept: 448 KiB. It keeps nothing from one call to the
 * next, so all chunkers of a thread share it. Where WebAssembly or its SIMD is missing, the plain rule is used: same cuts.
 */
import { copyBytes } from '../copy-bytes.ts';
import { HASHED_BYTES, HORIZON_BYTES_CEILING } from '../limits.ts';
import { base64 } from '../wasm/chunk.ts';
import { instantiate, KernelMemory, type KernelRoom } from '../wasm-kernel.ts';
import { assertContext, type CutWindow, localMaxima } from './local-maximum.ts';

/** Bytes asked about in one go. In L2 with their context; a longer one would save a horizon each, 1 % at most. */
const STEP_BYTES = 256 * 1024;

const WINDOW_BYTES_MAX = STEP_BYTES + 2 * HORIZON_BYTES_CEILING;
/** Room before the first byte for those its hash reaches back to. */
const LEAD_BYTES = 64;

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
    const memory = new KernelMemory();
    const { findCuts } = instantiate(base64, memory);
    const rooms: Rooms = {
      // The kernel looks at whole blocks of 64, the last one too.
      bytes: memory.room(LEAD_BYTES + WINDOW_BYTES_MAX + 64),
      maxima: memory.room((WINDOW_BYTES_MAX / 64 + 1) * 2 + 2),
      // The densest cuts are a block and a byte apart.
      cuts: memory.room((STEP_BYTES / 64) * 4),
    };
    return findCuts && ((window, horizonBytes) => cutsByKernel({ memory, rooms, findCuts }, window, horizonBytes));
  } catch {
    return undefined;
  }
}

type Rooms = Readonly<Record<'bytes' | 'maxima' | 'cuts', KernelRoom>>;

function cutsByKernel(
  kernel: {
    readonly memory: KernelMemory;
    readonly rooms: Rooms;
    readonly findCuts: (...numbers: number[]) => number;
  },
  window: CutWindow,
  horizonBytes: number,
): number[] {
  assertContext(window, horizonBytes);
  const { memory, rooms, findCuts } = kernel;
  const { bytes } = window;
  const room = memory.bytes(rooms.bytes);
  const firstAt = rooms.bytes.at + LEAD_BYTES;
  const cuts: number[] = [];
  const start = window.isFileStart ? Math.max(window.startByte, horizonBytes) : window.startByte;
  for (let from = start; from < window.endByte; from += STEP_BYTES) {
    const to = Math.min(from + STEP_BYTES, window.endByte);
    const first = Math.max(0, from - horizonBytes);
    const last = Math.min(to + horizonBytes, bytes.length);
    const lead = Math.min(first, HASHED_BYTES - 1);
    room.fill(0, LEAD_BYTES - HASHED_BYTES, LEAD_BYTES - lead);
    copyBytes(bytes.subarray(first - lead, last), room, LEAD_BYTES - lead);
    const found = findCuts(
      firstAt,
      last - first,
      from - first,
      to - first,
      horizonBytes,
      rooms.maxima.at,
      rooms.cuts.at,
    );
    const ends = memory.words(rooms.cuts);
    for (let index = 0; index < found; index++) cuts.push(first + (ends[index] as number));
  }
  return cuts;
}
