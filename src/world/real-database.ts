/**
 * The database over LMDB.
 *
 * Guarantees beyond those of `Database`: transactions started in the same turn of the event loop share one commit (and
 * its fsync) yet succeed or fail each for itself; an existing file is judged by a child process before it is opened;
 * a full disk rejects the transaction and ends nothing.
 *
 * Deliberately not done: guarding against a file that is truncated or overwritten while it is open: LMDB reads through
 * a memory map, so that ends the process. A restart then meets the check.
 */
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';
import type { Database, Entry, KeyRange, OpenDatabase, RecordValue, Transaction } from './database.ts';
import { checkDatabaseFile } from './database-check.ts';
import {
  DATABASE_FILE_NAME,
  DATABASE_LOCK_NAME,
  openTree,
  type RecordTree,
  recordKey,
  splitRecordKey,
  tableEnd,
} from './database-file.ts';
import { assertKey, assertTable, decodeRecord, encodeRecord } from './database-record.ts';
import { realFiles } from './real-files.ts';

/** Two environments over one file in one process would undo each other's POSIX locks. */
const openPaths = new Set<string>();

export const openRealDatabase: OpenDatabase = async (directory) => {
  const files = realFiles();
  await files.makeDirectory(directory);
  const path = join(await files.realPath(directory), DATABASE_FILE_NAME);
  if (openPaths.has(path)) throw new TypeError(`the database ${JSON.stringify(path)} is open already`);
  openPaths.add(path);
  try {
    const isNew = (await files.facts(path)) === undefined;
    if (!isNew) {
      // Names a file that is not ours to write, or no file at all, before anyone calls it damaged.
      await (await files.open(path, 'update')).close();
      // An empty file is not new but damaged: LMDB would quietly begin afresh in it.
      await checkDatabaseFile(path);
    }
    const tree = openTree({ path, isReadOnly: false });
    if (isNew) {
      await chmod(path, 0o600);
      await chmod(join(directory, DATABASE_LOCK_NAME), 0o600);
      // LMDB syncs its file but not the file's name.
      await files.syncDirectory(directory);
    }
    return new RealDatabase(path, tree);
  } catch (error) {
    openPaths.delete(path);
    throw await failureOf('open', path, error);
  }
};

