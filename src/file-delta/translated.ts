/** The one place where errors of the library become ours. */
import { RdcError, type RdcErrorCode } from 'native-free-rdc';
import { type ErrorCode, ReplicationError } from '../errors.ts';

const codes: Readonly<Record<RdcErrorCode, ErrorCode>> = {
  'signature-invalid': 'format-invalid',
  'delta-invalid': 'delta-invalid',
  'delta-truncated': 'delta-invalid',
  'basis-mismatch': 'basis-mismatch',
  'basis-short': 'source-changed',
  'target-mismatch': 'verification-failed',
  'needs-invalid': 'format-invalid',
  'answer-invalid': 'delta-invalid',
  'limit-exceeded': 'limit-exceeded',
};

/** The library's errors become ours, once. */
export async function translated<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RdcError)) throw error;
    const wrongBasis = error.code === 'basis-mismatch' || error.code === 'target-mismatch';
    const hint = wrongBasis ? { hint: 'the very file whose signature was taken, as BASIS' } : {};
    throw new ReplicationError(codes[error.code], error.message, { cause: error, ...hint });
  }
}
