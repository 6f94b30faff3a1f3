// Cut points by local maxima of a 16-bit hash, eight positions to a vector. src/chunk/local-maximum.ts says what is
// computed, in plain TypeScript, and is the oracle of every line here.
//
// The hash of the 32 bytes that end with byte i is made by doubling, H2k(i) = Hk(i) + A2k * Hk(i - k), in 16-bit lanes:
//   w(i)   = b[i - 1] + 256 * b[i]
//   H4(i)  = w(i) * C1 + w(i - 2) * C2,   H8(i)  = H4(i) + A8 * H4(i - 4)
//   H16(i) = H8(i) + A16 * H8(i - 8),     H32(i) = H16(i) + A32 * H16(i - 16)
// Even and odd positions are kept in vectors of their own: both then come from unaligned loads, without a shuffle.
//
// Constants are loaded from memory, not written as v128 literals: V8 makes literals anew in every turn of a loop
// (Node 24 and 26: 3.1 instead of 5.8 GB/s). There is no branch within a block, so time does not depend on the bytes.

/** C1, C2, A8, A16, A32 in all lanes: MULTIPLIERS in src/chunk/local-maximum.ts. */
const MULTIPLIERS: usize = memory.data<u16>([
  0xf81d, 0xf81d, 0xf81d, 0xf81d, 0xf81d, 0xf81d, 0xf81d, 0xf81d,
  0x5325, 0x5325, 0x5325, 0x5325, 0x5325, 0x5325, 0x5325, 0x5325,
  0x6b0b, 0x6b0b, 0x6b0b, 0x6b0b, 0x6b0b, 0x6b0b, 0x6b0b, 0x6b0b,
  0x4c7d, 0x4c7d, 0x4c7d, 0x4c7d, 0x4c7d, 0x4c7d, 0x4c7d, 0x4c7d,
  0x21cd, 0x21cd, 0x21cd, 0x21cd, 0x21cd, 0x21cd, 0x21cd, 0x21cd,
], 16);

