/**
 * The disk through `node:fs`.
 *
 * Guarantees beyond those of `Files`: opening never blocks on a fifo; every system error becomes one of our codes, with
 * the path escaped in the message.
 *
 * Residuals. Node has no `openat`: a component before the last may be swapped for a link between two calls, so callers
 * resolve their roots once (`realPath`) and keep them owner-only. Where `O_NOFOLLOW` is missing (Windows), and for
 * `list` and `makeDirectory` everywhere, the last component is looked at just before the call. Windows has no
 * `syncDirectory`: there a rename is as durable as NTFS's own journal makes it.
 */
import type { BigIntStats } from 'node:fs';
import { constants, promises as disk } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { type ErrorCode, ReplicationError } from '../errors.ts';
import { lockDirectory } from './directory-lock.ts';
import type { FileFacts, FileHandle, FileKind, Files, OpenMode } from './files.ts';

const IS_WINDOWS = process.platform === 'win32';

/** Absent on Windows, hence the zero; see the residuals above. */
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

/** A fifo without a peer would block an opening reader for ever; regular files ignore the flag. */
const NON_BLOCKING = constants.O_NONBLOCK ?? 0;

const FLAGS: Readonly<Record<OpenMode, number>> = {
  read: constants.O_RDONLY,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  update: constants.O_RDWR,
  resume: constants.O_RDWR | constants.O_CREAT,
};

const OWNER_ONLY_FILE = 0o600;
const OWNER_ONLY_PROGRAM = 0o700;
const OWNER_ONLY_DIRECTORY = 0o700;

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

export function realFiles(): Files {
  return {
    open: openFile,
    facts: (path) => attempt('look at', path, () => factsOf(path)),
    list: (path) => attempt('list', path, () => listNames(path)),
    readLink: (path) =>
      attempt('read link', path, async () => nameFrom(await disk.readlink(path, { encoding: 'buffer' }), path)),
    makeLink: (path, target) => attempt('make link', path, () => disk.symlink(target, path)),
    makeExecutable: (path) => attempt('make executable', path, () => disk.chmod(path, OWNER_ONLY_PROGRAM)),
    realPath: (path) =>
      attempt('resolve', path, async () => nameFrom(await disk.realpath(path, { encoding: 'buffer' }), path)),
    makeDirectory: (path) => attempt('make directory', path, () => makeDirectory(path, disk.lstat)),
    rename: (from, to) =>
      attempt(`rename ${quoted(from)} to`, to, () => {
        assertPath(from);
        return disk.rename(from, to);
      }),
    remove: (path) => attempt('remove', path, () => removeName(path)),
    removeTree: (path) => attempt('remove tree', path, () => removeTree(path)),
    syncDirectory: (path) => attempt('sync directory', path, () => syncDirectory(path)),
    freeBytes: (path) => attempt('measure free space of', path, () => freeBytes(path)),
    lock: (directory) => attempt('lock', directory, () => lockDirectory(directory)),
  };
}

class RealFileHandle implements FileHandle {
  readonly #path: string;
  readonly #handle: disk.FileHandle;
  /** After a failed fsync Linux may report the next one as good although pages were dropped (fsyncgate, 2018). */
  #isLost = false;
  #closing: Promise<void> | undefined;

