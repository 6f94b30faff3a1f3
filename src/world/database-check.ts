/**
 * Judges a database file before the service opens it: reads every record, checks its checksum, its order and that it is
 * found under its key.
 *
 * A damaged LMDB file kills the process that reads it (a truncated one by SIGBUS 20 times of 20, a zeroed page by
 * SIGABRT 29 times of 30; reliability.md, finding 5), and no `catch` helps. So the reading happens in a child: this
 * module is both the parent's `checkDatabaseFile` and, run as a program, the child.
 *
 * Not judged: LMDB's list of free pages, which a reader never touches; and damage that happens after the check.
 */
import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, ReplicationError } from '../errors.ts';
import { openTree, splitRecordKey } from './database-file.ts';
import { decodeRecord } from './database-record.ts';

/** A slow disk reads 10 MB/s; the first minute is for starting Node on a busy machine. */
const CHECK_MS_BASE = 60_000;
const CHECK_BYTES_PER_MS = 10_000;

/** First argument of the child: tells this module that it is the program. */
const CHILD_MARK = '--check-database-file';

/** Statuses of the child. Not 0, which a program that never came to its work may end with. */
const SOUND_STATUS = 17;
const HINDERED_STATUS = 18;

/** EPERM, EAGAIN, ENOMEM, EACCES, ENFILE, EMFILE, ENOSPC, EROFS, EDQUOT: they say nothing about the file's content. */
const HINDRANCES: readonly number[] = [1, 11, 12, 13, 23, 24, 28, 30, 122];

/** What the child may say before it dies; more is cut. */
const SAID_CHARACTERS_MAX = 2_000;

/**
 * Throws `database-damaged` unless the child finds every record sound; `process-failed` when no child can be started
 * and `disk-failed` when the system kept it from looking.
 */
export async function checkDatabaseFile(path: string): Promise<void> {
  const { size } = await stat(path);
  const timeout = CHECK_MS_BASE + Math.ceil(size / CHECK_BYTES_PER_MS);
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), CHILD_MARK, path], {
    // Without our own `execArgv`: `--eval`, `--test` or `--inspect` of the parent would make the child something else.
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout,
    killSignal: 'SIGKILL',
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-SAID_CHARACTERS_MAX);
  });
  const ended = await new Promise<number | string>((resolve, reject) => {
    child.once('error', (cause) => reject(checkFailure('process-failed', path, 'no child process starts', cause)));
    child.once('close', (status, signal) => resolve(status ?? signal ?? 'no status'));
  });
  if (ended === SOUND_STATUS) return;
  const code = ended === HINDERED_STATUS ? 'disk-failed' : 'database-damaged';
  throw checkFailure(code, path, `its check ended with ${ended}`, new Error(said.trim()));
}

function checkFailure(code: ErrorCode, path: string, state: string, cause: Error): ReplicationError {
  const message = `Cannot trust the database ${JSON.stringify(path)}: ${state}, expected every record sound`;
  const hint = 'set the file aside; what it held is rebuilt from the content library';
  return new ReplicationError(code, message, code === 'database-damaged' ? { cause, hint } : { cause });
}

/** In the child: throws at the first record that is not sound. */
function readEveryRecord(path: string): void {
  const tree = openTree({ path, isReadOnly: true });
  let last: Buffer | undefined;
  let count = 0;
  for (const { key: name, value } of tree.getRange()) {
    const { table, key } = splitRecordKey(name);
    decodeRecord(table, key, value);
    if (last !== undefined && Buffer.compare(last, name) >= 0) throw new Error(`${table}/${key} is out of order`);
    // A damaged branch page still lets a cursor pass but sends a lookup astray.
    if (tree.getBinary(name) === undefined) throw new Error(`${table}/${key} is not found under its own key`);
    last = Buffer.from(name);
    count += 1;
  }
  const stats = tree.getStats() as { readonly entryCount: number };
  if (stats.entryCount !== count) throw new Error(`${count} records found, ${stats.entryCount} counted by LMDB`);
}

function isHindrance(error: unknown): boolean {
  return error instanceof Error && 'code' in error && HINDRANCES.some((errno) => errno === error.code);
}

if (process.argv[2] === CHILD_MARK) {
  try {
    readEveryRecord(process.argv[3] ?? '');
    process.exitCode = SOUND_STATUS;
  } catch (error) {
    process.exitCode = isHindrance(error) ? HINDERED_STATUS : 1;
    console.error(error);
  }
}
