/**
 * Composition root of `signature`, `delta` and `patch`: single files, no node, no daemon.
 *
 * Guarantees: what is written appears whole, synced and under its name, or not at all; a patched file is published only
 * after its SHA-256 was the one the delta names; nothing existing is replaced unless asked. Results are readable by
 * their owner alone, as everything the program writes. Folders are the business of packages.
 */
import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import {
  applyDelta,
  createDelta,
  createDiff,
  createSignature,
  DELTA_HEADER_BYTES,
  type DeltaSummary,
  type DiffLevel,
  type DiffSummary,
  decodeSignature,
  encodeSignature,
  RdcError,
  type RdcErrorCode,
  readDeltaHeader,
  SALT_BYTES,
  TreeHash,
} from 'native-free-rdc';
import { diffJobsOn } from './engine/delta/diff-jobs.ts';
import { type ErrorCode, ReplicationError } from './errors.ts';
import { diffFolders, type FolderDiffSummary, isFolderDelta, patchFolder } from './folder-delta/folder-delta.ts';
import { limits } from './model/limits.ts';
import type { FileHandle, Files } from './world/files.ts';
import { type Random, randomHex } from './world/random.ts';
import type { Threads } from './world/threads.ts';

export interface FileDeltaWorld {
  readonly files: Files;
  readonly random: Random;
  /** Threads for as long as a diff runs; undefined to do everything on this one. */
  openThreads(): (Threads & AsyncDisposable) | undefined;
}

export interface OutputOptions {
  /** Absolute. */
  readonly output: string;
  readonly mayOverwrite: boolean;
  readonly signal: AbortSignal;
}

/** A signature has about 10 bytes per chunk and at most 4 Mi chunks, so even a hostile basis stays below. */
const signatureBytesMax = 64 * 1024 * 1024;

/** Signs `basis` into `output`. */
export async function signFile(
  world: FileDeltaWorld,
  basis: string,
  options: OutputOptions,
): Promise<{ readonly bytes: number; readonly signatureBytes: number; readonly chunks: number }> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    await using source = await openSource(world.files, basis);
    const salt = world.random.bytes(SALT_BYTES);
    const signature = await createSignature(source.blocks(options.signal), { basisBytes: source.bytes, salt });
    await source.expectUnchanged();
    const encoded = encodeSignature(signature);
    await using draft = await createDraft(world, options);
    await draft.append(encoded);
    await draft.publish();
    return { bytes: source.bytes, signatureBytes: encoded.byteLength, chunks: signature.chunkCount };
  });
}

/** Writes into `output` what leads from the basis of `signature` to `target`. */
export async function deltaFile(
  world: FileDeltaWorld,
  paths: { readonly signature: string; readonly target: string },
  options: OutputOptions,
): Promise<DeltaSummary> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    const signature = decodeSignature(await readSmall(world.files, paths.signature, signatureBytesMax));
    await using target = await openSource(world.files, paths.target);
    await using draft = await createDraft(world, options);
    let summary: DeltaSummary | undefined;
    const onSummary = (told: DeltaSummary): void => {
      summary = told;
    };
    for await (const piece of createDelta(signature, target.blocks(options.signal), { onSummary })) {
      await draft.append(piece);
    }
    await target.expectUnchanged();
    if (summary === undefined) throw new Error('createDelta() ended without a summary');
    await draft.publish();
    return summary;
  });
}

/** What `diff` works with: the work over threads is worth it only for inputs that take longer than threads to start. */
export interface DiffOrder {
  readonly basis: string;
  readonly target: string;
  readonly level: DiffLevel;
}

