/**
 * The walk of FORMAT.md, "Fields", once more in plain TypeScript, sentence by sentence: what the kernel has to agree with.
 * It shares neither code nor tables with the kernel; slow where the kernel is fast.
 */

/** A part of a copy that lies within one block; `place` and `distance` are taken modulo 2^32. */
export interface Piece {
  readonly start: number;
  readonly bytes: number;
  readonly place: number;
  readonly distance: number;
}

export interface Columns {
  readonly kinds: Uint8Array;
  readonly gaps: Uint8Array;
  readonly values: Uint8Array;
}

const BLOCK_BYTES = 4096;
const TABLE_SLOTS = 2 ** 16;

const codesOf = (hex: string): ReadonlySet<number> => new Set(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const CALLS = codesOf('e8 e9');
const ADDRESSING = codesOf(
  '03 0b 10 11 23 28 29 2b 2e 2f 33 38 39 3a 3b 54 57 58 59 5c 5e 63 6f 7e 7f 88 89 8a 8b 8d b6 b7 d6 ff',
);
const ADDRESSING_THEN_1 = codesOf('80 83 c6 f6');
const ADDRESSING_THEN_4 = codesOf('81 c7 f7');

/** Where places have moved. */
class Moves {
  readonly #keys = new Uint32Array(TABLE_SLOTS).fill(0xffffffff);
  readonly #moves = new Int32Array(TABLE_SLOTS).fill(-1);

  recall(place: number, salt: number): number | undefined {
    const key = keysOf(place, salt).find((each) => this.#keys[slotOf(each)] === each);
    return key === undefined ? undefined : this.#moves[slotOf(key)];
  }

  learn(place: number, salt: number, move: number): void {
    for (const key of keysOf(place, salt)) {
      this.#keys[slotOf(key)] = key;
      this.#moves[slotOf(key)] = move;
    }
  }
}

function keysOf(place: number, salt: number): number[] {
  return [place, (place >>> 6) ^ 0x51ed270b, (place >>> 12) ^ 0x2545f491, (place >>> 16) ^ 0x7feb352d].map(
    (key) => (key ^ salt) >>> 0,
  );
}

function slotOf(key: number): number {
  return Math.imul(key, 0x9e3779b1) >>> 16;
}

interface Field {
  readonly at: number;
  readonly named: number;
  readonly salt: number;
  readonly origin: number;
}

/** The fields of a piece, found in its old bytes: those behind the field before are still old when it is looked for. */
function* fieldsOf(bytes: Uint8Array, piece: Piece, kind: number): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (kind === 1) {
    for (let at = 0; at <= bytes.length - 8; ) {
      const found = operandAt(bytes, at);
      if (found === undefined) {
        at++;
        continue;
      }
      const field = at + found.skip;
      const named = (piece.place + field + 4 + found.behind + view.getInt32(field, true)) >>> 0;
      yield { at: field, named, salt: 0, origin: piece.distance };
      at = field + 4;
    }
  } else if (kind === 2 || kind === 3) {
    for (let at = 0; at <= bytes.length - 8; at++) {
      if ((piece.place + at) % 4 !== 0) continue;
      const word = view.getUint32(at, true);
      if (kind === 2) {
        const salt = view.getUint32(at + 4, true) === 0 ? 0x12345678 : 0x3c6ef372;
        if (word >= 0x100) yield { at, named: word, salt, origin: 0 };
      } else if (Math.abs(word | 0) >= 0x1000) {
        yield { at, named: (piece.place + at + word) >>> 0, salt: 0, origin: piece.distance };
      }
    }
  }
}

/** Bytes from an opcode to its operand, and bytes of the instruction behind it. */
function operandAt(bytes: Uint8Array, at: number): { readonly skip: number; readonly behind: number } | undefined {
  const opcode = bytes[at] as number;
  const second = bytes[at + 1] as number;
  if (CALLS.has(opcode)) return { skip: 1, behind: 0 };
  if (opcode === 0x0f) return second >> 4 === 8 ? { skip: 2, behind: 0 } : undefined;
  if ((second & 0xc7) !== 5) return undefined;
  if (ADDRESSING.has(opcode)) return { skip: 2, behind: 0 };
  if (ADDRESSING_THEN_1.has(opcode)) return { skip: 2, behind: 1 };
  return ADDRESSING_THEN_4.has(opcode) ? { skip: 2, behind: 4 } : undefined;
}

/** `settle(at)` makes everything before `at` what it became and lends the bytes that tell. */
function walk(
  segment: Uint8Array,
  pieces: readonly Piece[],
  kinds: Uint8Array,
  settle: (piece: Piece, end: number) => Uint8Array,
): void {
  const moves = new Moves();
  for (const piece of pieces) {
    const bytes = segment.subarray(piece.start, piece.start + piece.bytes);
    const old = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const { at, named, salt, origin } of fieldsOf(
      bytes,
      piece,
      kinds[Math.floor(piece.start / BLOCK_BYTES)] ?? 0,
    )) {
      const before = old.getInt32(at, true);
      const move = moves.recall(named, salt);
      if (move !== undefined) old.setInt32(at, (before + move - origin) | 0, true);
      const become = settle(piece, at + 4).subarray(piece.start + at, piece.start + at + 4);
      const change = (Buffer.from(become).readInt32LE(0) - before) | 0;
      if (Math.abs(change) <= 0x1000000) moves.learn(named, salt, (change + origin) | 0);
    }
    settle(piece, piece.bytes);
  }
}

