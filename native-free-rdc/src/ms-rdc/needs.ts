/**
 * What it takes to rebuild a source file: ranges of seeds that are at hand, and ranges of the source to be fetched.
 * [MS-RDC] 3.1.5.5, and the needs of 4.1.
 *
 * The specification's words: the *source* is the file wanted, a *seed* any file that may share content with it. At a
 * level above 1 the files are signature files, and the needs rebuild the source's signature file of the level below.
 * Equal MD4s count as equal chunks, so what is rebuilt is the source only if a strong hash of the whole says so.
 */
import { RdcError } from '../errors.ts';
import { MS_RDC_CHUNK_COUNT_MAX, MS_RDC_SEED_COUNT_MAX } from '../limits.ts';
import { SeedIndex } from './seed-index.ts';
import type { MsRdcSignature } from './signature-file.ts';

/** Bytes `[offset, offset + length)` of the source, or of the seed of that index. At least one byte. */
export type MsRdcNeed =
  | { readonly from: 'source'; readonly offset: number; readonly length: number }
  | { readonly from: 'seed'; readonly seed: number; readonly offset: number; readonly length: number };

/**
 * The needs that, one after another, make up the source; neighbours that continue each other are one need, however
 * long. They can be iterated once, and are found as they are asked for.
 *
 * A chunk that continues the need before is preferred, then one of an earlier seed. A chunk that no seed has is needed
 * from the source each time it occurs.
 *
 * ```ts
 * const needs = msRdcNeeds(readMsRdcSignature(sourceSignature), [readMsRdcSignature(seedSignature)]);
 * for (const need of needs) console.log(need.from, need.offset, need.length);
 * ```
 *
 * Throws `RangeError` for more than 254 seeds, `RdcError` `limit-exceeded` if they have more chunks together than one
 * signature may have.
 */
export function msRdcNeeds(source: MsRdcSignature, seeds: readonly MsRdcSignature[]): Generator<MsRdcNeed> {
  if (seeds.length > MS_RDC_SEED_COUNT_MAX) {
    throw new RangeError(`Cannot list needs: ${seeds.length} seeds, expected at most ${MS_RDC_SEED_COUNT_MAX}`);
  }
  const chunkCount = seeds.reduce((count, seed) => count + seed.chunkCount, 0);
  if (chunkCount > MS_RDC_CHUNK_COUNT_MAX) {
    throw new RdcError(
      'limit-exceeded',
      `Cannot list needs: the seeds have ${chunkCount} chunks, expected at most ${MS_RDC_CHUNK_COUNT_MAX}`,
    );
  }
  return needsOf(
    source,
    seeds.map((seed) => new SeedIndex(seed)),
  );
}

/** Where a chunk of the source is to be had: as a chunk of a seed, or (seed -1) only from the source itself. */
interface Place {
  readonly seed: number;
  readonly chunk: number;
}

const SOURCE = -1;

function* needsOf(source: MsRdcSignature, indexes: readonly SeedIndex[]): Generator<MsRdcNeed> {
  let latest: Place = { seed: SOURCE, chunk: 0 };
  let offset = 0;
  let length = 0;
  let sourceOffset = 0;
  for (let chunk = 0; chunk < source.chunkCount; chunk++) {
    const place = placeOf(source, chunk, indexes, latest);
    const chunkOffset = indexes[place.seed]?.startOf(place.chunk) ?? sourceOffset;
    if (place.seed !== latest.seed || chunkOffset !== offset + length) {
      if (length > 0) yield need(latest.seed, offset, length);
      offset = chunkOffset;
      length = 0;
    }
    const chunkBytes = source.lengths[chunk] as number;
    length += chunkBytes;
    sourceOffset += chunkBytes;
    latest = place;
  }
  if (length > 0) yield need(latest.seed, offset, length);
}

function placeOf(source: MsRdcSignature, chunk: number, indexes: readonly SeedIndex[], latest: Place): Place {
  if (indexes[latest.seed]?.isEqual(latest.chunk + 1, source, chunk)) {
    return { seed: latest.seed, chunk: latest.chunk + 1 };
  }
  for (const [seed, index] of indexes.entries()) {
    const found = index.find(source, chunk);
    if (found !== -1) return { seed, chunk: found };
  }
  return { seed: SOURCE, chunk };
}

function need(seed: number, offset: number, length: number): MsRdcNeed {
  return seed === SOURCE ? { from: 'source', offset, length } : { from: 'seed', seed, offset, length };
}
