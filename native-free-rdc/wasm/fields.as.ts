// Fields: numbers in copied bytes that name a place, and so change when places move. src/fields/ says what they are for.
//
// Two compilations of one program differ mostly in such numbers: a call keeps its callee, but one of the two has moved.
// Both ends see the old bytes and the copies, so both can learn from each field how far the place it names has moved,
// and expect the same of the next field that names that place or one near it. Only what turns out otherwise is sent.

/** Kinds of block. The predictions of each are part of the delta format: FORMAT.md, "Fields". */
const KIND_CODE: u32 = 1;
const KIND_WORDS: u32 = 2;

/** What follows an x86-64 opcode byte: 0 nothing of interest, 1 rel32, 2 second byte 8x then rel32, 3 to 5 a ModRM
 * byte that may mean [rip + disp32], followed by no, a 1-byte or a 4-byte immediate. Intel SDM vol. 2, appendix A. */
const OPCODES = memory.data<u8>([
  // 0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f
  0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2,
  3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 3, 0, 0, 0, 0, 3, 3, 0, 3, 0, 0, 3, 3,
  0, 0, 0, 3, 0, 0, 0, 0, 3, 3, 3, 3, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 3, 0, 0, 3, 3, 3, 0, 0, 3, 0, 3, 0,
  0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3,
  4, 5, 0, 4, 0, 0, 0, 0, 3, 3, 3, 3, 0, 3, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0, 0, 3,
]);

/** A field that changed by more than this teaches nothing. */
const MOVE_MAX: i32 = 0x1000000;
/** Words below this are counts and flags, not addresses. */
const ADDRESS_MIN: u32 = 0x100;
const RELATIVE_MIN: i32 = 0x1000;
const SALT_RELATIVE: u32 = 0;
const SALT_WIDE: u32 = 0x12345678;
const SALT_NARROW: u32 = 0x3c6ef372;

let table: usize = 0;
let tableShift: u32 = 0;

/** Forgets what was learned. The table has 2^bits slots of 8 bytes: key, how far the place has moved. */
export function forget(at: usize, bits: u32): void {
  table = at;
  tableShift = 32 - bits;
  memory.fill(at, 0xff, <usize>8 << bits);
}

// @ts-ignore: decorator
@inline
function slotOf(key: u32): usize {
  return table + (<usize>((key * 0x9e3779b1) >> tableShift) << 3);
}

let moved: i32 = 0;

// @ts-ignore: decorator
@inline
function recallKey(key: u32): bool {
  const slot = slotOf(key);
  if (load<u32>(slot) != key) return false;
  moved = load<i32>(slot, 4);
  return true;
}

// A place is known exactly, or by its neighbours of the same 64 bytes, 4 KiB, 64 KiB.
// @ts-ignore: decorator
@inline
function key6(place: u32, salt: u32): u32 { return (place >> 6) ^ salt ^ 0x51ed270b; }
// @ts-ignore: decorator
@inline
function key12(place: u32, salt: u32): u32 { return (place >> 12) ^ salt ^ 0x2545f491; }
// @ts-ignore: decorator
@inline
function key16(place: u32, salt: u32): u32 { return (place >> 16) ^ salt ^ 0x7feb352d; }

/** Sets `moved` to how far the place is believed to have moved; false if nothing is known of its neighbourhood. */
// @ts-ignore: decorator
@inline
function recall(place: u32, salt: u32): bool {
  return recallKey(place ^ salt) || recallKey(key6(place, salt)) || recallKey(key12(place, salt)) || recallKey(key16(place, salt));
}

// @ts-ignore: decorator
@inline
function learnKey(key: u32, distance: i32): void {
  const slot = slotOf(key);
  store<u32>(slot, key);
  store<i32>(slot, distance, 4);
}

// @ts-ignore: decorator
@inline
function learn(place: u32, salt: u32, distance: i32): void {
  learnKey(place ^ salt, distance);
  learnKey(key6(place, salt), distance);
  learnKey(key12(place, salt), distance);
  learnKey(key16(place, salt), distance);
}