  constructor(path: string, handle: disk.FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  facts(): Promise<FileFacts> {
    return attempt('look at', this.#path, async () => factsFrom(await this.#handle.stat({ bigint: true })));
  }

  read(offset: number, into: Uint8Array): Promise<number> {
    assertOffset(offset);
    return attempt('read', this.#path, async () => {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await this.#handle.read(into, done, into.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    assertOffset(offset);
    return attempt('write', this.#path, async () => {
      let done = 0;
      while (done < bytes.length) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      }
    });
  }

  truncate(bytes: number): Promise<void> {
    assertOffset(bytes);
    return attempt('truncate', this.#path, () => this.#handle.truncate(bytes));
  }

  async sync(): Promise<void> {
    if (this.#isLost) {
      throw new ReplicationError(
        'disk-failed',
        `Cannot sync ${quoted(this.#path)}: an earlier sync failed, expected none to`,
      );
    }
    try {
      await attempt('sync', this.#path, () => this.#handle.sync());
    } catch (error) {
      this.#isLost = true;
      throw error;
    }
  }

  close(): Promise<void> {
    this.#closing ??= attempt('close', this.#path, () => this.#handle.close());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function openFile(path: string, mode: OpenMode): Promise<FileHandle> {
  return attempt(`open to ${mode}`, path, async () => {
    if (NO_FOLLOW === 0) await refuseLink(path);
    const handle = await disk.open(path, FLAGS[mode] | NO_FOLLOW | NON_BLOCKING, OWNER_ONLY_FILE);
    try {
      const stats = await handle.stat({ bigint: true });
      if (!stats.isFile()) throw refusal(path, `is a ${kindOf(stats)}`, 'a regular file');
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new RealFileHandle(path, handle);
  });
}

async function factsOf(path: string): Promise<FileFacts | undefined> {
  try {
    return factsFrom(await disk.lstat(path, { bigint: true }));
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

function factsFrom(stats: BigIntStats): FileFacts {
  const kind = kindOf(stats);
  const bytes = kind === 'file' ? Number(stats.size) : 0;
  if (!Number.isSafeInteger(bytes)) throw new RangeError(`a file of ${stats.size} bytes is beyond exact numbers`);
  return {
    kind,
    bytes,
    modifiedMs: Number(stats.mtimeNs) / 1e6,
    changedMs: Number(stats.ctimeNs) / 1e6,
    isExecutable: kind === 'file' && (stats.mode & 0o100n) !== 0n,
    identity: `${stats.dev}:${stats.ino}`,
  };
}

function kindOf(stats: BigIntStats): FileKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

async function listNames(path: string): Promise<readonly string[]> {
  await refuseLink(path);
  const names = await disk.readdir(path, { encoding: 'buffer' });
  return names.map((name) => nameFrom(name, path)).toSorted();
}

/** Makes what is missing from the top down, each name durable before the next, so that a name implies its parents. */
async function makeDirectory(path: string, look: typeof disk.stat): Promise<void> {
  const parent = dirname(path);
  if (await isDirectoryAt(path, look)) {
    // An earlier process may have died between making and syncing it. A parent we may not read is not ours to sync.
    if (parent !== path) await syncDirectory(parent).catch(unlessDenied);
    return;
  }
  await makeDirectory(parent, disk.stat);
  try {
    await disk.mkdir(path, OWNER_ONLY_DIRECTORY);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || !(await isDirectoryAt(path, look))) throw error;
  }
  await syncDirectory(parent);
}

async function isDirectoryAt(path: string, look: typeof disk.stat): Promise<boolean> {
  try {
    const stats = await look(path);
    if (stats.isDirectory()) return true;
    if (stats.isSymbolicLink()) throw refusal(path, 'is a symbolic link', 'a directory');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  throw Object.assign(new Error('something else has this name'), {
    code: look === disk.lstat ? 'EEXIST' : 'ENOTDIR',
  });
}

function unlessDenied(error: unknown): void {
  const errno = errnoOf(error);
  if (errno !== 'EACCES' && errno !== 'EPERM') throw error;
}

async function removeName(path: string): Promise<void> {
  try {
    await disk.unlink(path);
  } catch (error) {
    if (isAbsence(error)) return;
    // POSIX answers EPERM where Linux answers EISDIR.
    if (errnoOf(error) === 'EPERM' && (await factsOf(path))?.kind === 'directory') {
      throw refusal(path, 'is a directory', 'a file or link');
    }
    throw error;
  }
}

/** `rm` looks with lstat at every step, so a link is removed and never entered. */
async function removeTree(path: string): Promise<void> {
  try {
    await disk.rm(path, { recursive: true, force: true, maxRetries: IS_WINDOWS ? 5 : 0 });
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  if (IS_WINDOWS) return;
  const handle = await disk.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await disk.statfs(path, { bigint: true });
  return Math.min(Number(bavail * bsize), Number.MAX_SAFE_INTEGER);
}

async function refuseLink(path: string): Promise<void> {
  if ((await factsOf(path))?.kind === 'symlink') throw refusal(path, 'is a symbolic link', 'the thing itself');
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function nameFrom(bytes: Buffer, path: string): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    const escaped = bytes.toString('latin1').replace(/[^ -~]/g, (character) => `\\x${hexOf(character)}`);
    const message = `Cannot use ${quoted(path)}: the name "${escaped}" is not valid UTF-8, expected valid Unicode`;
    throw new ReplicationError('path-refused', message, { cause, hint: 'rename it, or leave it out' });
  }
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(2, '0');
}

/** Runs one call of the disk and names its failure. */
async function attempt<Result>(action: string, path: string, call: () => Promise<Result>): Promise<Result> {
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

function refusal(path: string, state: string, want: string): ReplicationError {
  return new ReplicationError('path-refused', `Cannot use ${quoted(path)}: it ${state}, expected ${want}`);
}

function assertPath(path: string): void {
  if (!isAbsolute(path)) throw new TypeError(`a path must be absolute: ${quoted(path)}`);
  // Node would write U+FFFD for a lone surrogate and so merge different names.
  if (!path.isWellFormed()) throw new TypeError(`a path must be valid Unicode: ${quoted(path)}`);
}

function assertOffset(offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) throw new RangeError(`an offset must be a safe integer: ${offset}`);
}

function isAbsence(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR';
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** As JSON, so that control characters in a name cannot forge a line of a log. */
function quoted(path: string): string {
  return JSON.stringify(path);
}
