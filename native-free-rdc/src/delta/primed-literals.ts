/**
 * Literals compressed by zstd with old bytes as its dictionary: the coding `dictionary` of a delta.
 *
 * What changed too densely to be copied still has much in common with the old bytes near by, a few bytes at a time, and
 * that is what zstd is good at. But it loads a dictionary before it looks at the first literal, and takes for it what
 * compressing as many bytes takes; so the dictionary is in proportion to the literals, and a small try tells first
 * whether it is likely to pay.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { DICTIONARY_BYTES_MIN, ZSTD_WINDOW_LOG_MAX } from '../limits.ts';
import type { OldBytes, PlacedLiterals, Range } from './literal-places.ts';

export interface PrimingGoal {
  /** Bytes the literals take without a dictionary. */
  readonly plainBytes: number;
  /** What has to be saved to be worth the time; undefined if it is known that old bytes have much in common with them. */
  readonly savingBytes: number | undefined;
  readonly dictionaryBytesMax: number;
  readonly zstdLevel: number;
}

export interface PrimedLiterals {
  readonly encoded: Uint8Array;
  /** The dictionary: bytes of one extent of the window. */
  readonly dictionary: Range;
}

/** Makes one zstd frame. Default: Node's zstd. */
export type CompressPrimed = (bytes: Uint8Array, level: number, dictionary: Uint8Array | undefined) => Uint8Array;

/** More old bytes for each literal take nearly all of the time and gain little: measured on the public pairs. */
const DICTIONARY_PER_LITERAL = 16;
const DICTIONARY_BYTES_AT_LEAST = 64 * 1024;

/** The small try: some slices of the literals, and the old bytes near each. 5 ms at level 9, 40 ms at 19. */
const TRIED_BYTES_MAX = 64 * 1024;
const TRIED_SLICES = 8;
const TRIED_DICTIONARY_PER_LITERAL = 4;

/** Whoever applies the delta reads and loads the dictionary: a MiB of that has to save a KiB. */
const DICTIONARY_PER_SAVED_BYTE = 1024;

/** One a thread is enough: it keeps nothing but whether there are dictionaries here. */
export class LiteralPrimer {
  readonly #compress: CompressPrimed;
  #isHonoured: boolean | undefined;

  constructor(compress: CompressPrimed = compressWithZstd) {
    this.#compress = compress;
  }

