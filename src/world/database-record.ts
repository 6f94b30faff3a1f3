/**
 * One record as bytes: `xxh64 checksum, little-endian (8) | msgpack of the value`. The checksum is XXH64 of the msgpack
 * seeded with XXH64 of `table NUL key`, so a value found under another key or table is as damaged as an altered one.
 *
 * LMDB itself notices nothing: of 60 files with one flipped bit, 34 gave wrong or missing values silently
 * (shared/research/reliability.md, finding 5). The checksum finds accidents, not forgers.
 *
 * Shared by the real and the simulated database, so that both refuse the same tables, keys and values.
 */
import { Decoder, Encoder } from '@msgpack/msgpack';
import xxhash from 'xxhash-wasm';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';
import type { RecordValue } from './database.ts';

const CHECKSUM_BYTES = 8;

/** As many levels as a record may nest; deeper ones are cycles or mistakes. */
const DEPTH_MAX = 64;

const TABLE_PATTERN = /^[a-z0-9-]{1,40}$/;

const { h64, h64Raw } = await xxhash();
const encoder = new Encoder({ ignoreUndefined: true, maxDepth: DEPTH_MAX + 1 });
const decoder = new Decoder();

/** Throws `RangeError` unless 1 to 40 characters of `a-z0-9-`. */
export function assertTable(table: string): void {
  if (!TABLE_PATTERN.test(table)) throw new RangeError(`a table is 1 to 40 of a-z0-9-, not ${JSON.stringify(table)}`);
}

/** Throws `RangeError` unless 1 to `databaseKeyBytesMax` bytes of valid Unicode. */
export function assertKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  if (bytes < 1 || bytes > limits.databaseKeyBytesMax) {
    throw new RangeError(`a key is 1 to ${limits.databaseKeyBytesMax} bytes of UTF-8, not ${bytes}`);
  }
  if (!key.isWellFormed()) throw new RangeError(`a key must be valid Unicode: ${JSON.stringify(key)}`);
}

/**
 * The record of a value, in memory of its own. Throws `TypeError` for what msgpack would alter (bigints, dates, lone
 * surrogates, `undefined` other than as a field …) and `RangeError` beyond `databaseValueBytesMax`. The one loss that
 * is accepted: −0 comes back as 0.
 */
export function encodeRecord(table: string, key: string, value: RecordValue): Uint8Array {
  assertPlain(value, 0);
  const body = encoder.encodeSharedRef(value);
  if (body.length > limits.databaseValueBytesMax) {
    throw new RangeError(`a value is at most ${limits.databaseValueBytesMax} bytes encoded, not ${body.length}`);
  }
  const record = new Uint8Array(CHECKSUM_BYTES + body.length);
  new DataView(record.buffer).setBigUint64(0, checksumOf(table, key, body), true);
  record.set(body, CHECKSUM_BYTES);
  return record;
}

/** The value of a record, sharing no memory with it. Throws `database-damaged` when the checksum does not fit. */
export function decodeRecord(table: string, key: string, record: Uint8Array): RecordValue {
  if (record.length <= CHECKSUM_BYTES) throw damaged(table, key, `${record.length} bytes long`);
  // A copy and a plain Uint8Array: byte strings inside the decoded value are views of it.
  const body = new Uint8Array(record.subarray(CHECKSUM_BYTES));
  const checksum = new DataView(record.buffer, record.byteOffset).getBigUint64(0, true);
  if (checksum !== checksumOf(table, key, body)) throw damaged(table, key, 'altered');
  try {
    return decoder.decode(body) as RecordValue;
  } catch (cause) {
    throw damaged(table, key, 'not msgpack', cause);
  }
}

function checksumOf(table: string, key: string, body: Uint8Array): bigint {
  return h64Raw(body, h64(`${table}\0${key}`));
}

function damaged(table: string, key: string, state: string, cause?: unknown): ReplicationError {
  const message = `Cannot read record ${table}/${JSON.stringify(key)}: it is ${state}, expected its checksum to fit`;
  return new ReplicationError('database-damaged', message, { cause });
}

function assertPlain(value: unknown, depth: number): void {
  if (depth > DEPTH_MAX) throw new TypeError(`a value nests at most ${DEPTH_MAX} levels deep`);
  switch (typeof value) {
    case 'boolean':
    case 'number':
      return;
    case 'string':
      if (value.isWellFormed()) return;
      break;
    case 'object':
      if (value === null || value instanceof Uint8Array) return;
      if (Array.isArray(value)) {
        for (const item of value) assertPlain(item, depth + 1);
        return;
      }
      if (isPlainObject(value)) {
        for (const [name, field] of Object.entries(value)) {
          // The decoder refuses `__proto__`: such a record could be written and never read.
          if (name === '__proto__') throw new TypeError('a field must not be called __proto__');
          assertPlain(name, depth + 1);
          if (field !== undefined) assertPlain(field, depth + 1);
        }
        return;
      }
  }
  throw new TypeError(`a value must be plain data, not ${typeof value} ${String(value).slice(0, 40)}`);
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
