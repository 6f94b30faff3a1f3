/**
 * The gear rolling hash: `hash' = (hash << 1) + GEAR[byte]`, in 32 bits.
 *
 * Guarantees that a hash depends on the last 32 bytes only, since older ones have been shifted out, and that its high
 * bits depend on all of them (the top bit on 32 bytes, bit k on the last k + 1); so decisions look at high bits.
 * Deliberately not an identity: it only chooses where to cut. Source: Xia et al., "Ddelta" (2014) and "FastCDC" (2016).
 */
import { hash } from 'node:crypto';

/** The recipe's label; part of the format, since another table gives other cuts. */
const GEAR_RECIPE = 'native-free-rdc gear 1/';

/** SHA-256 gives eight 32-bit words. */
const WORDS_PER_DIGEST = 8;

/**
 * One 32-bit word per byte value. Word i is the (i mod 8)-th little-endian signed 32-bit word of
 * SHA-256(`native-free-rdc gear 1/` followed by ⌊i / 8⌋ in decimal ASCII): nothing up the sleeve, nothing to copy.
 */
export const GEAR: Int32Array = makeGear();

function makeGear(): Int32Array {
  const gear = new Int32Array(256);
  for (let block = 0; block < gear.length / WORDS_PER_DIGEST; block++) {
    const digest = hash('sha256', `${GEAR_RECIPE}${block}`, 'buffer');
    for (let word = 0; word < WORDS_PER_DIGEST; word++) {
      gear[block * WORDS_PER_DIGEST + word] = digest.readInt32LE(word * 4);
    }
  }
  return gear;
}

/**
 * The bound `b` such that a uniformly distributed *signed* 32-bit hash is below `b` once in `bytesBetween` positions.
 * Signed, because Int32 comparison is what the engine does fastest. `bytesBetween` is an integer of at least 2.
 */
export function cutBound(bytesBetween: number): number {
  return -(2 ** 31) + Math.floor(2 ** 32 / bytesBetween);
}
