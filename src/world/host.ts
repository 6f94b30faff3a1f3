/**
 * What the command line needs of its machine beyond the `World`: environment, links, access modes and standard input. Kept in one file, as
 * every way to the outside is.
 */
import { lstat, symlink } from 'node:fs/promises';
import { ReplicationError } from '../errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process. The only place where it is read. */
export function processEnvironment(): Environment {
  return process.env;
}

/** Makes `path` a link to the directory `target`, both absolute. A junction on Windows, which needs no privilege. */
export async function linkDirectory(target: string, path: string): Promise<void> {
  try {
    await symlink(target, path, 'junction');
  } catch (cause) {
    throw new ReplicationError('disk-failed', `Cannot link ${path} to ${target}: ${String(cause)}`, { cause });
  }
}

/** Whether the system lets others than the owner read the file. Windows has no modes: never. */
export async function isReadableByOthers(path: string): Promise<boolean> {
  if (process.platform === 'win32') return false;
  return ((await lstat(path)).mode & 0o044) !== 0;
}

/** Aborts when standard input ends: when the process that started this one is gone, however it went. */
export function inputEnded(): AbortSignal {
  const ended = new AbortController();
  process.stdin.once('close', () => ended.abort(new Error('standard input ended')));
  process.stdin.on('error', () => undefined);
  process.stdin.resume();
  return ended.signal;
}
