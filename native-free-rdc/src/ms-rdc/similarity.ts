/**
 * Similarity data, [MS-RDC] 3.1.5.4: sixteen traits of six bits by which a relative of a file is found under any name.
 *
 * Trait k is taken from the least of the keyed hashes of all chunks, so two files agree in it about as often as a chunk
 * of either is a chunk of both. Files without a common chunk agree in one trait of 64 by chance: in 3 or more of 16
 * in one pair of 550, in 5 or more in one of 280,000. It costs 16 MD4 per chunk, about 2 µs.
 */
import { MD4_BYTES, md4Into } from './md4.ts';
import type { MsRdcSignature } from './signature-file.ts';

export const MS_RDC_TRAIT_COUNT = 16;

/** [MS-RDC] 3.1.5.4.1: the byte of a digest that gives the trait, and the bits that stay. */
const TRAIT_BYTE = 7;
const TRAIT_MASK = 0x3f;

/**
 * The 16 traits of a file, a byte of 0 to 63 each, from its signature of level 1, [MS-RDC] 3.1.5.4.1. All of an empty
 * file's are 63, as the algorithm there has it.
 */
export function msRdcTraits(signature: MsRdcSignature): Uint8Array {
  const least = new Uint8Array(MS_RDC_TRAIT_COUNT * MD4_BYTES).fill(0xff);
  const keyedHash = new Uint8Array(MD4_BYTES + 1);
  const digest = new Uint8Array(MD4_BYTES);
  for (let chunk = 0; chunk < signature.chunkCount; chunk++) {
    for (let byte = 0; byte < MD4_BYTES; byte++) {
      keyedHash[byte] = signature.hashes[chunk * MD4_BYTES + byte] as number;
    }
    for (let trait = 0; trait < MS_RDC_TRAIT_COUNT; trait++) {
      keyedHash[MD4_BYTES] = trait + 1;
      md4Into(keyedHash, digest);
      if (isLess(digest, least, trait * MD4_BYTES)) least.set(digest, trait * MD4_BYTES);
    }
  }
  return Uint8Array.from(
    { length: MS_RDC_TRAIT_COUNT },
    (_, trait) => (least[trait * MD4_BYTES + TRAIT_BYTE] as number) & TRAIT_MASK,
  );
}

/**
 * How many traits agree, 0 to 16, [MS-RDC] 3.1.5.4.2; which number makes a seed is for the caller to choose. 0 if
 * either has no trait but zeros, which is how [MS-RDC] 3.1.5.4.1 says that traits were not computed.
 *
 * Throws `RangeError` unless both have 16 traits.
 */
export function msRdcTraitMatchCount(traits: Uint8Array, others: Uint8Array): number {
  let matchCount = 0;
  for (const { length } of [traits, others]) {
    if (length !== MS_RDC_TRAIT_COUNT) {
      throw new RangeError(`Cannot compare similarity: ${length} traits, expected ${MS_RDC_TRAIT_COUNT}`);
    }
  }
  if (!isComputed(traits) || !isComputed(others)) return 0;
  for (let trait = 0; trait < MS_RDC_TRAIT_COUNT; trait++) if (traits[trait] === others[trait]) matchCount++;
  return matchCount;
}

function isComputed(traits: Uint8Array): boolean {
  return traits.some((trait) => trait !== 0);
}

/** Whether `digest` comes before `others[startByte, …)`, byte by byte. */
function isLess(digest: Uint8Array, others: Uint8Array, startByte: number): boolean {
  for (let byte = 0; byte < MD4_BYTES; byte++) {
    const value = digest[byte] as number;
    const other = others[startByte + byte] as number;
    if (value !== other) return value < other;
  }
  return false;
}
