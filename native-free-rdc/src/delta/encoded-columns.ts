/** The columns of a segment on their way into a delta: each compressed if that makes it smaller. */
import { constants, zstdCompressSync } from 'node:zlib';
import { COLUMNS, type Column, type ColumnHead } from './delta-format.ts';

export type EncodedColumns = Readonly<Record<Column, { readonly head: ColumnHead; readonly encoded: Uint8Array }>>;

export interface ColumnEffort {
  readonly zstdLevel: number;
  /** For columns small enough that it takes no time. */
  readonly zstdLevelSmall: number;
}

const SMALL_COLUMN_BYTES = 256 * 1024;
/** Of incompressible bytes, a quick try tells that a slow one is not worth it. */
const QUICK_ZSTD_LEVEL = 1;
const HOPELESS_RATIO = 0.98;
const HOPELESS_BYTES_MIN = 16 * 1024;

/** What is not given is empty. Raw columns are those given, not copies of them. */
export function encodeColumns(raw: Partial<Record<Column, Uint8Array>>, effort: ColumnEffort): EncodedColumns {
  return Object.fromEntries(
    COLUMNS.map((name) => [name, encodeColumn(raw[name] ?? new Uint8Array(0), effort)]),
  ) as EncodedColumns;
}

/** What they take in the delta, their heads not counted. */
export function encodedBytesOf(columns: EncodedColumns): number {
  return COLUMNS.reduce((sum, name) => sum + columns[name].encoded.length, 0);
}

function encodeColumn(raw: Uint8Array, effort: ColumnEffort): EncodedColumns[Column] {
  const level = raw.length <= SMALL_COLUMN_BYTES ? effort.zstdLevelSmall : effort.zstdLevel;
  const isHopeless =
    raw.length >= HOPELESS_BYTES_MIN && compressed(raw, QUICK_ZSTD_LEVEL).length > raw.length * HOPELESS_RATIO;
  const encoded = raw.length === 0 || isHopeless ? raw : compressed(raw, level);
  if (encoded.length >= raw.length)
    return { head: { coding: 'raw', rawBytes: raw.length, encodedBytes: raw.length }, encoded: raw };
  return { head: { coding: 'zstd', rawBytes: raw.length, encodedBytes: encoded.length }, encoded };
}

function compressed(bytes: Uint8Array, level: number): Uint8Array {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } });
}
