/**
 * The LMDB file under a database: where it lies, how it is opened, how a record is named in it. Known to the service
 * and to the child process that checks the file for it.
 */
import { type Key, open, type RootDatabase } from 'lmdb';

export const DATABASE_FILE_NAME = 'records.mdb';

/** LMDB's own file of readers beside it. */
export const DATABASE_LOCK_NAME = `${DATABASE_FILE_NAME}-lock`;

/** One LMDB tree; a record's key in it is `table NUL key`, in UTF-8. */
export type RecordTree = RootDatabase<Buffer, Buffer>;

export interface OpenTreeOptions {
  readonly path: string;
  readonly isReadOnly: boolean;
}

/**
 * Address space reserved at first: 16 GiB, 100 times what a million files need (about 150 bytes each) and little of 47
 * bits. Not a limit: lmdb-js maps anew when a file outgrows it, which only costs time and address space.
 */
const MAP_BYTES = 16 * 1024 ** 3;

/**
 * `overlappingSync: false` makes a commit durable before it is acknowledged; with lmdb-js's default, 30 of 80 power
 * cuts to the disk left the file unreadable or lost acknowledged rows, with this 0 of 140 (reliability.md, finding 4).
 */
export function openTree(options: OpenTreeOptions): RecordTree {
  return open<Buffer, Key>({
    path: options.path,
    noSubdir: true,
    readOnly: options.isReadOnly,
    mapSize: MAP_BYTES,
    overlappingSync: false,
    // A batch of a turn has a promise of its own that nobody gets: it would reject unhandled with every failed commit.
    eventTurnBatching: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    cache: false,
    compression: false,
  }) as RecordTree;
}

export function recordKey(table: string, key: string): Buffer {
  return Buffer.from(`${table}\0${key}`, 'utf8');
}

/** The first name after every key of a table. */
export function tableEnd(table: string): Buffer {
  return Buffer.from(`${table}\x01`, 'utf8');
}

/** Undoes `recordKey`; a damaged name gives a pair under which no checksum fits. */
export function splitRecordKey(name: Uint8Array): { readonly table: string; readonly key: string } {
  const text = Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString('utf8');
  const border = text.indexOf('\0');
  return border === -1 ? { table: text, key: '' } : { table: text.slice(0, border), key: text.slice(border + 1) };
}
