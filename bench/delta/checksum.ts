/**
 * SHA-256 of a file and of a tree: the proof that what a tool rebuilt is the target. On purpose not the engine's walk:
 * what proves the engine right must not share its mistakes.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';

const blockBytes = 1024 * 1024;

export async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const block of createReadStream(path, { highWaterMark: blockBytes, signal })) hash.update(block as Buffer);
  return hash.digest('hex');
}

export interface TreeFacts {
  /**
   * Over path, kind, content, executable bit and link text of every entry, in order of path; directories count where
   * they are empty. Times, owners and other modes do not: a package has none of them.
   */
  readonly sha256: string;
  readonly fileCount: number;
  readonly fileBytes: number;
  readonly largest: { readonly path: string; readonly bytes: number } | undefined;
}

interface Walk {
  readonly hash: Hash;
  readonly signal: AbortSignal;
  fileCount: number;
  fileBytes: number;
  largest: { readonly path: string; readonly bytes: number } | undefined;
}

/** Reads every byte. Paths in `largest` are relative to `root`. */
export async function hashTree(root: string, signal: AbortSignal): Promise<TreeFacts> {
  const walk: Walk = { hash: createHash('sha256'), signal, fileCount: 0, fileBytes: 0, largest: undefined };
  await visit(walk, root, '');
  const { fileCount, fileBytes, largest } = walk;
  return { sha256: walk.hash.digest('hex'), fileCount, fileBytes, largest };
}

async function visit(walk: Walk, directory: string, prefix: string): Promise<void> {
  const names = (await readdir(directory)).sort();
  if (names.length === 0) walk.hash.update(`${prefix}\0directory\0`);
  for (const name of names) {
    walk.signal.throwIfAborted();
    const path = join(directory, name);
    const shown = prefix === '' ? name : `${prefix}/${name}`;
    const facts = await lstat(path);
    if (facts.isDirectory()) await visit(walk, path, shown);
    else if (facts.isSymbolicLink()) walk.hash.update(`${shown}\0link\0${await readlink(path)}\0`);
    else if (facts.isFile()) {
      const content = await hashFile(path, walk.signal);
      walk.hash.update(`${shown}\0file\0${(facts.mode & 0o100) !== 0 ? 'x' : '-'}\0${content}\0`);
      walk.fileCount += 1;
      walk.fileBytes += facts.size;
      if (walk.largest === undefined || facts.size > walk.largest.bytes) {
        walk.largest = { path: shown, bytes: facts.size };
      }
    } else throw new Error(`Cannot compare ${path}: it is no file, folder or link`);
  }
}
