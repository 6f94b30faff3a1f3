/** The part of applying a delta that is pure computation, so that it can be done in any thread: one segment. */
import { constants, zstdDecompressSync } from 'node:zlib';
import { loadDamageDetector } from '../chunk/chunk-hash.ts';
import { RdcError } from '../errors.ts';
import { ZSTD_WINDOW_LOG_MAX } from '../limits.ts';
import { KernelMemory } from '../wasm-kernel.ts';
import { type Column, type ColumnHead, invalid } from './delta-format.ts';
import type { Ops } from './delta-ops.ts';
import { FIELD_KIND_MAX, SegmentRebuilder } from './field-kernel.ts';

/**
 * Undoes compression. A result of another length than `bytesMax` is refused; one that would be longer should not be
 * made at all. `dictionary`: old bytes the frame begins with.
 */
export type Decompress = (
  bytes: Uint8Array,
  bytesMax: number,
  dictionary?: Uint8Array,
) => Uint8Array | Promise<Uint8Array>;

/** A column as it lies in the delta. */
export interface EncodedColumn extends ColumnHead {
  readonly bytes: Uint8Array;
}

/** All that makes a segment. Plain data: it may cross to another thread. */
export interface SegmentParts {
  /** As long as the segment; old bytes where the operations copy. Whoever rebuilds the segment does it in here. */
  readonly target: Uint8Array;
  readonly ops: Ops;
  readonly columns: Readonly<Record<Exclude<Column, 'ops'>, EncodedColumn>>;
  /** Old bytes the literals begin with, if they are coded so. */
  readonly dictionary: Uint8Array | undefined;
  readonly targetHash: bigint;
}

let ofThisThread: SegmentRebuilder | undefined;

/** Made when first needed and kept: it holds nothing from one segment to the next. */
function rebuilder(): SegmentRebuilder {
  ofThisThread ??= new SegmentRebuilder(new KernelMemory());
  return ofThisThread;
}

/**
 * Completes `parts.target` and returns it: literals, then corrections, then the comparison with the segment's hash.
 * Throws `RdcError` `delta-invalid` and `target-mismatch`.
 */
export async function rebuildSegment(
  parts: SegmentParts,
  decompress: Decompress = decompressZstd,
): Promise<Uint8Array> {
  const { target, ops, columns, dictionary } = parts;
  const [kinds, gaps, values, literals] = [
    await decodeColumn(columns.kinds, decompress),
    await decodeColumn(columns.gaps, decompress),
    await decodeColumn(columns.values, decompress),
    await decodeColumn(columns.literals, decompress, dictionary),
  ];
  if (kinds.some((kind) => kind > FIELD_KIND_MAX)) throw invalid('a block of a segment has an unknown kind');
  placeLiterals(target, ops, literals);
  if (kinds.length + gaps.length + values.length > 0 && !rebuilder().rebuild(target, ops, { kinds, gaps, values })) {
    throw invalid('the corrections of a segment do not fit its copies');
  }
  if ((await loadDamageDetector())(target) !== parts.targetHash) {
    throw mismatch(
      'a rebuilt segment does not have the hash the delta says; the basis is another or the delta damaged',
    );
  }
  return target;
}

function placeLiterals(target: Uint8Array, ops: Ops, literals: Uint8Array): void {
  let filled = 0;
  let taken = 0;
  for (let index = 0; index < ops.count; index++) {
    const length = ops.lengths[index] as number;
    if ((ops.starts[index] as number) < 0) {
      target.set(literals.subarray(taken, taken + length), filled);
      taken += length;
    }
    filled += length;
  }
}

/** The bytes of a column, as many as it declares. */
export async function decodeColumn(
  column: EncodedColumn,
  decompress: Decompress = decompressZstd,
  dictionary?: Uint8Array,
): Promise<Uint8Array> {
  if (column.coding === 'raw') return column.bytes;
  let raw: Uint8Array;
  try {
    raw = await decompress(column.bytes, column.rawBytes, dictionary);
  } catch (error) {
    throw invalid('a column does not decompress', error);
  }
  if (raw.length !== column.rawBytes) throw invalid(`a column has ${raw.length} bytes, expected ${column.rawBytes}`);
  return raw;
}

function decompressZstd(bytes: Uint8Array, bytesMax: number, dictionary?: Uint8Array): Uint8Array {
  return zstdDecompressSync(bytes, {
    maxOutputLength: bytesMax,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
    ...(dictionary === undefined ? {} : { dictionary }),
  });
}

export function mismatch(state: string): RdcError {
  return new RdcError('target-mismatch', `Cannot apply the delta: ${state}`);
}