/** Writes into `output` what leads from `basis` to `target`, two files or two folders. */
export async function diffPaths(
  world: FileDeltaWorld,
  order: DiffOrder,
  options: OutputOptions,
): Promise<Omit<DiffSummary, 'targetSha256'> & Partial<Pick<FolderDiffSummary, 'files'>>> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    const isFolder = await areFolders(world.files, order);
    await using threads = world.openThreads();
    const jobs = threads === undefined ? undefined : diffJobsOn(threads, options.signal);
    await using draft = await createDraft(world, options);
    if (isFolder) {
      let summary: FolderDiffSummary | undefined;
      const onSummary = (told: FolderDiffSummary): void => {
        summary = told;
      };
      const { level } = order;
      const pieces = diffFolders(world.files, order, { level, jobs, signal: options.signal, onSummary });
      for await (const piece of pieces) await draft.append(piece);
      if (summary === undefined) throw new Error('diffFolders() ended without a summary');
      await draft.publish();
      return summary;
    }
    await using basis = await openSource(world.files, order.basis);
    await using target = await openSource(world.files, order.target);
    let summary: DiffSummary | undefined;
    const onSummary = (told: DiffSummary): void => {
      summary = told;
    };
    const given = { level: order.level, onSummary, ...(jobs === undefined ? {} : { jobs }) };
    for await (const piece of createDiff(basis, target.blocks(options.signal), given)) await draft.append(piece);
    await basis.expectUnchanged();
    await target.expectUnchanged();
    if (summary === undefined) throw new Error('createDiff() ended without a summary');
    await draft.publish();
    const { targetSha256: _named, ...told } = summary;
    return told;
  });
}

async function areFolders(files: Files, { basis, target }: DiffOrder): Promise<boolean> {
  const kinds = await Promise.all(
    [basis, target].map(async (path) => (await files.facts(await files.realPath(path)))?.kind),
  );
  if (kinds[0] === kinds[1]) return kinds[0] === 'directory';
  throw new ReplicationError('usage', `Cannot compare ${basis} with ${target}: one is a folder, the other is not`);
}

/** Rebuilds the target of `delta` from `basis` into `output`. `verification-failed` and nothing written when it differs. */
export async function patchFile(
  world: FileDeltaWorld,
  paths: { readonly basis: string; readonly delta: string },
  options: OutputOptions,
): Promise<
  | { readonly targetBytes: number; readonly sha256: string }
  | { readonly targetBytes: number; readonly manifest: string }
> {
  return await translated(async () => {
    await refuseExisting(world.files, options);
    await using delta = await openSource(world.files, paths.delta);
    if (isFolderDelta(await delta.start())) {
      if ((await world.files.facts(options.output)) !== undefined)
        throw new ReplicationError('name-taken', `Cannot write ${options.output}: a folder is never replaced`);
      const draft = draftPath(world, options.output);
      const places = { basis: paths.basis, output: options.output, draft };
      return await patchFolder(world.files, places, delta.handle, options.signal);
    }
    await using basis = await openSource(world.files, paths.basis);
    await expectBasis(basis, await delta.start(), options.signal);
    await using draft = await createDraft(world, options);
    const sha256 = createHash('sha256');
    let targetBytes = 0;
    for await (const piece of applyDelta(basis, delta.blocks(options.signal))) {
      sha256.update(piece);
      targetBytes += piece.byteLength;
      await draft.append(piece);
    }
    await draft.publish();
    return { targetBytes, sha256: sha256.digest('hex') };
  });
}

/** Read as a stream or at random, as it was when it was opened. */
class Source implements AsyncDisposable {
  readonly path: string;
  readonly bytes: number;
  readonly #handle: FileHandle;
  readonly #stamp: string;

  constructor(path: string, handle: FileHandle, facts: { readonly bytes: number; readonly stamp: string }) {
    this.path = path;
    this.bytes = facts.bytes;
    this.#handle = handle;
    this.#stamp = facts.stamp;
  }

  get handle(): FileHandle {
    return this.#handle;
  }

  read(offset: number, into: Uint8Array): Promise<number> {
    return this.#handle.read(offset, into);
  }

  /** Enough to tell what the file is. */
  async start(): Promise<Uint8Array> {
    const bytes = new Uint8Array(DELTA_HEADER_BYTES);
    return bytes.subarray(0, await this.#handle.read(0, bytes));
  }

  async *blocks(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < this.bytes; ) {
      signal.throwIfAborted();
      const block = new Uint8Array(Math.min(limits.blockBytes, this.bytes - offset));
      const count = await this.#handle.read(offset, block);
      if (count > 0) yield block.subarray(0, count);
      if (count < block.byteLength) return;
      offset += count;
    }
  }

