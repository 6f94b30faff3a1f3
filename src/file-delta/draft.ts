/**
 * What a command writes.
 *
 * Guarantees: it appears whole, synced and under its name, or not at all; nothing existing is replaced unless asked.
 * Results are readable by their owner alone, as everything the program writes.
 */
import { basename, dirname, join } from 'node:path';
import { SequentialWriter } from '../engine/store/sequential-writer.ts';
import { ReplicationError } from '../errors.ts';
import type { FileHandle, Files } from '../world/files.ts';
import { type Random, randomHex } from '../world/random.ts';
import type { Threads } from '../world/threads.ts';

export interface FileDeltaWorld {
  readonly files: Files;
  readonly random: Random;
  /** Threads for as long as a diff or a signature is made; undefined to do everything on this one. */
  openThreads(): (Threads & AsyncDisposable) | undefined;
}

export interface OutputOptions {
  /** Absolute. */
  readonly output: string;
  readonly mayOverwrite: boolean;
  readonly signal: AbortSignal;
}

export async function refuseExisting(files: Files, { output, mayOverwrite }: OutputOptions): Promise<void> {
  const facts = await files.facts(output);
  if (facts === undefined || (mayOverwrite && facts.kind !== 'directory')) return;
  if (facts.kind === 'directory')
    throw new ReplicationError('name-taken', `Cannot write ${output}: it is a directory, a file name is needed`);
  throw new ReplicationError('name-taken', `Cannot write ${output}: it exists already`, {
    hint: 'another name, or --force',
  });
}

/**
 * The disk begins with what was written while more is made: a tenth of the time of a large patch. A failure shows when
 * the whole is synced.
 */
const flushBytes = 32 * 1024 * 1024;

/** A file under a temporary name beside its place: published whole, or removed. */
export class Draft implements AsyncDisposable {
  readonly #files: Files;
  readonly #options: OutputOptions;
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #writer: SequentialWriter;
  #flushedBytes = 0;
  #flushing: Promise<void> = Promise.resolve();

  constructor(files: Files, options: OutputOptions, path: string, written: { handle: FileHandle; isSparse: boolean }) {
    this.#files = files;
    this.#options = options;
    this.#path = path;
    this.#handle = written.handle;
    this.#writer = new SequentialWriter(written.handle, { isSparse: written.isSparse });
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.#writer.write(bytes);
    if (this.#writer.bytes - this.#flushedBytes < flushBytes) return;
    this.#flushedBytes = this.#writer.bytes;
    await this.#flushing;
    this.#flushing = this.#handle.sync().catch(() => undefined);
  }

  /** On return the file and its name are durable. */
  async publish(): Promise<void> {
    await this.#writer.finish();
    await this.#flushing;
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

/** `isSparse`: long runs of zeros become holes. */
export async function createDraft(
  { files, random }: FileDeltaWorld,
  options: OutputOptions,
  isSparse = false,
): Promise<Draft> {
  const path = draftPath({ random }, options.output);
  return new Draft(files, options, path, { handle: await files.open(path, 'create'), isSparse });
}

export function draftPath({ random }: Pick<FileDeltaWorld, 'random'>, output: string): string {
  return join(dirname(output), `.${basename(output).slice(0, 100)}.${randomHex(random, 4)}.part`);
}
