/**
 * Ordered tables of small records with transactions.
 *
 * Guarantees: a transaction is atomic and durable when its promise resolves; transactions run one after another; a
 * record that was altered on disk is never returned as if it were right (each value carries a checksum bound to its
 * table and key, see `database-record.ts`) but throws `database-damaged`. Everything kept here can be rebuilt from the
 * files of the content library or asked for again: the caller answers `database-damaged` by setting the file aside.
 */

/** What a value may be: plain data that msgpack carries without loss. */
export type RecordValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly RecordValue[]
  | { readonly [key: string]: RecordValue | undefined };

export interface Entry {
  readonly key: string;
  readonly value: RecordValue;
}

export interface KeyRange {
  /** First key included; from the beginning when absent. Keys are ordered by their UTF-8 bytes. */
  readonly start?: string;
  /** First key no longer included; to the end when absent. */
  readonly end?: string;
  /** At most this many entries. */
  readonly limit?: number;
}

/** Reads see the last finished transaction; inside a transaction they see its own writes. */
export interface Reader {
  get(table: string, key: string): RecordValue | undefined;
  /** Entries in key order, as an array of their own: safe to keep and to write while looping. */
  entries(table: string, range?: KeyRange): readonly Entry[];
}

export interface Transaction extends Reader {
  put(table: string, key: string, value: RecordValue): void;
  /** No error when absent. */
  remove(table: string, key: string): void;
}

export interface Database extends Reader, AsyncDisposable {
  /**
   * Runs `work` alone, synchronously. Resolves with its result once all its writes are durable; when `work` throws,
   * nothing is written and the promise rejects with what it threw. A full disk rejects with `disk-full`.
   */
  transaction<Result>(work: (transaction: Transaction) => Result): Promise<Result>;
}

/**
 * Opens (creating if absent) the database in `directory`. Throws `database-damaged` when the file cannot be trusted;
 * that judgement must not be able to take this process down. Keys are 1 to 400 bytes of UTF-8; table names
 * are 1 to 40 characters of `a-z0-9-`; an encoded value is at most `databaseValueBytesMax`.
 */
export type OpenDatabase = (directory: string) => Promise<Database>;