/** The old bytes of a segment replaced by what they are expected to be, if they become `target`. */
export function plainExpected(
  old: Uint8Array,
  target: Uint8Array,
  pieces: readonly Piece[],
  kinds: Uint8Array,
): Uint8Array {
  const expected = Uint8Array.from(old);
  walk(expected, pieces, kinds, () => target);
  return expected;
}

/** The corrections of all pieces, as their two columns. */
export function plainCorrections(
  expected: Uint8Array,
  target: Uint8Array,
  pieces: readonly Piece[],
): Omit<Columns, 'kinds'> {
  const gaps: number[] = [];
  const values: number[] = [];
  let gap = 0;
  for (const { start, bytes } of pieces) {
    for (let at = start; at < start + bytes; at++) {
      const change = ((target[at] as number) - (expected[at] as number)) & 0xff;
      if (change === 0) gap++;
      else {
        for (; gap >= 0x80; gap >>>= 7) gaps.push((gap & 0x7f) | 0x80);
        gaps.push(gap);
        values.push(change);
        gap = 0;
      }
    }
  }
  return { gaps: Uint8Array.from(gaps), values: Uint8Array.from(values) };
}

/** What the old bytes become, or undefined if the columns do not fit. */
export function plainRebuilt(
  old: Uint8Array,
  pieces: readonly Piece[],
  { kinds, gaps, values }: Columns,
): Uint8Array | undefined {
  const places = placesOf(gaps);
  if (places === undefined || places.length !== values.length) return undefined;
  const copiedBytes = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  if (places.length > 0 && (places.at(-1) as number) >= copiedBytes) return undefined;
  const rebuilt = Uint8Array.from(old);
  let corrected = 0;
  let copiedBefore = 0;
  let current = pieces[0];
  walk(rebuilt, pieces, kinds, (piece, end) => {
    if (piece !== current) copiedBefore += (current as Piece).bytes;
    current = piece;
    for (; corrected < places.length && (places[corrected] as number) < copiedBefore + end; corrected++) {
      const at = piece.start + (places[corrected] as number) - copiedBefore;
      rebuilt[at] = (rebuilt[at] as number) + (values[corrected] as number);
    }
    return rebuilt;
  });
  return rebuilt;
}

/** Gaps as places among the copied bytes; undefined if one is malformed. */
function placesOf(gaps: Uint8Array): number[] | undefined {
  const places: number[] = [];
  let next = 0;
  for (let at = 0; at < gaps.length; ) {
    const length = gaps.subarray(at).findIndex((byte) => byte < 0x80) + 1;
    if (length === 0 || length > 4 || (length > 1 && gaps[at + length - 1] === 0)) return undefined;
    for (let index = 0; index < length; index++) next += ((gaps[at + index] as number) & 0x7f) * 0x80 ** index;
    places.push(next++);
    at += length;
  }
  return places;
}
