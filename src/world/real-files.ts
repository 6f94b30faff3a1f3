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
import { constants, promises as disk } from 'node:fs';
import { dirname } from 'node:path';
import { ReplicationError } from '../errors.ts';
import { lockDirectory } from './directory-lock.ts';
import { assertPath, assertUnicode, attempt, errnoOf, isAbsence, quoted, refusal } from './disk-call.ts';
import type { Files } from './files.ts';
import { factsOf, makeExecutable, openFile, readStart, refuseLink } from './real-file-handle.ts';

const IS_WINDOWS = process.platform === 'win32';

const OWNER_ONLY_DIRECTORY = 0o700;

export function realFiles(): Files {
  return {
    open: openFile,
    readStart,
    facts: (path) => attempt('look at', path, () => factsOf(path)),
    list: (path) => attempt('list', path, () => listNames(path)),
    readLink: (path) =>
      attempt('read link', path, async () => nameFrom(await disk.readlink(path, { encoding: 'buffer' }), path)),
    makeLink: (path, target) =>
      attempt('make link', path, () => {
        assertUnicode(target);
        return disk.symlink(target, path);
      }),
    makeExecutable: (path) => attempt('make executable', path, () => makeExecutable(path)),
    realPath: (path) =>
      attempt('resolve', path, async () => nameFrom(await disk.realpath(path, { encoding: 'buffer' }), path)),
    makeSubdirectory: (path) => attempt('make directory', path, () => disk.mkdir(path, OWNER_ONLY_DIRECTORY)),
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
  await using handle = await disk.open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await disk.statfs(path, { bigint: true });
  return Math.min(Number(bavail * bsize), Number.MAX_SAFE_INTEGER);
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
