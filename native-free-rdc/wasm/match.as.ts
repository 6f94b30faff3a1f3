// The matcher of the two-sided diff; src/diff/match-kernel.ts lays out its memory and says what it is for.
//
// A copy goes through mismatches: it is followed while the bytes mostly agree, as bsdiff does (Percival 2003), but its
// seeds come from two hash tables instead of a suffix array, so that time is linear and memory a constant:
// `seeds`, every 16th 16-byte word of the window, finds where a stretch comes from; `near`, every 8-byte word around
// the place where the running copy would go on, finds small shifts. Every buffer has 64 readable bytes behind it.

/** A seed has 16 bytes; a table remembers the last word of each hash. */
const SEED_BYTES: u32 = 16;
/** A copy is left when this many more bytes disagreed than agreed since its best end. */
const SCORE_FALL_MAX: i32 = 48;
/** Backward extension gives up when its score falls this far. */
const SCORE_FALL_BACK_MAX: i32 = 32;
const BACK_BYTES_MAX: u32 = 4096;
/** Below this a copy costs about as much as its literals. */
const COPY_BYTES_MIN: u32 = 24;
const RUNNING_COPY_BYTES_MIN: u32 = 8;
/** What leaping may cost, in words remembered for each byte of the target. */
const NEAR_WORDS_PER_BYTE: i32 = 4;
const PRIME_1: u64 = 0x9e3779b185ebca87;
const PRIME_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME_3: u64 = 0x165667b19e3779f9;

// @ts-ignore: decorator
@inline
function hash16(p: usize): u32 {
  let h = (load<u64>(p) * PRIME_1) ^ (load<u64>(p, 8) * PRIME_2);
  h ^= h >> 29;
  return <u32>((h * PRIME_3) >> 32);
}

// @ts-ignore: decorator
@inline
function hash8(p: usize): u32 {
  return <u32>((load<u64>(p) * PRIME_1) >> 32);
}

// @ts-ignore: decorator
@inline
function sampleHash(p: usize, multiplier: u32): u32 {
  const word = load<u32>(p, 4);
  return (load<u32>(p) ^ (word << 9) ^ (word >> 7)) * multiplier;
}

/** `sampleHash` of p, p + 4, p + 8 and p + 12. */
// @ts-ignore: decorator
@inline
function sampleHashes(p: usize, multipliers: v128): v128 {
  const words = v128.load(p, 4);
  const mixed = v128.xor(v128.load(p), v128.xor(i32x4.shl(words, 9), i32x4.shr_u(words, 7)));
  return i32x4.mul(mixed, multipliers);
}

// @ts-ignore: decorator
@inline
function remember(p: usize, at: u32, entry: usize): void {
  const key = (load<u64>(p) * PRIME_2) ^ (load<u64>(p, 8) * PRIME_3)
    ^ (load<u64>(p, 16) * PRIME_1) ^ (load<u64>(p, 24) * (PRIME_2 ^ PRIME_3));
  store<u32>(entry, <u32>(key >> 32));
  store<u32>(entry, at, 4);
}

/**
 * Samples the places of a block whose next 8 bytes hash to one of the 2^-rateBits least numbers, as signed ones: the
 * same content is sampled wherever it lies, and a run of zeros nowhere. 8 bytes each at `out`: a 32-bit key of the 32
 * bytes there, and the offset. Returns how many. Sixteen places at once: this reads all of a basis and all of a target.
 */
export function anchors(block: usize, bytes: u32, rateBits: u32, multiplier: u32, out: usize, max: u32): u32 {
  let count: u32 = 0;
  if (bytes < 32) return 0;
  const end = bytes - 31;
  const limit = <i32>(0x80000000 + (1 << (32 - rateBits)));
  // Not literals: V8 would make them anew in every turn.
  const multipliers = i32x4.splat(multiplier);
  const limits = i32x4.splat(limit);
  for (let at: u32 = 0; at < end; at += 16) {
    const p = block + at;
    const low = i32x4.min_s(
      i32x4.min_s(sampleHashes(p, multipliers), sampleHashes(p + 1, multipliers)),
      i32x4.min_s(sampleHashes(p + 2, multipliers), sampleHashes(p + 3, multipliers)),
    );
    if (!v128.any_true(i32x4.lt_s(low, limits))) continue;
    for (let place = at, stop = min<u32>(at + 16, end); place < stop; place++) {
      if (<i32>sampleHash(block + place, multiplier) >= limit) continue;
      if (count == max) return count;
      remember(block + place, place, out + (<usize>count << 3));
      count++;
    }
  }
  return count;
}

