/**
 * Pairs of versions: found on disk, then brought into the forms the tools want. Tools that know only single files get
 * deterministic tars of the folders; tools that know only folders get a folder around a single file.
 */
import { execFile } from 'node:child_process';
import { constants, copyFile, mkdir, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { hashFile, hashTree, type TreeFacts } from './checksum.ts';

/** What was named cannot be compared. */
export class PairError extends Error {
  override readonly name = 'PairError';
}

export interface Pair {
  readonly name: string;
  readonly kind: 'folders' | 'files';
  readonly basis: string;
  readonly target: string;
}

/** A file of both versions with the SHA-256 of the wanted one. */
export interface FilePair {
  readonly basis: string;
  readonly target: string;
  readonly basisBytes: number;
  readonly targetBytes: number;
  readonly targetSha256: string;
}

export interface PreparedPair extends Pair {
  readonly targetBytes: number;
  readonly files: number;
  readonly basisTree: string;
  readonly targetTree: string;
  readonly targetTreeSha256: string;
  /** The tars of two folders, or the two files. */
  readonly whole: FilePair;
  /** Of two folders: the largest file of the target, where it is large and the basis has it under the same path. */
  readonly largest?: FilePair & { readonly path: string };
}

/** Files below this are not compared on their own. */
const largestBytesMin = 50_000_000;

const kindOf = async (path: string): Promise<'folder' | 'file' | undefined> => {
  const facts = await stat(path).catch(() => undefined);
  return facts?.isDirectory() === true ? 'folder' : facts?.isFile() === true ? 'file' : undefined;
};

/** One pair, or the pairs in a folder of pairs by name; `directory` is absolute. Throws `PairError` when there is none. */
export async function findPairs(directory: string): Promise<Pair[]> {
  const isPair = async (path: string): Promise<boolean> =>
    (await kindOf(join(path, 'basis'))) === 'folder' && (await kindOf(join(path, 'target'))) === 'folder';
  if ((await kindOf(directory)) !== 'folder') throw new PairError(`Cannot compare ${directory}: it is no folder`);
  const candidates = [directory, ...(await readdir(directory)).sort().map((name) => join(directory, name))];
  const found: Pair[] = [];
  for (const path of candidates) {
    if (!(await isPair(path))) continue;
    found.push({ name: basename(path), kind: 'folders', basis: join(path, 'basis'), target: join(path, 'target') });
    if (path === directory) break;
  }
  if (found.length === 0)
    throw new PairError(`Cannot compare ${directory}: neither it nor a folder in it has basis/ and target/`);
  return found;
}

/** Any two folders or any two files. */
export async function pairOf(basis: string, target: string): Promise<Pair> {
  const kinds = [await kindOf(basis), await kindOf(target)];
  if (kinds[0] === undefined || kinds[0] !== kinds[1]) {
    throw new PairError(`Cannot compare ${basis} with ${target}: two folders or two files are needed`);
  }
  return { name: basename(target), kind: kinds[0] === 'folder' ? 'folders' : 'files', basis, target };
}

/** Reads both versions whole and writes up to their size into `scratch`, which exists. */
export async function preparePair(pair: Pair, scratch: string, signal: AbortSignal): Promise<PreparedPair> {
  return pair.kind === 'folders'
    ? await prepareFolders(pair, scratch, signal)
    : await prepareFiles(pair, scratch, signal);
}

async function prepareFolders(pair: Pair, scratch: string, signal: AbortSignal): Promise<PreparedPair> {
  const facts = await hashTree(pair.target, signal);
  const tars = { basis: join(scratch, 'basis.tar'), target: join(scratch, 'target.tar') };
  await packTar(pair.basis, tars.basis, signal);
  await packTar(pair.target, tars.target, signal);
  const largest = await findLargest(pair, facts, signal);
  return {
    ...pair,
    targetBytes: facts.fileBytes,
    files: facts.fileCount,
    basisTree: pair.basis,
    targetTree: pair.target,
    targetTreeSha256: facts.sha256,
    whole: await filePair(tars.basis, tars.target, signal),
    ...(largest === undefined ? {} : { largest }),
  };
}

async function prepareFiles(pair: Pair, scratch: string, signal: AbortSignal): Promise<PreparedPair> {
  const trees = { basis: join(scratch, 'basis'), target: join(scratch, 'target') };
  for (const which of ['basis', 'target'] as const) {
    await mkdir(trees[which]);
    await copyFile(pair[which], join(trees[which], basename(pair.target)), constants.COPYFILE_FICLONE);
  }
  const whole = await filePair(pair.basis, pair.target, signal);
  const { sha256 } = await hashTree(trees.target, signal);
  return {
    ...pair,
    targetBytes: whole.targetBytes,
    files: 1,
    basisTree: trees.basis,
    targetTree: trees.target,
    targetTreeSha256: sha256,
    whole,
  };
}

async function findLargest(
  pair: Pair,
  { largest }: TreeFacts,
  signal: AbortSignal,
): Promise<PreparedPair['largest'] | undefined> {
  if (largest === undefined || largest.bytes < largestBytesMin) return undefined;
  const basis = join(pair.basis, largest.path);
  if ((await kindOf(basis)) !== 'file') return undefined;
  return { path: largest.path, ...(await filePair(basis, join(pair.target, largest.path), signal)) };
}

/** Reads the target whole. */
async function filePair(basis: string, target: string, signal: AbortSignal): Promise<FilePair> {
  const [basisBytes, targetBytes] = [(await stat(basis)).size, (await stat(target)).size];
  return { basis, target, basisBytes, targetBytes, targetSha256: await hashFile(target, signal) };
}

const run = promisify(execFile);

/** The same bytes for the same names, contents and modes, whoever packs them and when. Needs GNU tar. */
async function packTar(folder: string, tar: string, signal: AbortSignal): Promise<void> {
  const order = ['--sort=name', '--format=gnu', '--mtime=2026-01-01T00:00Z'];
  const owner = ['--owner=0', '--group=0', '--numeric-owner'];
  try {
    await run('tar', [...order, ...owner, '-cf', tar, '-C', folder, '.'], { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new Error(`Cannot pack ${folder}: GNU tar is needed to compare folders with tools that know only files`, {
      cause,
    });
  }
}
