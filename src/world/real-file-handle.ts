/**
 * An open file on a bare descriptor: a folder of many files is read in half the processor time of Node's `FileHandle`,
 * which makes five trips to another thread for what needs two. What waits for no disk is asked at once: the facts of an
 * open file, and the closing of one that has nothing left to write.
 */
import type { BigIntStats } from 'node:fs';
import * as fs from 'node:fs';
import { constants, promises as disk } from 'node:fs';
import { promisify } from 'node:util';
import { ReplicationError } from '../errors.ts';
import { assertOffset, attempt, isAbsence, quoted, refusal } from './disk-call.ts';
import type { FileFacts, FileHandle, FileKind, OpenMode } from './files.ts';

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
const OWNER_MAY_EXECUTE = 0o100;

/** The calls that may wait for a disk, as promises. */
const descriptor = {
  open: promisify(fs.open),
  read: promisify(fs.read) as (fd: number, into: Uint8Array, options: fs.ReadOptions) => Promise<{ bytesRead: number }>,
  write: promisify(fs.write) as unknown as DescriptorWrite,
  truncate: promisify(fs.ftruncate),
  chmod: promisify(fs.fchmod),
  sync: promisify(fs.fsync),
  close: promisify(fs.close),
};

type DescriptorWrite = (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesWritten: number }>;

class RealFileHandle implements FileHandle {
  readonly #path: string;
  readonly #fd: number;
  /** Whether closing may have to wait for bytes to be written, as it does over a network. */
  #isDirty = false;
  /** After a failed fsync Linux may report the next one as good although pages were dropped (fsyncgate, 2018). */
  #isLost = false;
  #closing: Promise<void> | undefined;
  /** Calls under way, and who waits for the last of them. */
  #callCount = 0;
  #onIdle: (() => void) | undefined;

  constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  facts(): Promise<FileFacts> {
    return this.#attempt('look at', async (fd) => factsFrom(fs.fstatSync(fd, { bigint: true })));
  }

  read(offset: number, into: Uint8Array): Promise<number> {
    assertOffset(offset);
    return this.#attempt('read', async (fd) => {
      let done = 0;
      while (done < into.length) {
        const length = into.length - done;
        const { bytesRead } = await descriptor.read(fd, into, { offset: done, length, position: offset + done });
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    assertOffset(offset);
    this.#isDirty = true;
    return this.#attempt('write', async (fd) => {
      let done = 0;
      while (done < bytes.length) {
        const length = bytes.length - done;
        done += (await descriptor.write(fd, bytes, done, length, offset + done)).bytesWritten;
      }
    });
  }

  truncate(bytes: number): Promise<void> {
    assertOffset(bytes);
    this.#isDirty = true;
    return this.#attempt('truncate', (fd) => descriptor.truncate(fd, bytes));
  }

  async sync(): Promise<void> {
    if (this.#isLost) {
      throw new ReplicationError(
        'disk-failed',
        `Cannot sync ${quoted(this.#path)}: an earlier sync failed, expected none to`,
      );
    }
    try {
      this.#isDirty = false;
      await this.#attempt('sync', (fd) => descriptor.sync(fd));
    } catch (error) {
      this.#isLost = true;
      throw error;
    }
  }

  close(): Promise<void> {
    this.#closing ??= attempt('close', this.#path, async () => {
      const idle = Promise.withResolvers<void>();
      this.#onIdle = idle.resolve;
      if (this.#callCount > 0) await idle.promise;
      await (this.#isDirty ? descriptor.close(this.#fd) : fs.closeSync(this.#fd));
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The number of a closed descriptor may soon be that of another file: no call begins after close, none outlasts it. */
  async #attempt<Result>(action: string, call: (fd: number) => Promise<Result>): Promise<Result> {
    if (this.#closing !== undefined) throw new TypeError(`${quoted(this.#path)} is closed`);
    this.#callCount += 1;
    try {
      return await attempt(action, this.#path, () => call(this.#fd));
    } finally {
      this.#callCount -= 1;
      if (this.#callCount === 0) this.#onIdle?.();
    }
  }
}

export function openFile(path: string, mode: OpenMode): Promise<FileHandle> {
  return attempt(`open to ${mode}`, path, async () => new RealFileHandle(path, await openRegular(path, mode)));
}

async function openRegular(path: string, mode: OpenMode): Promise<number> {
  if (NO_FOLLOW === 0) await refuseLink(path);
  const fd = await descriptor.open(path, FLAGS[mode] | NO_FOLLOW | NON_BLOCKING, OWNER_ONLY_FILE);
  try {
    const stats = fs.fstatSync(fd, { bigint: true });
    if (!stats.isFile()) throw refusal(path, `is a ${kindOf(stats)}`, 'a regular file');
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** Starts of files read since others, signals among them, had their turn. */
let startsSinceTurn = 0;
const STARTS_PER_TURN = 64;

export async function readStart(
  path: string,
  into: Uint8Array,
): Promise<{ readonly facts: FileFacts; readonly bytes: number }> {
  if (NO_FOLLOW === 0) await refuseLink(path);
  startsSinceTurn += 1;
  if (startsSinceTurn % STARTS_PER_TURN === 0) await new Promise(setImmediate);
  return await attempt('read', path, async () => {
    const fd = fs.openSync(path, FLAGS.read | NO_FOLLOW | NON_BLOCKING);
    try {
      const stats = fs.fstatSync(fd, { bigint: true });
      if (!stats.isFile()) throw refusal(path, `is a ${kindOf(stats)}`, 'a regular file');
      let bytes = 0;
      while (bytes < into.length) {
        const count = fs.readSync(fd, into, bytes, into.length - bytes, bytes);
        if (count === 0) break;
        bytes += count;
      }
      return { facts: factsFrom(stats), bytes };
    } finally {
      fs.closeSync(fd);
    }
  });
}

/** Through a descriptor: `chmod` would follow a link and take a directory. */
export async function makeExecutable(path: string): Promise<void> {
  const fd = await openRegular(path, 'read');
  try {
    await descriptor.chmod(fd, (fs.fstatSync(fd).mode & 0o777) | OWNER_MAY_EXECUTE);
  } finally {
    fs.closeSync(fd);
  }
}

export async function factsOf(path: string): Promise<FileFacts | undefined> {
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
    // Systems that have `st_blocks` count it in 512 bytes, whatever their own blocks are.
    allocatedBytes: kind === 'file' && !IS_WINDOWS ? Number(stats.blocks) * 512 : bytes,
    modifiedMs: Number(stats.mtimeNs) / 1e6,
    changedMs: Number(stats.ctimeNs) / 1e6,
    isExecutable: kind === 'file' && (Number(stats.mode) & OWNER_MAY_EXECUTE) !== 0,
    identity: `${stats.dev}:${stats.ino}`,
  };
}

function kindOf(stats: BigIntStats): FileKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

export async function refuseLink(path: string): Promise<void> {
  if ((await factsOf(path))?.kind === 'symlink') throw refusal(path, 'is a symbolic link', 'the thing itself');
}
