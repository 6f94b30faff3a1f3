/** Remote differential compression without native code. Bytes in, bytes out. See README.md and FORMAT.md. */

export { type BasisReader, concatenatedBasis } from './basis-reader.ts';
export type { ByteSource } from './byte-source.ts';
export { type ChunkParameters, chunkParametersFor } from './chunk/chunk-parameters.ts';
export { Chunker } from './chunk/chunker.ts';
export { type ApplyDeltaOptions, type ApplyJobs, applyDelta } from './delta/apply-delta.ts';
export { type CreateDeltaOptions, createDelta, type DeltaSummary } from './delta/create-delta.ts';
export { DELTA_FORMAT_VERSION, DELTA_HEADER_BYTES, type DeltaHeader, readDeltaHeader } from './delta/delta-format.ts';
export {
  type DeltaIndex,
  readDeltaIndex,
  rebuildRange,
  type SegmentPlace,
  type TargetRange,
} from './delta/delta-index.ts';
export { type Decompress, type EncodedColumn, rebuildSegment, type SegmentParts } from './delta/rebuild-segment.ts';
export { type CreateDiffOptions, createDiff, type DiffJobs, type DiffSummary } from './diff/create-diff.ts';
export { type DiffLevel, type DiffSegment, diffSegment, type SegmentInput } from './diff/diff-segment.ts';
export { type ScanJobs, treeHashOfBasis } from './diff/learn-basis.ts';
export type { Anchors, Extent } from './diff/place-index.ts';
export { type BlockScan, type ScanOrder, scanBlock } from './diff/scan-block.ts';
export { RDC_ERROR_CODES, RdcError, type RdcErrorCode } from './errors.ts';
export { BASIS_BYTES_MAX, SALT_BYTES, SEGMENT_BYTES_MAX } from './limits.ts';
export * from './ms-rdc/ms-rdc.ts';
export { type AnswerNeedsOptions, answerNeeds, readAnswer } from './needs/answer-needs.ts';
export { decodeNeeds, encodeNeeds, NEEDS_FORMAT_VERSION, type NeedList } from './needs/need-list.ts';
export { FROM_FETCH, FROM_TARGET, type NeedPlan, type PlanNeedsOptions, planNeeds } from './needs/plan-needs.ts';
export { rebuildTarget, type TargetSources } from './needs/rebuild-target.ts';
export { combineSignatures } from './signature/combine-signatures.ts';
export {
  completeSignature,
  decodeOutline,
  encodeOutline,
  encodeRecords,
  OUTLINE_FORMAT_VERSION,
  outlineOf,
  outlinePays,
  recordNeedsOf,
  type SignatureOutline,
} from './signature/outline.ts';
export {
  joinSpans,
  type Span,
  type SpanOptions,
  type SpanSignature,
  signSpan,
  spanInputOf,
  spansOf,
  transferablesOf,
} from './signature/sign-span.ts';
export {
  type CreateSignatureOptions,
  createSignature,
  type Signature,
  type SignatureKind,
} from './signature/signature.ts';
export { decodeSignature, encodeSignature, SIGNATURE_FORMAT_VERSION } from './signature/signature-format.ts';
export { blockDigestsOf, TreeHash, treeHashOf } from './tree-hash.ts';
export type { WorkAhead } from './work-ahead.ts';
