/** One call of the disk: what it is asked, and what its failure means. */
import { isAbsolute } from 'node:path';
import { type ErrorCode, ReplicationError } from '../errors.ts';

/** What each system error means to us, and what a person would have to bring about. */
const MEANINGS: Readonly<Record<string, { readonly code: ErrorCode; readonly want: string }>> = {
  ENOSPC: { code: 'disk-full', want: 'free space on its volume' },
  EDQUOT: { code: 'disk-full', want: 'room within the quota' },
  EFBIG: { code: 'disk-full', want: 'a size the volume can hold' },
  ENOENT: { code: 'file-missing', want: 'it and its parents to exist' },
  ENOTDIR: { code: 'file-missing', want: 'directories all the way' },
  EACCES: { code: 'access-denied', want: 'permission for this user' },
  EPERM: { code: 'access-denied', want: 'permission for this user' },
  EROFS: { code: 'access-denied', want: 'a writable volume' },
  EEXIST: { code: 'name-taken', want: 'a free name' },
  ELOOP: { code: 'path-refused', want: 'no symbolic link' },
  EMLINK: { code: 'path-refused', want: 'no symbolic link' },
  EISDIR: { code: 'path-refused', want: 'a regular file' },
  ENXIO: { code: 'path-refused', want: 'a regular file' },
  ENAMETOOLONG: { code: 'path-refused', want: 'a name the volume can hold' },
};

const FALLBACK: { readonly code: ErrorCode; readonly want: string } = { code: 'disk-failed', want: 'a sound disk' };

/** Runs one call of the disk and names its failure. */
export async function attempt<Result>(action: string, path: string, call: () => Promise<Result>): Promise<Result> {
  assertPath(path);
  try {
    return await call();
  } catch (error) {
    const errno = errnoOf(error);
    if (error instanceof ReplicationError || errno === undefined || errno.startsWith('ERR_')) throw error;
    const { code, want } = MEANINGS[errno] ?? FALLBACK;
    const message = `Cannot ${action} ${quoted(path)}: the system answered ${errno}, expected ${want}`;
    throw new ReplicationError(code, message, { cause: error });
  }
}

export function refusal(path: string, state: string, want: string): ReplicationError {
  return new ReplicationError('path-refused', `Cannot use ${quoted(path)}: it ${state}, expected ${want}`);
}

export function assertPath(path: string): void {
  if (!isAbsolute(path)) throw new TypeError(`a path must be absolute: ${quoted(path)}`);
  assertUnicode(path);
}

/** Node would write U+FFFD for a lone surrogate and so merge different names. */
export function assertUnicode(path: string): void {
  if (!path.isWellFormed()) throw new TypeError(`a path must be valid Unicode: ${quoted(path)}`);
}

export function assertOffset(offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) throw new RangeError(`an offset must be a safe integer: ${offset}`);
}

export function isAbsence(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR';
}

export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** As JSON, so that control characters in a name cannot forge a line of a log. */
export function quoted(path: string): string {
  return JSON.stringify(path);
}
