/**
 * Looks through a package source. Everything that cannot be published is found before a byte is read, and all of it is
 * reported at once. Links are recorded, never followed; what is neither file, directory nor link is refused, not
 * skipped: a package that silently lacks something is worse than none.
 */
import { join } from 'node:path';
import { type ErrorCode, ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import { collisionKey, linkFault, type PackagePath, pathFault, portabilityFault } from '../../model/package-path.ts';
import { comparePaths } from '../../wire/manifest.ts';
import type { FileFacts, Files } from '../../world/files.ts';

export type FoundEntry =
  | { readonly kind: 'file'; readonly path: PackagePath; readonly facts: FileFacts }
  | { readonly kind: 'directory'; readonly path: PackagePath }
  | { readonly kind: 'symlink'; readonly path: PackagePath; readonly target: string };

export interface Found {
  /** As `walkFolder` gives them. */
  readonly entries: readonly FoundEntry[];
  /** What some system could not hold, for a warning: one sentence per path, at most `namedPathCountMax`. */
  readonly portabilityWarnings: readonly string[];
}

/** All of a folder, ordered as a manifest is; directories only where they are empty. Throws as `walkSource`. */
export async function walkFolder(files: Files, folder: string, signal: AbortSignal): Promise<readonly FoundEntry[]> {
  const walker = new Walker(files, folder, signal);
  await walker.start();
  return walker.result();
}

/** Throws `source-missing`, `source-unreadable`, `source-empty`, `source-unsupported`, `path-refused`, `limit-exceeded`. */
export async function walkSource(files: Files, source: string, signal: AbortSignal): Promise<Found> {
  const entries = await walkFolder(files, source, signal);
  if (entries.length > 0) return { entries, portabilityWarnings: portabilityWarnings(entries) };
  throw new ReplicationError('source-empty', `Cannot publish ${source}: the folder is empty`, {
    hint: 'an empty source is most often a wrong path or a drive that is not mounted',
  });
}

class Walker {
  readonly #files: Files;
  readonly #source: string;
  readonly #signal: AbortSignal;
  readonly #entries: FoundEntry[] = [];
  readonly #faults: { readonly code: ErrorCode; readonly text: string }[] = [];

  constructor(files: Files, source: string, signal: AbortSignal) {
    this.#files = files;
    this.#source = source;
    this.#signal = signal;
  }

  async start(): Promise<void> {
    // The root itself may be a link: the operator named it, and says so by naming it.
    let root: string;
    try {
      root = await this.#files.realPath(this.#source);
    } catch (cause) {
      throw new ReplicationError(
        'source-missing',
        `Cannot read the package source ${this.#source}: there is no such folder`,
        {
          cause,
          hint: 'check the path on the machine of the site, and that its drive is mounted',
        },
      );
    }
    if ((await this.#files.facts(root))?.kind !== 'directory') {
      throw new ReplicationError(
        'source-missing',
        `Cannot read the package source ${this.#source}: it is not a folder`,
      );
    }
    await this.#directory(root, '');
  }

  async #directory(absolute: string, path: PackagePath): Promise<void> {
    this.#signal.throwIfAborted();
    let names: readonly string[];
    try {
      names = await this.#files.list(absolute);
    } catch (error) {
      return this.#fault(
        error instanceof ReplicationError && error.code === 'path-refused' ? 'path-refused' : 'source-unreadable',
        path,
        String(error),
      );
    }
    if (names.length === 0 && path !== '') this.#entries.push({ kind: 'directory', path });
    for (const name of names) await this.#entry(join(absolute, name), path === '' ? name : `${path}/${name}`);
    if (this.#entries.length > limits.manifestEntryCountMax) {
      throw new ReplicationError(
        'limit-exceeded',
        `Cannot publish ${this.#source}: it has more than ${limits.manifestEntryCountMax} entries`,
      );
    }
  }

  async #entry(absolute: string, path: PackagePath): Promise<void> {
    const fault = pathFault(path);
    if (fault !== undefined) return this.#fault('path-refused', path, fault);
    const facts = await this.#files.facts(absolute);
    if (facts === undefined) return this.#fault('source-changed', path, 'it vanished while the folder was read');
    switch (facts.kind) {
      case 'file':
        this.#entries.push({ kind: 'file', path, facts });
        return;
      case 'directory':
        return await this.#directory(absolute, path);
      case 'symlink': {
        const target = await this.#files.readLink(absolute);
        const targetFault = linkFault(path, target);
        if (targetFault !== undefined) return this.#fault('path-refused', path, targetFault);
        this.#entries.push({ kind: 'symlink', path, target });
        return;
      }
      case 'other':
        return this.#fault('source-unsupported', path, 'it is a device, socket or pipe');
    }
  }

  #fault(code: ErrorCode, path: PackagePath, text: string): void {
    this.#faults.push({ code, text: `${JSON.stringify(path === '' ? '.' : path)}: ${text}` });
  }

  result(): readonly FoundEntry[] {
    const [first] = this.#faults;
    if (first !== undefined) {
      // What a person must mend outweighs what may pass by itself.
      const code = this.#faults.find((fault) => fault.code !== 'source-changed')?.code ?? first.code;
      throw new ReplicationError(
        code,
        `Cannot publish ${this.#source}: ${listed(this.#faults.map((fault) => fault.text))}`,
      );
    }
    return this.#entries.sort((left, right) => comparePaths(left.path, right.path));
  }
}

function listed(texts: readonly string[]): string {
  const named = texts.slice(0, limits.namedPathCountMax).join('; ');
  const more = texts.length - limits.namedPathCountMax;
  return more > 0 ? `${named}; and ${more} more` : named;
}

function portabilityWarnings(entries: readonly FoundEntry[]): string[] {
  const warnings: string[] = [];
  const byKey = new Map<string, PackagePath>();
  for (const { path } of entries) {
    const fault = portabilityFault(path);
    if (fault !== undefined) warnings.push(`${JSON.stringify(path)}: ${fault}`);
    const twin = byKey.get(collisionKey(path));
    if (twin !== undefined)
      warnings.push(
        `${JSON.stringify(path)} and ${JSON.stringify(twin)} are one file where case or normalisation is ignored`,
      );
    byKey.set(collisionKey(path), path);
  }
  return warnings.slice(0, limits.namedPathCountMax);
}
