/** Deltas `createDelta` would not write: forged ones, and corrected copies straight from the kernel. */
import { loadDamageDetector } from '../src/chunk/chunk-hash.ts';
import {
  COLUMNS,
  type Column,
  type ColumnHead,
  encodeDeltaHeader,
  encodeDeltaTrailer,
  encodeSegmentHead,
  type SegmentHead,
} from '../src/delta/delta-format.ts';
import { type Ops, OpWriter } from '../src/delta/delta-ops.ts';
import { fieldKernelOn, listPieces, PIECE_WORDS } from '../src/delta/field-kernel.ts';
import { blockDigestsOf, treeHashOf } from '../src/index.ts';
import { FIELD_TABLE_BITS } from '../src/limits.ts';
import { KernelMemory } from '../src/wasm-kernel.ts';
import type { Columns, Piece } from './fields-oracle.ts';
import { randomIntegers, sha256Hex } from './material.ts';

const detectDamage = await loadDamageDetector();
const NOTHING = new Uint8Array(0);

/** What the head of a segment says instead of the truth. */
export interface Claims extends Partial<Omit<SegmentHead, 'columns'>> {
  readonly columns?: Partial<Record<Column, ColumnHead>>;
}

/** A delta of one segment, with whatever its maker wants to claim; columns as they are in the delta. */
export function forge(
  basis: Uint8Array,
  target: Uint8Array,
  columns: Partial<Record<Column, Uint8Array>>,
  claims: Claims = {},
): Buffer {
  const encoded = COLUMNS.map((name) => columns[name] ?? NOTHING);
  const heads = Object.fromEntries(
    COLUMNS.map((name, index) => {
      const { length } = encoded[index] as Uint8Array;
      return [name, { coding: 'raw', rawBytes: length, encodedBytes: length }];
    }),
  ) as Record<Column, ColumnHead>;
  return Buffer.concat([
    encodeDeltaHeader({ basisBytes: basis.length, basisId: treeHashOf(blockDigestsOf(basis), basis.length) }),
    encodeSegmentHead({
      targetBytes: target.length,
      targetHash: detectDamage(target),
      dictionaryStart: 0,
      dictionaryBytes: 0,
      ...claims,
      columns: { ...heads, ...claims.columns },
    }),
    ...encoded,
    encodeDeltaTrailer({ targetBytes: target.length, targetSha256: Buffer.from(sha256Hex(target), 'hex') }),
  ]);
}

/** Operations as a column. */
export function columnOf(ops: Ops): Uint8Array {
  const writer = new OpWriter();
  for (let index = 0; index < ops.count; index++) {
    const start = ops.starts[index] as number;
    if (start < 0) writer.literal(ops.lengths[index] as number);
    else writer.copy(start, ops.lengths[index] as number);
  }
  return Uint8Array.from(writer.finish());
}

/** Operations from `[bytes, start in the basis, or -1 for literals]`. */
export function opsOf(...each: readonly (readonly [bytes: number, start: number])[]): Ops {
  return { count: each.length, lengths: each.map(([bytes]) => bytes), starts: each.map(([, start]) => start) };
}

/** The pieces of all copies, as the kernel is given them. */
export function piecesOfOps(ops: Ops): Piece[] {
  const words = new Uint32Array(PIECE_WORDS * (ops.count + 2 ** 10));
  const count = listPieces(ops, words);
  return Array.from({ length: count }, (_, index) => {
    const [start, bytes, place, distance] = words.subarray(index * PIECE_WORDS) as unknown as [
      number,
      number,
      number,
      number,
    ];
    return { start, bytes, place, distance: distance | 0 };
  });
}

const CORRECTED_BYTES_MAX = 2 ** 17;
const memory = new KernelMemory();
const { kernel, table } = fieldKernelOn(memory);
const expectedRoom = memory.room(CORRECTED_BYTES_MAX);
const actualRoom = memory.room(CORRECTED_BYTES_MAX);
const gapsRoom = memory.room(CORRECTED_BYTES_MAX * 2);
const valuesRoom = memory.room(CORRECTED_BYTES_MAX);

