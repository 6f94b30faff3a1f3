/**
 * The mode faithful to the open specification [MS-RDC]: its chunks, signature files, recursion, similarity and needs.
 *
 * For talking to what already speaks it, and as a measure for our own formats, which are smaller and faster. It says
 * nothing of transport, and trusts MD4 no further than the specification does: who rebuilds a file compares a strong
 * hash of the whole ([MS-RDC] 5.1).
 */
export { MS_RDC_CHUNK_BYTES_MAX, MsRdcChunker } from './filter-max.ts';
export {
  MS_RDC_HORIZON_BYTES_MAX,
  MS_RDC_HORIZON_BYTES_MIN,
  MS_RDC_LEVEL_COUNT_MAX,
  MS_RDC_WINDOW_BYTES_MAX,
  MS_RDC_WINDOW_BYTES_MIN,
  type MsRdcParameters,
  msRdcLevelCountFor,
  msRdcLevels,
} from './levels.ts';
export { type MsRdcNeed, msRdcNeeds } from './needs.ts';
export {
  MS_RDC_HEADER_BYTES,
  MS_RDC_RECORD_BYTES,
  type MsRdcSignature,
  type ReadMsRdcSignatureOptions,
  readMsRdcSignature,
} from './signature-file.ts';
export { createMsRdcSignatures, MsRdcSigner } from './signer.ts';
export { MS_RDC_TRAIT_COUNT, msRdcTraitMatchCount, msRdcTraits } from './similarity.ts';
