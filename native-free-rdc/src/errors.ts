/**
 * How remote differential compression fails, as a closed list.
 *
 * Only bytes from outside (a signature, a delta, a basis that is not the one meant) end in an `RdcError`. A mistake of
 * the calling code is a `RangeError` or `TypeError`; what a caller's own source, basis or codec throws passes through
 * unchanged, except that a failing `decompress` is told as `delta-invalid` with the thrown value as its cause.
 */

/** Every code. Callers branch on it, never on the message. Its meaning never changes once published. */
export const RDC_ERROR_CODES = [
  /** The encoded signature is damaged, cut short, or not one. */
  'signature-invalid',
  /** The delta is damaged, of another version, or not one. */
  'delta-invalid',
  /** The delta ended before its trailer, and was well formed up to there: fetch the rest. */
  'delta-truncated',
  /** The basis is not the one that was signed, as its size shows before any work. */
  'basis-mismatch',
  /** The basis gave fewer bytes than it had declared. */
  'basis-short',
  /** What was rebuilt is not the target: a wrong basis, a damaged delta or a hash collision. Nothing of it may be kept. */
  'target-mismatch',
  /** The need list is damaged, of another version, or not one. */
  'needs-invalid',
  /** What was fetched is damaged, or not as much as was needed. */
  'answer-invalid',
  /** A size or count is above what `limits.ts` or the caller allows. */
  'limit-exceeded',
] as const;

export type RdcErrorCode = (typeof RDC_ERROR_CODES)[number];

/** A failure of the bytes. Message: action, then state, then what was wanted. */
export class RdcError extends Error {
  readonly code: RdcErrorCode;

  constructor(code: RdcErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = 'RdcError';
    this.code = code;
  }
}