// @ts-ignore: decorator
@inline
function isSmall(change: i32): bool {
  return change <= MOVE_MAX && change >= -MOVE_MAX;
}

/** Offset from the opcode at `p` to its pc-relative operand in the low 4 bits, bytes behind the operand above; or 0. */
// @ts-ignore: decorator
@inline
function operandOf(p: usize): u32 {
  const kind = <u32>load<u8>(OPCODES + <usize>load<u8>(p));
  if (kind == 0) return 0;
  if (kind == 1) return 1;
  const second = <u32>load<u8>(p, 1);
  if (kind == 2) return (second & 0xf0) == 0x80 ? 2 : 0;
  if ((second & 0xc7) != 0x05) return 0;
  return kind == 3 ? 2 : kind == 4 ? 2 + (1 << 4) : 2 + (4 << 4);
}

// The corrections that turn what is expected into what is; read when a target is rebuilt, written when it is known.
let gaps: usize = 0;
let gapsEnd: usize = 0;
let values: usize = 0;
let valuesEnd: usize = 0;
/** Copied bytes before the next correction. */
let nextGap: u32 = 0;

/** Reads the next gap; false if it is malformed. At the end of the column the next correction is never. */
function readGap(): bool {
  if (gaps == gapsEnd) {
    nextGap = u32.MAX_VALUE;
    return values == valuesEnd;
  }
  if (values == valuesEnd) return false;
  let gap: u32 = 0;
  for (let shift: u32 = 0; shift < 28; shift += 7) {
    if (gaps == gapsEnd) return false;
    const byte = <u32>load<u8>(gaps++);
    gap |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      nextGap = gap;
      return shift == 0 || byte != 0;
    }
  }
  return false;
}

/** Corrects the next `bytes` copied bytes, which lie at `at`. */
// @ts-ignore: decorator
@inline
function correctBytes(at: usize, bytes: u32): bool {
  let left = bytes;
  let p = at;
  while (nextGap < left) {
    p += nextGap;
    left -= nextGap + 1;
    store<u8>(p, load<u8>(p) + load<u8>(values++));
    p++;
    if (!readGap()) return false;
  }
  if (nextGap != u32.MAX_VALUE) nextGap -= left;
  return true;
}

/** While a delta is made: distance from a copied byte to what it became. While a target is rebuilt: 0. */
let toActual: usize = 0;

/** Everything of the running piece before this is corrected. */
let done: u32 = 0;

/** What the field that ends at `end` of the piece became. False if the columns are malformed. */
// @ts-ignore: decorator
@inline
function settle(from: usize, end: u32): bool {
  if (toActual != 0) return true;
  const ok = correctBytes(from + done, end - done);
  done = end;
  return ok;
}

/**
 * Replaces the fields of one piece of a copy by what they are expected to have become, and learns from what they did
 * become. `from` holds the old bytes. While a target is rebuilt they become the new ones, else the expected ones.
 */
function walkPiece(kind: u32, from: usize, bytes: u32, place: u32, distance: i32): bool {
  done = 0;
  if (kind == KIND_CODE) {
    for (let at: u32 = 0; at + 7 < bytes; at++) {
      const operand = operandOf(from + at);
      if (operand == 0) continue;
      const field = at + (operand & 15);
      const old = load<i32>(from + field);
      const named = place + field + 4 + (operand >> 4) + old;
      if (recall(named, SALT_RELATIVE)) store<i32>(from + field, old + moved - distance);
      if (!settle(from, field + 4)) return false;
      const change = load<i32>(from + field + toActual) - old;
      if (isSmall(change)) learn(named, SALT_RELATIVE, change + distance);
      at = field + 3;
    }
  } else if (kind != 0) {
    const isWord = kind == KIND_WORDS;
    for (let at: u32 = (4 - (place & 3)) & 3; at + 8 <= bytes; at += 4) {
      const old = load<i32>(from + at);
      if (isWord ? <u32>old < ADDRESS_MIN : old > -RELATIVE_MIN && old < RELATIVE_MIN) continue;
      const salt = isWord ? (load<i32>(from + at, 4) == 0 ? SALT_WIDE : SALT_NARROW) : SALT_RELATIVE;
      const named = isWord ? <u32>old : place + at + old;
      const origin = isWord ? 0 : distance;
      if (recall(named, salt)) store<i32>(from + at, old + moved - origin);
      if (!settle(from, at + 4)) return false;
      const change = load<i32>(from + at + toActual) - old;
      if (isSmall(change)) learn(named, salt, change + origin);
    }
  }
  return toActual != 0 || correctBytes(from + done, bytes - done);
}