/** The even byte of each lane. */
const EVEN_BYTES: usize = memory.data<u16>([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 16);

/** H4 of the eight positions at, at + 2, … at + 14. */
// @ts-ignore: decorator
@inline
function hash4(at: usize, c1: v128, c2: v128): v128 {
  return i16x8.add(i16x8.mul(v128.load(at - 1), c1), i16x8.mul(v128.load(at - 3), c2));
}

/** H8 from the H4 of the vector before and this one: lanes four bytes, two lanes, earlier. */
// @ts-ignore: decorator
@inline
function hash8(before: v128, now: v128, a8: v128): v128 {
  const earlier = i8x16.shuffle(before, now, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27);
  return i16x8.add(now, i16x8.mul(earlier, a8));
}

/** H16 from H8 likewise, eight bytes earlier. */
// @ts-ignore: decorator
@inline
function hash16(before: v128, now: v128, a16: v128): v128 {
  const earlier = i8x16.shuffle(before, now, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23);
  return i16x8.add(now, i16x8.mul(earlier, a16));
}

/** H32 from H16: sixteen bytes earlier is the vector before. */
// @ts-ignore: decorator
@inline
function hash32(before: v128, now: v128, a32: v128): v128 {
  return i16x8.add(now, i16x8.mul(before, a32));
}

/**
 * The greatest hash of each of `count` blocks of 64 positions from `at` on; needs the 35 bytes before `at`. Four vectors
 * to a turn, A to D, by hand: 5 % faster than a loop over them.
 */
function blockMaxima(at: usize, count: u32, into: usize): void {
  const c1 = v128.load(MULTIPLIERS);
  const c2 = v128.load(MULTIPLIERS, 16);
  const a8 = v128.load(MULTIPLIERS, 32);
  const a16 = v128.load(MULTIPLIERS, 48);
  const a32 = v128.load(MULTIPLIERS, 64);
  // Warm up with the two vectors before. Lanes that lack a vector before those are never looked at.
  const e4Z = hash4(at - 32, c1, c2);
  const o4Z = hash4(at - 31, c1, c2);
  let e4 = hash4(at - 16, c1, c2);
  let o4 = hash4(at - 15, c1, c2);
  let e8 = hash8(e4Z, e4, a8);
  let o8 = hash8(o4Z, o4, a8);
  let e16 = hash16(hash8(e4Z, e4Z, a8), e8, a16);
  let o16 = hash16(hash8(o4Z, o4Z, a8), o8, a16);
  const end = at + (<usize>count << 6);
  for (; at < end; at += 64, into += 2) {
    const e4A = hash4(at, c1, c2);
    const o4A = hash4(at + 1, c1, c2);
    const e8A = hash8(e4, e4A, a8);
    const o8A = hash8(o4, o4A, a8);
    const e16A = hash16(e8, e8A, a16);
    const o16A = hash16(o8, o8A, a16);
    const greatestA = i16x8.max_s(hash32(e16, e16A, a32), hash32(o16, o16A, a32));
    const e4B = hash4(at + 16, c1, c2);
    const o4B = hash4(at + 17, c1, c2);
    const e8B = hash8(e4A, e4B, a8);
    const o8B = hash8(o4A, o4B, a8);
    const e16B = hash16(e8A, e8B, a16);
    const o16B = hash16(o8A, o8B, a16);
    const greatestB = i16x8.max_s(hash32(e16A, e16B, a32), hash32(o16A, o16B, a32));
    const e4C = hash4(at + 32, c1, c2);
    const o4C = hash4(at + 33, c1, c2);
    const e8C = hash8(e4B, e4C, a8);
    const o8C = hash8(o4B, o4C, a8);
    const e16C = hash16(e8B, e8C, a16);
    const o16C = hash16(o8B, o8C, a16);
    const greatestC = i16x8.max_s(hash32(e16B, e16C, a32), hash32(o16B, o16C, a32));
    const e4D = hash4(at + 48, c1, c2);
    const o4D = hash4(at + 49, c1, c2);
    const e8D = hash8(e4C, e4D, a8);
    const o8D = hash8(o4C, o4D, a8);
    const e16D = hash16(e8C, e8D, a16);
    const o16D = hash16(o8C, o8D, a16);
    const greatestD = i16x8.max_s(hash32(e16C, e16D, a32), hash32(o16C, o16D, a32));
    e4 = e4D;
    o4 = o4D;
    e8 = e8D;
    o8 = o8D;
    e16 = e16D;
    o16 = o16D;
    let m = i16x8.max_s(i16x8.max_s(greatestA, greatestB), i16x8.max_s(greatestC, greatestD));
    m = i16x8.max_s(m, i8x16.shuffle(m, m, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    m = i16x8.max_s(m, i8x16.shuffle(m, m, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    m = i16x8.max_s(m, i8x16.shuffle(m, m, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    store<i16>(into, i16x8.extract_lane_s(m, 0));
  }
}

/** Which of the 64 positions of the block at `at` have a hash of at least `value`: bit k for position k. */
function atLeast(at: usize, value: i32): u64 {
  const c1 = v128.load(MULTIPLIERS);
  const c2 = v128.load(MULTIPLIERS, 16);
  const a8 = v128.load(MULTIPLIERS, 32);
  const a16 = v128.load(MULTIPLIERS, 48);
  const a32 = v128.load(MULTIPLIERS, 64);
  const even = v128.load(EVEN_BYTES);
  const wanted = i16x8.splat(<i16>value);
  let e4 = hash4(at - 32, c1, c2);
  let o4 = hash4(at - 31, c1, c2);
  // Lanes that lack a vector before are never looked at; H16 is, from the block's first vector on.
  let e8 = hash8(e4, e4, a8);
  let o8 = hash8(o4, o4, a8);
  let e16 = e8;
  let o16 = o8;
  let mask: u64 = 0;
  for (let part: usize = 0; part < 80; part += 16) {
    const e4n = hash4(at + part - 16, c1, c2);
    const o4n = hash4(at + part - 15, c1, c2);
    const e8n = hash8(e4, e4n, a8);
    const o8n = hash8(o4, o4n, a8);
    const e16n = hash16(e8, e8n, a16);
    const o16n = hash16(o8, o8n, a16);
    if (part > 0) {
      const isEven = i16x8.ge_s(hash32(e16, e16n, a32), wanted);
      const isOdd = i16x8.ge_s(hash32(o16, o16n, a32), wanted);
      mask |= <u64>(<u32>i8x16.bitmask(v128.bitselect(isEven, isOdd, even))) << (part - 16);
    }
    e4 = e4n;
    o4 = o4n;
    e8 = e8n;
    o8 = o8n;
    e16 = e16n;
    o16 = o16n;
  }
  return mask;
}

/** The maximum of a block of which only the first `positions` exist; 1 to 63 of them. By bisection: it is rare. */
function partialMaximum(at: usize, positions: u32): i16 {
  const real = ((<u64>1) << positions) - 1;
  let low = -0x8000;
  let high = 0x7fff;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((atLeast(at, middle) & real) != 0) low = middle;
    else high = middle - 1;
  }
  return <i16>low;
}

// @ts-ignore: decorator
@inline
function maximum(maxima: usize, block: i32): i32 {
  return load<i16>(maxima + (<usize>block << 1));
}

/**
 * Of the `count` bytes at `bytes`, the positions in [`start`, `end`) whose hash is greater than all hashes of the
 * `horizon` positions before and not less than any of the `horizon` after, as far as those are among the `count`.
 * Writes position + 1, one u32 each, to `cuts`, and returns how many. `horizon` is a multiple of 64, `maxima` has room
 * for one i16 per 64 bytes, there are 35 bytes to be read before `bytes` and 63 after.
 *
 * A position beaten by one of a block less than a horizon away cannot be a cut, so of all blocks between a candidate
 * and the next greater one none has to be looked at: two visits to a block at most, whatever the bytes.
 */
export function findCuts(
  bytes: usize,
  count: u32,
  start: u32,
  end: u32,
  horizon: u32,
  maxima: usize,
  cuts: usize,
): u32 {
  const wholeBlocks = count >> 6;
  blockMaxima(bytes, wholeBlocks, maxima);
  let blocks = <i32>wholeBlocks;
  if ((count & 63) != 0) {
    store<i16>(maxima + (<usize>blocks << 1), partialMaximum(bytes + (<usize>blocks << 6), count & 63));
    blocks++;
  }
  const reach = <i32>(horizon >> 6);
  const endBlock = <i32>((end + 63) >> 6);
  let found: u32 = 0;
  for (let block = <i32>(start >> 6); block < endBlock; block += reach) {
    // Climb: a greater block less than a horizon ahead beats all of this one.
    let value = maximum(maxima, block);
    let until = min(block + reach, blocks);
    for (let next = block + 1; next < until; next++) {
      const other = maximum(maxima, next);
      if (other > value) {
        value = other;
        block = next;
        until = min(block + reach, blocks);
      }
    }
    if (block >= endBlock) break;
    let isBeaten = false;
    for (let before = max(block - reach + 1, 0); before < block; before++) {
      if (maximum(maxima, before) >= value) {
        isBeaten = true;
        break;
      }
    }
    if (isBeaten) continue;
    const inBlock = <u32>ctz(atLeast(bytes + (<usize>block << 6), value));
    const position = (<u32>block << 6) + inBlock;
    if (position < start || position >= end) continue;
    // The two blocks that are a horizon away lie within it in part: exactly those positions count.
    const left = block - reach;
    if (left >= 0 && maximum(maxima, left) >= value) {
      if (atLeast(bytes + (<usize>left << 6), value) >> inBlock != 0) continue;
    }
    const right = block + reach;
    if (right < blocks && maximum(maxima, right) > value) {
      const last = min(inBlock, count - 1 - (<u32>right << 6));
      if (atLeast(bytes + (<usize>right << 6), value + 1) << (63 - last) != 0) continue;
    }
    store<u32>(cuts + (<usize>found << 2), position + 1);
    found++;
  }
  return found;
}
