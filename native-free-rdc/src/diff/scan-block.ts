/** What is learned of a block of the basis in passing: a pure function, for any thread. */
import { blockDigestsOf } from '../tree-hash.ts';
import { anchorsOf } from './diff-segment.ts';
import type { Anchors } from './place-index.ts';

export interface ScanOrder {
  /** Sampling of the anchors, one in 2^rateLog places; undefined: none are wanted. */
  readonly rateLog: number | undefined;
  /** Whether the digests of its tree hash are wanted. */
  readonly isHashed: boolean;
}

export interface BlockScan {
  readonly anchors: Anchors | undefined;
  readonly digests: Uint8Array | undefined;
}

/** `block` begins where a block of the tree hash does. */
export function scanBlock(block: Uint8Array, { rateLog, isHashed }: ScanOrder): BlockScan {
  return {
    anchors: rateLog === undefined ? undefined : anchorsOf(block, rateLog),
    digests: isHashed ? blockDigestsOf(block) : undefined,
  };
}