/**
 * Turns the copies of a segment into what they became. `pieces`: `count` times 16 bytes: start in the segment, bytes,
 * place in the basis modulo 2^32, target position − basis position modulo 2^32; a piece lies within one block of
 * 2^blockBits bytes. `kinds`: a byte for each block. False if the columns do not fit what is copied.
 */
export function rebuild(
  segment: usize, pieces: usize, count: u32, kinds: usize, blockBits: u32,
  gapsAt: usize, gapsBytes: u32, valuesAt: usize, valuesBytes: u32,
): bool {
  gaps = gapsAt;
  gapsEnd = gapsAt + gapsBytes;
  values = valuesAt;
  valuesEnd = valuesAt + valuesBytes;
  toActual = 0;
  if (!readGap()) return false;
  for (let i: u32 = 0; i < count; i++) {
    const piece = pieces + (<usize>i << 4);
    const start = load<u32>(piece);
    const kind = <u32>load<u8>(kinds + (start >> blockBits));
    if (!walkPiece(kind, segment + start, load<u32>(piece, 4), load<u32>(piece, 8), load<i32>(piece, 12))) return false;
  }
  return nextGap == u32.MAX_VALUE;
}

/**
 * What the walk would expect of one piece, before corrections: old bytes at `expected` are replaced by it. `actual`:
 * what they became, behind `expected` in memory.
 */
export function expect(kind: u32, expected: usize, actual: usize, bytes: u32, place: u32, distance: i32): void {
  toActual = actual - expected;
  walkPiece(kind, expected, bytes, place, distance);
}

/** Gap in copied bytes since the last correction; runs on from piece to piece. */
let gapSoFar: u32 = 0;
let gapsOut: usize = 0;
let valuesOut: usize = 0;

/** Begins the columns of corrections. A gap is a varint of at most 4 bytes, a value one byte. */
export function beginCorrections(gapsAt: usize, valuesAt: usize): void {
  gapSoFar = 0;
  gapsOut = gapsAt;
  valuesOut = valuesAt;
}

/** Adds the corrections of one piece. */
export function addCorrections(expected: usize, actual: usize, bytes: u32): void {
  let at: u32 = 0;
  while (at < bytes) {
    if (at + 8 <= bytes && load<u64>(expected + at) == load<u64>(actual + at)) {
      at += 8;
      gapSoFar += 8;
      continue;
    }
    const change = load<u8>(actual + at) - load<u8>(expected + at);
    at++;
    if (change == 0) {
      gapSoFar++;
      continue;
    }
    while (gapSoFar >= 0x80) {
      store<u8>(gapsOut++, <u8>(gapSoFar | 0x80));
      gapSoFar >>= 7;
    }
    store<u8>(gapsOut++, <u8>gapSoFar);
    store<u8>(valuesOut++, change);
    gapSoFar = 0;
  }
}

/** Where the column of gaps ends. */
export function gapsEndAt(): usize {
  return gapsOut;
}

/** Where the column of values ends. */
export function valuesEndAt(): usize {
  return valuesOut;
}

/** How many bytes differ. */
export function differing(a: usize, b: usize, bytes: u32): u32 {
  let count: u32 = 0;
  let at: u32 = 0;
  for (; at + 16 <= bytes; at += 16) {
    count += popcnt(i8x16.bitmask(i8x16.ne(v128.load(a + at), v128.load(b + at))));
  }
  for (; at < bytes; at++) count += load<u8>(a + at) != load<u8>(b + at) ? 1 : 0;
  return count;
}