let T: usize = 0;
let W: usize = 0;
let tBytes: u32 = 0;
let wBytes: u32 = 0;
let seeds: usize = 0;
let seedShift: u32 = 0;
let near: usize = 0;
let nearShift: u32 = 0;
let nearRadius: i32 = 0;
let nearBytesMin: u32 = 0;
/** The near table holds the words of the window that begin in [nearLow, nearHigh), and stale ones. */
let nearLow: i32 = 0;
let nearHigh: i32 = 0;
/** Words that may still be remembered after a leap. */
let nearBudget: i32 = 0;
let ops: usize = 0;
let opCount: u32 = 0;
let opMax: u32 = 0;
let gainMin: i32 = 0;
let debtMax: i32 = 0;
let candidateAt: i32 = 0;
let candidateBytes: u32 = 0;

/** Fills the seed table with every `stride`-th word of the window. A slot is a window position + 1, or 0. */
export function indexWindow(window: usize, windowBytes: u32, table: usize, bits: u32, stride: u32): void {
  memory.fill(table, 0, <usize>4 << bits);
  if (windowBytes < SEED_BYTES) return;
  const last = windowBytes - SEED_BYTES;
  const shift = 32 - bits;
  for (let at: u32 = 0; at <= last; at += stride) {
    store<u32>(table + (<usize>(hash16(window + at) >> shift) << 2), at + 1);
  }
}

// @ts-ignore: decorator
@inline
function rememberNear(at: i32): void {
  const slot = near + (<usize>(hash8(W + at) >> nearShift) << 3);
  store<u32>(slot, load<u32>(slot), 4);
  store<u32>(slot, at + 1);
}

/**
 * Moves the near table over the window so that it covers `nearRadius` to each side of `expected`. False if the budget
 * for that is used up: content that leaps at every step would make it the whole cost.
 */
function moveNear(expected: i32): bool {
  const low = max<i32>(expected - nearRadius, 0);
  const high = min<i32>(expected + nearRadius, <i32>wBytes - 8);
  if (low > high) return false;
  if (low > nearHigh || high < nearLow) {
    if (nearBudget < 0) return false;
    nearLow = low;
    nearHigh = low;
  }
  nearBudget -= max<i32>(high - nearHigh, 0) + max<i32>(nearLow - low, 0);
  while (nearHigh < high) rememberNear(nearHigh++);
  while (nearLow > low) rememberNear(--nearLow);
  return true;
}

/** How many bytes two places have in common, at most `limit`. */
function agreement(a: usize, b: usize, limit: u32): u32 {
  let n: u32 = 0;
  while (n + 8 <= limit) {
    const x = load<u64>(a + n) ^ load<u64>(b + n);
    if (x != 0) return n + <u32>(ctz(x) >> 3);
    n += 8;
  }
  while (n < limit && load<u8>(a + n) == load<u8>(b + n)) n++;
  return n;
}

// @ts-ignore: decorator
@inline
function consider(at: i32, current: i32, target: u32, word: u64, bytesMin: u32): void {
  if (at < 0 || at == current || load<u64>(W + at) != word) return;
  const n = agreement(T + target, W + at, min<u32>(tBytes - target, wBytes - at));
  if (n < bytesMin || n <= candidateBytes) return;
  candidateBytes = n;
  candidateAt = at;
}

/** Sets the candidate to the longest exact match of the tables for `target`, other than at `current`. */
function seek(target: u32, current: i32): u32 {
  candidateBytes = 0;
  if (target + SEED_BYTES > tBytes) return 0;
  const p = T + target;
  const word = load<u64>(p);
  if (nearRadius > 0 && moveNear(current)) {
    const slot = near + (<usize>(hash8(p) >> nearShift) << 3);
    consider(<i32>load<u32>(slot) - 1, current, target, word, nearBytesMin);
    consider(<i32>load<u32>(slot, 4) - 1, current, target, word, nearBytesMin);
  }
  const far = <i32>load<u32>(seeds + (<usize>(hash16(p) >> seedShift) << 2)) - 1;
  consider(far, current, target, word, SEED_BYTES);
  return candidateBytes;
}

function emit(start: u32, end: u32, displacement: i32): void {
  if (opCount == opMax || end <= start) return;
  const op = ops + <usize>opCount * 12;
  store<u32>(op, start);
  store<u32>(op, end - start, 4);
  store<i32>(op, <i32>start + displacement, 8);
  opCount++;
}

// @ts-ignore: decorator
@inline
function agrees(target: u32, displacement: i32): bool {
  return load<u8>(T + target) == load<u8>(W + <usize>(<i32>target + displacement));
}

/** How far down from `target` a copy is worth extending, not below `floor`. */
function reachBack(target: u32, displacement: i32, floor: u32): u32 {
  const at = <u32>(<i32>target + displacement);
  const limit = min<u32>(min<u32>(target - floor, at), BACK_BYTES_MAX);
  let score = 0;
  let best = 0;
  let bestBytes: u32 = 0;
  for (let b: u32 = 1; b <= limit; b++) {
    score += agrees(target - b, displacement) ? 1 : -1;
    if (score > best) {
      best = score;
      bestBytes = b;
    }
    if (score < best - SCORE_FALL_BACK_MAX) break;
  }
  return bestBytes;
}

