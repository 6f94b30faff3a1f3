/** The programs of other people that the comparison can use, and the packages that bring them. */
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

interface Program {
  /** Debian's package. */
  readonly package: string;
  /** How it tells its version; bsdiff does not. */
  readonly versionArgs?: readonly string[];
}

const programs: Readonly<Record<string, Program>> = {
  tar: { package: 'tar', versionArgs: ['--version'] },
  rsync: { package: 'rsync', versionArgs: ['--version'] },
  rdiff: { package: 'rdiff', versionArgs: ['--version'] },
  xdelta3: { package: 'xdelta3', versionArgs: ['-V'] },
  zstd: { package: 'zstd', versionArgs: ['--version'] },
  casync: { package: 'casync', versionArgs: ['--version'] },
  bsdiff: { package: 'bsdiff' },
  bspatch: { package: 'bsdiff' },
};

const run = promisify(execFile);

/** Those that are on PATH, with what they say of their version. */
export async function findPrograms(signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const [name, { versionArgs }] of Object.entries(programs)) {
    if (!(await isOnPath(name))) continue;
    found.set(name, versionArgs === undefined ? 'unknown version' : await versionOf(name, versionArgs, signal));
  }
  return found;
}

async function isOnPath(name: string): Promise<boolean> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const isThere = await access(join(folder, name), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (folder !== '' && isThere) return true;
  }
  return false;
}

async function versionOf(name: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  try {
    const { stdout, stderr } = await run(name, args, { signal });
    const text = `${stdout}${stderr}`;
    // With dots where there are any: "Zstandard CLI (64-bit) v1.5.4", but also "casync 2".
    return (/\d+(\.\d+)+/.exec(text) ?? /\d+/.exec(text))?.[0] ?? 'unknown version';
  } catch {
    signal.throwIfAborted();
    return 'unknown version';
  }
}

/** What to say when one of `needs` is not there. */
export function missingPrograms(found: ReadonlyMap<string, string>, needs: readonly string[]): string | undefined {
  const missing = needs.filter((name) => !found.has(name));
  if (missing.length === 0) return undefined;
  const packages = new Set(missing.map((name) => programs[name]?.package ?? name));
  return `${missing.join(', ')} not installed: apt install ${[...packages].join(' ')}`;
}
