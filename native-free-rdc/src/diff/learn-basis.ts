/** The one pass over all of the basis: its tree hash, and what lies where in it. */
import { type BasisReader, readExactly } from '../basis-reader.ts';
import { SEGMENT_BYTES_MAX, SHA256_BYTES, TREE_BLOCK_BYTES } from '../limits.ts';
import { treeHashOf } from '../tree-hash.ts';
import { BufferPool, inOrder, type WorkAhead } from '../work-ahead.ts';
import { anchorRateLogFor, PlaceIndex } from './place-index.ts';
import { type BlockScan, type ScanOrder, scanBlock } from './scan-block.ts';

/** The work that may be done in other threads. */
export interface ScanJobs extends WorkAhead {
  readonly scanBlock: (block: Uint8Array, order: ScanOrder) => Promise<BlockScan> | BlockScan;
}

interface Scanned extends BlockScan {
  readonly start: number;
}

/** Reads all of `basis` in order, if anything is wanted of it. What is not wanted is undefined. */
export async function learnBasis(
  basis: BasisReader,
  wanted: {
    readonly jobs: ScanJobs;
    readonly pool: BufferPool;
    readonly isIndexed: boolean;
    readonly isHashed: boolean;
  },
): Promise<{ readonly index: PlaceIndex | undefined; readonly treeHash: Uint8Array | undefined }> {
  const { jobs, pool, isIndexed, isHashed } = wanted;
  if (!isIndexed && !isHashed) return { index: undefined, treeHash: undefined };
  const index = isIndexed ? new PlaceIndex(basis.bytes) : undefined;
  const digests = new Uint8Array(isHashed ? Math.ceil(basis.bytes / TREE_BLOCK_BYTES) * SHA256_BYTES : 0);
  const order: ScanOrder = { rateLog: isIndexed ? anchorRateLogFor(basis.bytes) : undefined, isHashed };
  const scan = async (start: number): Promise<Scanned> => {
    const block = pool.take(SEGMENT_BYTES_MAX).subarray(0, Math.min(SEGMENT_BYTES_MAX, basis.bytes - start));
    await readExactly(basis, start, block, 'read the basis');
    const scanned = await jobs.scanBlock(block, order);
    pool.give(block);
    return { start, ...scanned };
  };
  // In order: of equal places the first one is remembered.
  for await (const { start, ...found } of inOrder(startsOf(basis.bytes), scan, jobs.aheadCount)) {
    if (found.anchors !== undefined) index?.add(found.anchors, start);
    if (found.digests !== undefined) digests.set(found.digests, (start / TREE_BLOCK_BYTES) * SHA256_BYTES);
  }
  return { index, treeHash: isHashed ? treeHashOf(digests, basis.bytes) : undefined };
}

function* startsOf(bytes: number): Generator<number, void> {
  for (let start = 0; start < bytes; start += SEGMENT_BYTES_MAX) yield start;
}

/** The tree hash of `basis`, 32 bytes. Throws `RdcError` `basis-short` if it ends before its own size. */
export async function treeHashOfBasis(
  basis: BasisReader,
  jobs: ScanJobs = { scanBlock, aheadCount: 1 },
): Promise<Uint8Array> {
  const { treeHash } = await learnBasis(basis, {
    jobs,
    pool: new BufferPool(jobs.allocate),
    isIndexed: false,
    isHashed: true,
  });
  return treeHash as Uint8Array;
}