/** Where two overlapping copies meet so that most bytes agree: the old one up to there, the new one from there. */
function meetingPoint(from: u32, to: u32, oldDisplacement: i32, newDisplacement: i32): u32 {
  let score = 0;
  let best = 0;
  let point = from;
  for (let at = from; at < to; at++) {
    score += (agrees(at, oldDisplacement) ? 1 : 0) - (agrees(at, newDisplacement) ? 1 : 0);
    if (score > best) {
      best = score;
      point = at + 1;
    }
  }
  return point;
}

let followedTo: u32 = 0;
let bestEnd: u32 = 0;

/**
 * Follows a copy from `from` while it mostly agrees. Sets `bestEnd`, where it is worth ending. True if at `followedTo`
 * the candidate was found to be clearly better than going on.
 */
function follow(from: u32, displacement: i32): bool {
  const limit = min<u32>(tBytes, <u32>(<i32>wBytes - displacement));
  let at = from;
  let score = 0;
  let best = 0;
  bestEnd = from;
  while (at < limit) {
    let same: u32 = 0;
    if (at + 8 <= limit) {
      const x = load<u64>(T + at) ^ load<u64>(W + <usize>(<i32>at + displacement));
      same = x == 0 ? 8 : <u32>(ctz(x) >> 3);
    } else if (agrees(at, displacement)) same = 1;
    if (same != 0) {
      score += same;
      at += same;
      if (score >= best) {
        best = score;
        bestEnd = at;
      }
      continue;
    }
    score--;
    at++;
    if (score < best - SCORE_FALL_MAX) return false;
    if (score > best - debtMax) continue;
    const found = seek(at, <i32>at + displacement);
    if (found == 0) continue;
    let kept = 0;
    for (let k = at, end = at + min<u32>(found, limit - at); k < end; k++) kept += agrees(k, displacement) ? 1 : 0;
    if (<i32>found > kept + gainMin) {
      followedTo = at;
      return true;
    }
  }
  return false;
}

/** Sets where the tables lie, and how bold the search is. `radius` 0: no near table. */
export function configure(
  seedTable: usize, seedBits: u32, nearTable: usize, nearBits: u32, radius: i32, bytesMin: u32, gain: i32, debt: i32,
): void {
  seeds = seedTable;
  seedShift = 32 - seedBits;
  near = nearTable;
  nearShift = 32 - nearBits;
  nearRadius = radius;
  nearBytesMin = bytesMin;
  gainMin = gain;
  debtMax = debt;
  nearLow = 0;
  nearHigh = 0;
  memory.fill(nearTable, 0, <usize>8 << nearBits);
}

/**
 * Cuts the target into copies from the window, in order and without overlap. 12 bytes each at `out`: start in the
 * target, bytes, start in the window; what lies between them is literal. Returns how many, at most `max`.
 */
export function match(target: usize, targetBytes: u32, window: usize, windowBytes: u32, out: usize, maxCount: u32): u32 {
  T = target;
  W = window;
  tBytes = targetBytes;
  wBytes = windowBytes;
  ops = out;
  opCount = 0;
  opMax = maxCount;
  nearBudget = <i32>targetBytes * NEAR_WORDS_PER_BYTE;
  let displacement = 0;
  /** Copies have been cut up to here. */
  let done: u32 = 0;
  let at: u32 = 0;
  while (at + SEED_BYTES <= tBytes) {
    const running = <i32>at + displacement;
    const isRunning = running >= 0 && running + <i32>SEED_BYTES <= <i32>wBytes && load<u64>(T + at) == load<u64>(W + running);
    let next = displacement;
    if (!isRunning) {
      if (seek(at, running) == 0) {
        at++;
        continue;
      }
      next = candidateAt - <i32>at;
    }
    let bytesMin = isRunning ? RUNNING_COPY_BYTES_MIN : COPY_BYTES_MIN;
    let start = at - reachBack(at, next, done);
    displacement = next;
    while (follow(at, displacement)) {
      next = candidateAt - <i32>followedTo;
      let end = bestEnd;
      let newStart = followedTo - reachBack(followedTo, next, start);
      if (newStart < end) {
        end = meetingPoint(newStart, end, displacement, next);
        newStart = end;
      }
      emit(start, end, displacement);
      done = max<u32>(done, end);
      start = newStart;
      at = followedTo;
      displacement = next;
      bytesMin = COPY_BYTES_MIN;
    }
    if (bestEnd >= start + bytesMin) {
      emit(start, bestEnd, displacement);
      done = bestEnd;
      at = bestEnd;
    } else at++;
  }
  return opCount;
}
