/** Remote differential compression without native code. Bytes in, bytes out. See README.md and FORMAT.md. */

export type { ByteSource } from './byte-source.ts';
export { Chunker, type ChunkParameters, chunkParametersFor } from './chunk/chunker.ts';
export { type ApplyDeltaOptions, applyDelta, type BasisReader } from './delta/apply-delta.ts';
export { type CreateDeltaOptions, createDelta, type DeltaSummary } from './delta/create-delta.ts';
export { DELTA_FORMAT_VERSION, DELTA_HEADER_BYTES, type DeltaHeader, readDeltaHeader } from './delta/delta-format.ts';
export { RDC_ERROR_CODES, RdcError, type RdcErrorCode } from './errors.ts';
export { BASIS_BYTES_MAX, SALT_BYTES, SEGMENT_BYTES_MAX } from './limits.ts';
export { type CreateSignatureOptions, createSignature, type Signature } from './signature/signature.ts';
export { decodeSignature, encodeSignature, SIGNATURE_FORMAT_VERSION } from './signature/signature-format.ts';
