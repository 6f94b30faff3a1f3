/**
 * Paths inside packages: what may be published and what may be applied. The same rules run at both ends, because a
 * manifest from a peer is as hostile as any other bytes.
 *
 * Two kinds of rules. *Structure* keeps a path inside its root on every system and is never bent. *Portability* names
 * what some system we know cannot hold (a case pair, a Windows device name): such packages exist in plenty (the Linux
 * kernel ships `xt_DSCP.ko` beside `xt_dscp.ko`), work where the store is, and are reported rather than refused.
 */
import { limits } from './limits.ts';

/** Relative, `/` between parts, no empty, `.` or `..` part. */
export type PackagePath = string;

const textEncoder = new TextEncoder();

function utf8Bytes(text: string): number {
  return textEncoder.encode(text).byteLength;
}

/** Why `path` may not be in a package, or `undefined` when it may. Never throws. */
export function pathFault(path: string): string | undefined {
  if (path === '') return 'it is empty';
  if (!path.isWellFormed()) return 'it is not valid Unicode';
  if (utf8Bytes(path) > limits.pathBytesMax) return `it is longer than ${limits.pathBytesMax} bytes`;
  if (path.includes('\0')) return 'it contains a NUL';
  if (path.startsWith('/')) return 'it is absolute';
  for (const part of path.split('/')) {
    if (part === '') return 'it has an empty part';
    if (part === '.' || part === '..') return `it has a part "${part}"`;
    if (utf8Bytes(part) > limits.pathPartBytesMax) return `a part is longer than ${limits.pathPartBytesMax} bytes`;
  }
  // A back-slash or a drive letter is an ordinary character here and a way out of the root on Windows.
  if (/\\|^[A-Za-z]:/.test(path)) return 'it has a back-slash or a drive letter, a way out of the root on Windows';
  return undefined;
}

/** Why a symbolic link at `path` may not point to `target`, or `undefined`: it must stay inside the package. */
export function linkFault(path: PackagePath, target: string): string | undefined {
  if (target === '') return 'its target is empty';
  if (!target.isWellFormed() || target.includes('\0')) return 'its target is not valid Unicode';
  if (utf8Bytes(target) > limits.pathBytesMax) return 'its target is too long';
  if (target.startsWith('/') || /\\|^[A-Za-z]:/.test(target)) return `it points out of the package, to ${target}`;
  const parts = target.split('/').filter((part) => part !== '.' && part !== '');
  const climbCount = parts.findIndex((part) => part !== '..');
  const climbs = climbCount === -1 ? parts.length : climbCount;
  if (climbs > path.split('/').length - 1) return `it points out of the package, to ${target}`;
  // Behind a name that may itself be a link, ".." leads who knows where.
  if (parts.slice(climbs).includes('..')) return `it points up again behind a name, to ${target}`;
  return undefined;
}

const windowsDevice = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?$/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const windowsForbidden = /[<>:"|?*\u0000-\u001f]|[. ]$/;

/** Why some system we know cannot hold this name as it is, or `undefined`. */
export function portabilityFault(path: PackagePath): string | undefined {
  for (const part of path.split('/')) {
    if (windowsDevice.test(part)) return `"${part}" is a device name on Windows`;
    if (windowsForbidden.test(part)) return `"${part}" cannot be a name on Windows`;
  }
  return undefined;
}

/** Paths with equal keys are one file on a system that ignores case or normalisation. */
export function collisionKey(path: PackagePath): string {
  return path.normalize('NFKC').toLowerCase().normalize('NFKC').replaceAll('ß', 'ss').replaceAll('ı', 'i');
}