/** What the kernel expects of a segment of at most 128 KiB whose copies are still `old`, and what corrects it. */
export function kernelCorrections(
  old: Uint8Array,
  target: Uint8Array,
  pieces: readonly Piece[],
  kinds: Uint8Array,
): Columns & { readonly expected: Uint8Array } {
  memory.put(expectedRoom, old);
  memory.put(actualRoom, target);
  kernel.forget(table.at, FIELD_TABLE_BITS);
  kernel.beginCorrections(gapsRoom.at, valuesRoom.at);
  for (const { start, bytes, place, distance } of pieces) {
    const expected = expectedRoom.at + start;
    const actual = actualRoom.at + start;
    kernel.expect(kinds[start >> 12] ?? 0, expected, actual, bytes, place, distance);
    kernel.addCorrections(expected, actual, bytes);
  }
  return {
    kinds,
    expected: Uint8Array.from(memory.bytes(expectedRoom, old.length)),
    gaps: Uint8Array.from(memory.bytes(gapsRoom, kernel.gapsEndAt() - gapsRoom.at)),
    values: Uint8Array.from(memory.bytes(valuesRoom, kernel.valuesEndAt() - valuesRoom.at)),
  };
}

/** Bytes full of what looks like fields: opcodes that name places near by, or aligned words that do. */
export function fieldSoup(bytes: number, seed: number): Uint8Array {
  const random = randomIntegers(seed);
  const soup = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at++) soup[at] = random(256);
  const view = new DataView(soup.buffer);
  const openings = [[0xe8], [0xe9], [0x0f, 0x84], [0x48, 0x8d, 0x05], [0x80, 0x3d], [0xc7, 0x05], [0x8b, 0x0d]];
  for (let at = 0; at + 16 < bytes; at += 5 + random(9)) {
    const opening = openings[random(openings.length)] as number[];
    if (random(3) > 0) {
      soup.set(opening, at);
      // Few places, so that they are named again and again; some far, some before the file.
      view.setInt32(at + opening.length, random(40) * 0x123 * (random(9) === 0 ? -0x4001 : 1) - at, true);
    } else view.setUint32(at & ~3, random(30) * 0x77 + (random(2) === 0 ? 0x400000 : 0), true);
    if (random(4) === 0) view.setUint32((at & ~3) + 4, 0, true);
  }
  return soup;
}

/** A corrected segment of `literalBytes` and copies of `basis`, whose fields moved and some of whose bytes changed. */
export interface Corrected extends Columns {
  readonly target: Uint8Array;
  readonly ops: Ops;
  readonly literals: Uint8Array;
  readonly delta: Buffer;
}

export function correctedDelta(basis: Uint8Array, ops: Ops, kinds: Uint8Array, seed: number): Corrected {
  const random = randomIntegers(seed);
  const old = segmentOf(basis, ops, random);
  const target = changed(old, random);
  const { gaps, values } = kernelCorrections(old, target, piecesOfOps(ops), kinds);
  const runs: Uint8Array[] = [];
  let at = 0;
  for (let index = 0; index < ops.count; index++) {
    const end = at + (ops.lengths[index] as number);
    if (ops.starts[index] === -1) runs.push(target.subarray(at, end));
    at = end;
  }
  const literals = Buffer.concat(runs);
  const delta = forge(basis, target, { ops: columnOf(ops), kinds, gaps, values, literals });
  return { target, ops, kinds, gaps, values, literals, delta };
}

/** A segment whose copies are still old, its literals random. */
export function segmentOf(basis: Uint8Array, ops: Ops, random: (bound: number) => number): Uint8Array {
  const parts = ops.lengths.map((bytes, index) => {
    const start = ops.starts[index] as number;
    return start < 0 ? Uint8Array.from({ length: bytes }, () => random(256)) : basis.subarray(start, start + bytes);
  });
  return Uint8Array.from(Buffer.concat(parts));
}

/** Words moved by a few distances, and single bytes changed. */
export function changed(bytes: Uint8Array, random: (bound: number) => number): Uint8Array {
  const target = Uint8Array.from(bytes);
  const view = new DataView(target.buffer);
  const distances = [16, -32, 4096, 0x1000000, -0x1000001];
  for (let at = random(30); at + 4 <= target.length; at += 4 + random(60)) {
    const place = random(2) === 0 ? at : at & ~3;
    view.setInt32(place, view.getInt32(place, true) + (distances[random(distances.length)] as number), true);
  }
  for (let count = random(1 + (target.length >> 5)); count > 0; count--) target[random(target.length)] = random(256);
  return target;
}