  /**
   * The literals in fewer bytes than `goal.plainBytes`, or undefined if the old bytes near by do not help enough, or it
   * looks as if they did not. The same input gives the same bytes.
   */
  prime(literals: PlacedLiterals, old: OldBytes, goal: PrimingGoal): PrimedLiterals | undefined {
    const { plainBytes, savingBytes, zstdLevel } = goal;
    this.#isHonoured ??= honoursDictionaries(this.#compress);
    if (!this.#isHonoured) return undefined;
    if (savingBytes !== undefined && this.#partSaved(literals, old, goal) * plainBytes < savingBytes) return undefined;
    const whole = { start: 0, bytes: literals.bytes.length };
    const bytesWanted = Math.max(DICTIONARY_BYTES_AT_LEAST, whole.bytes * DICTIONARY_PER_LITERAL);
    const nearest = literals.nearest(whole, old, Math.min(goal.dictionaryBytesMax, bytesWanted));
    const dictionary = untrained(nearest, old.window);
    if (dictionary === undefined) return undefined;
    const encoded = this.#compress(literals.bytes, zstdLevel, bytesIn(old.window, dictionary));
    const isWorth = encoded.length + dictionary.bytes / DICTIONARY_PER_SAVED_BYTE < plainBytes;
    return isWorth ? { encoded, dictionary } : undefined;
  }

  /** The part of their bytes that old bytes save some of the literals; below 0 if they cost. */
  #partSaved(literals: PlacedLiterals, old: OldBytes, goal: PrimingGoal): number {
    const sliceBytes = Math.ceil(Math.min(TRIED_BYTES_MAX, literals.bytes.length) / TRIED_SLICES);
    const bytesWanted = Math.max(DICTIONARY_BYTES_AT_LEAST / TRIED_SLICES, sliceBytes * TRIED_DICTIONARY_PER_LITERAL);
    const bytesMax = Math.min(Math.ceil(goal.dictionaryBytesMax / TRIED_SLICES), bytesWanted);
    const slices: Uint8Array[] = [];
    const dictionaries: Uint8Array[] = [];
    for (let slice = 0; slice < TRIED_SLICES; slice++) {
      const some = { start: Math.floor((literals.bytes.length * slice) / TRIED_SLICES), bytes: sliceBytes };
      slices.push(bytesIn(literals.bytes, some));
      const nearest = untrained(literals.nearest(some, old, bytesMax), old.window);
      if (nearest !== undefined) dictionaries.push(bytesIn(old.window, nearest));
    }
    const tried = Buffer.concat(slices);
    const plain = this.#compress(tried, goal.zstdLevel, undefined);
    return 1 - this.#compress(tried, goal.zstdLevel, Buffer.concat(dictionaries)).length / plain.length;
  }
}

/** By this beginning zstd knows dictionaries of its own making, RFC 8878, section 5. It fails on old bytes, which are none. */
const TRAINED_MAGIC = Uint8Array.of(0x37, 0xa4, 0x30, 0xec);

/** The range, or all but its first byte, or nothing if that is too little for zstd. */
function untrained(range: Range | undefined, window: Uint8Array): Range | undefined {
  if (range === undefined) return undefined;
  const isTrained = TRAINED_MAGIC.every((byte, index) => window[range.start + index] === byte);
  const { start, bytes } = isTrained ? { start: range.start + 1, bytes: range.bytes - 1 } : range;
  return bytes < DICTIONARY_BYTES_MIN ? undefined : { start, bytes };
}

function bytesIn(whole: Uint8Array, { start, bytes }: Range): Uint8Array {
  return whole.subarray(start, start + bytes);
}

/**
 * Tables of 8 and 32 MiB, each there twice while a frame is made: half of the second costs 7 % on node at level 19. Lower
 * levels search too little for that; theirs have 4 MiB each.
 */
const HASH_LOG_MAX = 21;
const CHAIN_LOG_MAX = 23;
const QUICK_LEVEL_MAX = 15;
const QUICK_LOG_MAX = 20;
const LOG_MIN = 10;

function compressWithZstd(bytes: Uint8Array, level: number, dictionary: Uint8Array | undefined): Uint8Array {
  const params = { [constants.ZSTD_c_compressionLevel]: level };
  if (dictionary === undefined) return zstdCompressSync(bytes, { params });
  const isQuick = level <= QUICK_LEVEL_MAX;
  // Left alone, zstd makes its tables for a file of unknown size, and loses sight of most of the dictionary.
  const log = Math.max(LOG_MIN, Math.ceil(Math.log2(bytes.length + dictionary.length)));
  return zstdCompressSync(bytes, {
    dictionary,
    params: {
      ...params,
      [constants.ZSTD_c_windowLog]: Math.min(ZSTD_WINDOW_LOG_MAX, log),
      [constants.ZSTD_c_hashLog]: Math.min(isQuick ? QUICK_LOG_MAX : HASH_LOG_MAX, log),
      [constants.ZSTD_c_chainLog]: Math.min(isQuick ? QUICK_LOG_MAX : CHAIN_LOG_MAX, log),
    },
  });
}

/** Whether dictionaries are used at all: Node before 22.19, and 24.0 to 24.5, take and silently ignore them. */
function honoursDictionaries(compress: CompressPrimed): boolean {
  // No byte comes twice, so that only the dictionary can make it shorter.
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => (index * 167 + 13) % 256);
  const encoded = compress(bytes, 1, bytes);
  if (encoded.length * 4 > bytes.length) return false;
  try {
    return zstdDecompressSync(encoded, { dictionary: bytes }).equals(bytes);
  } catch {
    return false;
  }
}