  async expectUnchanged(): Promise<void> {
    if ((await stampOf(this.#handle)).stamp === this.#stamp) return;
    throw new ReplicationError('source-changed', `Cannot use ${this.path}: it changed while it was read`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

async function stampOf(handle: FileHandle): Promise<{ readonly bytes: number; readonly stamp: string }> {
  const { bytes, modifiedMs, changedMs } = await handle.facts();
  return { bytes, stamp: `${bytes} ${modifiedMs} ${changedMs}` };
}

/** Links are followed here: the person named the file. */
async function openSource(files: Files, path: string): Promise<Source> {
  const handle = await files.open(await files.realPath(path), 'read');
  return new Source(path, handle, await stampOf(handle));
}

async function readSmall(files: Files, path: string, bytesMax: number): Promise<Uint8Array> {
  await using source = await openSource(files, path);
  if (source.bytes > bytesMax)
    throw new ReplicationError(
      'limit-exceeded',
      `Cannot read ${path}: it has ${source.bytes} bytes, at most ${bytesMax} make sense`,
    );
  const bytes = new Uint8Array(source.bytes);
  const count = await source.read(0, bytes);
  return bytes.subarray(0, count);
}

async function refuseExisting(files: Files, { output, mayOverwrite }: OutputOptions): Promise<void> {
  const facts = await files.facts(output);
  if (facts === undefined || (mayOverwrite && facts.kind !== 'directory')) return;
  if (facts.kind === 'directory')
    throw new ReplicationError('name-taken', `Cannot write ${output}: it is a directory, a file name is needed`);
  throw new ReplicationError('name-taken', `Cannot write ${output}: it exists already`, {
    hint: 'another name, or --force',
  });
}

/** A file under a temporary name beside its place: published whole, or removed. */
class Draft implements AsyncDisposable {
  readonly #files: Files;
  readonly #options: OutputOptions;
  readonly #path: string;
  readonly #handle: FileHandle;
  #bytes = 0;

  constructor(files: Files, options: OutputOptions, path: string, handle: FileHandle) {
    this.#files = files;
    this.#options = options;
    this.#path = path;
    this.#handle = handle;
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#handle.write(this.#bytes, bytes);
    this.#bytes += bytes.byteLength;
  }

  /** On return the file and its name are durable. */
  async publish(): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
    await refuseExisting(this.#files, this.#options);
    await this.#files.rename(this.#path, this.#options.output);
    await this.#files.syncDirectory(dirname(this.#options.output));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    await this.#files.remove(this.#path);
  }
}

async function createDraft({ files, random }: FileDeltaWorld, options: OutputOptions): Promise<Draft> {
  const path = draftPath({ random }, options.output);
  return new Draft(files, options, path, await files.open(path, 'create'));
}

function draftPath({ random }: Pick<FileDeltaWorld, 'random'>, output: string): string {
  return join(dirname(output), `.${basename(output).slice(0, 100)}.${randomHex(random, 4)}.part`);
}

/** A wrong basis is told before work starts: it is read once to be sure. */
async function expectBasis(basis: Source, deltaStart: Uint8Array, signal: AbortSignal): Promise<void> {
  const header = readDeltaHeader(deltaStart);
  const hash = new TreeHash();
  if (basis.bytes === header.basisBytes) for await (const block of basis.blocks(signal)) hash.update(block);
  if (basis.bytes === header.basisBytes && Buffer.from(hash.digest()).equals(header.basisId)) return;
  throw new ReplicationError(
    'basis-mismatch',
    `Cannot apply the delta: ${basis.path} is not the file it was made from`,
    {
      hint: 'the very file the delta was made from, as BASIS',
    },
  );
}

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
async function translated<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RdcError)) throw error;
    const wrongBasis = error.code === 'basis-mismatch' || error.code === 'target-mismatch';
    const hint = wrongBasis ? { hint: 'the very file whose signature was taken, as BASIS' } : {};
    throw new ReplicationError(codes[error.code], error.message, { cause: error, ...hint });
  }
}