class RealDatabase implements Database {
  readonly #path: string;
  readonly #tree: RecordTree;
  readonly #running = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(path: string, tree: RecordTree) {
    this.#path = path;
    this.#tree = tree;
  }

  get(table: string, key: string): RecordValue | undefined {
    this.#assertOpen();
    return readRecord(this.#tree, table, key);
  }

  entries(table: string, range: KeyRange = {}): readonly Entry[] {
    this.#assertOpen();
    return readEntries(this.#tree, table, range);
  }

  async transaction<Result>(work: (transaction: Transaction) => Result): Promise<Result> {
    this.#assertOpen();
    const running = this.#run(work);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /**
   * A child transaction, because lmdb-js commits what a plain `transaction()` wrote before its callback threw. The
   * result is kept out of its hands: it would wait for a promise and take one number as an order to abort.
   */
  async #run<Result>(work: (transaction: Transaction) => Result): Promise<Result> {
    const transaction = new RealTransaction(this.#tree);
    let outcome: { readonly result: Result } | undefined;
    let thrown: { readonly error: unknown } | undefined;
    try {
      await this.#tree.childTransaction(() => {
        try {
          const result = work(transaction);
          if (result instanceof Promise) throw new TypeError('the work of a transaction must not be asynchronous');
          transaction.finish();
          outcome = { result };
        } catch (error) {
          // What LMDB refused is named below, like a failed commit.
          if (!transaction.isRefused(error)) thrown = { error };
          throw error;
        } finally {
          transaction.close();
        }
      });
    } catch (error) {
      if (thrown !== undefined) throw thrown.error;
      throw await failureOf('commit to', this.#path, await commitErrorOf(error));
    }
    if (outcome === undefined) throw new Error(`a transaction of ${this.#path} was committed without being run`);
    return outcome.result;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#tree.close();
    openPaths.delete(this.#path);
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new TypeError(`the database ${JSON.stringify(this.#path)} is closed`);
  }
}

/** Valid while `work` runs; LMDB itself directs its reads and writes into the transaction under way. */
class RealTransaction implements Transaction {
  readonly #tree: RecordTree;
  #isOver = false;
  /** A write LMDB refused: the transaction must not be committed even if `work` swallows the error. */
  #failure: { readonly error: unknown } | undefined;

  constructor(tree: RecordTree) {
    this.#tree = tree;
  }

  get(table: string, key: string): RecordValue | undefined {
    this.#assertRunning();
    return readRecord(this.#tree, table, key);
  }

  entries(table: string, range: KeyRange = {}): readonly Entry[] {
    this.#assertRunning();
    return readEntries(this.#tree, table, range);
  }

  put(table: string, key: string, value: RecordValue): void {
    this.#assertRunning();
    assertTable(table);
    assertKey(key);
    const record = encodeRecord(table, key, value);
    this.#write(() => this.#tree.putSync(recordKey(table, key), Buffer.from(record.buffer)));
  }

  remove(table: string, key: string): void {
    this.#assertRunning();
    assertTable(table);
    assertKey(key);
    this.#write(() => this.#tree.removeSync(recordKey(table, key)));
  }

  finish(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  close(): void {
    this.#isOver = true;
  }

  /** Whether LMDB itself threw this error. */
  isRefused(error: unknown): boolean {
    return this.#failure?.error === error;
  }

  #write(call: () => unknown): void {
    try {
      call();
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  #assertRunning(): void {
    if (this.#isOver) throw new TypeError('a transaction must not be used after its work returned');
  }
}

function readRecord(tree: RecordTree, table: string, key: string): RecordValue | undefined {
  assertTable(table);
  assertKey(key);
  const record = tree.getBinary(recordKey(table, key));
  return record === undefined ? undefined : decodeRecord(table, key, record);
}

function readEntries(tree: RecordTree, table: string, range: KeyRange): readonly Entry[] {
  assertTable(table);
  const start = recordKey(table, range.start ?? '');
  const end = range.end === undefined ? tableEnd(table) : recordKey(table, range.end);
  const limit = range.limit ?? Number.MAX_SAFE_INTEGER;
  // LMDB would read an inverted range as a descending one, and a limit of 0 as none.
  if (limit <= 0 || Buffer.compare(start, end) >= 0) return [];
  if (Math.max(start.length, end.length) > table.length + 1 + limits.databaseKeyBytesMax) {
    throw new RangeError(`a bound of a range is at most ${limits.databaseKeyBytesMax} bytes`);
  }
  const entries: Entry[] = [];
  for (const { key: name, value: record } of tree.getRange({ start, end })) {
    const { key } = splitRecordKey(name);
    entries.push({ key, value: decodeRecord(table, key, record) });
    if (entries.length >= limit) break;
  }
  return entries;
}

/**
 * lmdb-js rejects every writer of a failed commit with "see commitError", a promise that then rejects with the cause.
 * Each must be awaited here: one that nobody looks at would end the process as an unhandled rejection.
 */
async function commitErrorOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  try {
    await error.commitError;
  } catch (cause) {
    return cause;
  }
  return error;
}

/** The system's ENOSPC, EDQUOT and EFBIG, in words, and LMDB's own MDB_MAP_FULL. */
const FULL = /No space left|quota|File too large|MDB_MAP_FULL/i;

/** LMDB answers EIO, not ENOSPC, when the disk took only a part of a write. */
const EIO = /Input\/output error/i;

async function failureOf(action: string, path: string, error: unknown): Promise<ReplicationError> {
  if (error instanceof ReplicationError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const isFull = FULL.test(text) || (EIO.test(text) && (await isCramped(path)));
  const [code, want] = isFull ? (['disk-full', 'free space'] as const) : (['disk-failed', 'a sound disk'] as const);
  const message = `Cannot ${action} the database ${JSON.stringify(path)}: ${text}, expected ${want}`;
  return new ReplicationError(code, message, { cause: error });
}

async function isCramped(path: string): Promise<boolean> {
  return (await realFiles().freeBytes(path)) < limits.freeBytesMin;
}
