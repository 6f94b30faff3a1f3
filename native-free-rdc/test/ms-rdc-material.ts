/** For the tests of [MS-RDC]: its vector, what its specification says, slowly, as oracle, and what applications do. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  type MsRdcNeed,
  type MsRdcParameters,
  type MsRdcSignature,
  MsRdcSigner,
  RdcError,
  type RdcErrorCode,
  readMsRdcSignature,
} from '../src/index.ts';
import { H3_TABLE, h3ShiftBits } from '../src/ms-rdc/h3.ts';
import { basisArbitrary, pseudoRandom } from './material.ts';

/** The input of [MS-RDC] 4.5: the text of RFC 1320 with its line endings of 1992. */
export const vectorFile: Buffer = readFileSync(join(import.meta.dirname, 'vectors/rfc1320.txt'));
export const vectorParameters: MsRdcParameters = { windowBytes: 16, horizonBytes: 512 };

/** [MS-RDC] 4.5: length and MD4 of each chunk. */
export const vectorChunks: readonly (readonly [number, string])[] = [
  [3108, '1d6406ded92381dc22cc36b8899b9fdd'],
  [2249, '919c5d8510ff6387340a61f87b4a3956'],
  [6190, 'b4485ec7719b17df2543a2f711ce6eff'],
  [17389, '3e752ed7d8f7d7c17fee487b2491a3e0'],
  [1301, '1ac5c13f71f575ea8f332465baba2cb0'],
  [3290, 'a74b42809f62ed2aa022592b2bbf222c'],
];

/** [MS-RDC] 4.6. */
export const vectorTraits = '2a383a37090b3b013e2627292a011439';

/** Few different hashes, so that maxima are equal or near one another. */
const dullArbitrary = fc
  .tuple(fc.nat(8000), fc.integer(), fc.integer({ min: 1, max: 3 }))
  .map(([bytes, seed, mask]) => pseudoRandom(bytes, seed).map((byte) => byte & mask));

export const contentArbitrary: fc.Arbitrary<Uint8Array> = fc.oneof(basisArbitrary, dullArbitrary);

export const parametersArbitrary: fc.Arbitrary<MsRdcParameters> = fc.record({
  windowBytes: fc.integer({ min: 2, max: 96 }),
  horizonBytes: fc.oneof(fc.integer({ min: 128, max: 260 }), fc.integer({ min: 128, max: 2048 })),
});

/** The recurrence of [MS-RDC] 3.1.5.1.1: the hash that ends at each byte, unsigned. */
export function h3Of(bytes: Uint8Array, windowBytes: number): number[] {
  const shiftBits = h3ShiftBits(windowBytes);
  let hash = 0;
  return Array.from(bytes, (byte, index) => {
    hash = rotated(hash ^ tableWord(bytes[index - windowBytes] ?? 0) ^ tableWord(byte), shiftBits);
    return hash;
  });
}

/** A hash from the bytes of its window alone, whatever was before: 3.1.5.1.1 solved for one position. */
export function h3Closed(bytes: Uint8Array, windowBytes: number, position: number): number {
  const shiftBits = h3ShiftBits(windowBytes);
  let hash = 0;
  for (let back = 0; back < windowBytes; back++) {
    const turns = (shiftBits * (back + 1)) % 32;
    // A window of zeros left and never came in.
    hash ^= rotated(tableWord(bytes[position - back] ?? 0), turns) ^ rotated(tableWord(0), turns);
  }
  return hash >>> 0;
}

/** The recursive definition of [MS-RDC] 3.1.5.1.2: where chunks start, 0 aside. */
export function startsOf(bytes: Uint8Array, { windowBytes, horizonBytes }: MsRdcParameters): number[] {
  const hashes = h3Of(bytes, windowBytes);
  const isLocalMaximum = (position: number) => {
    if (position <= horizonBytes) return false;
    const end = Math.min(bytes.length - 1, position + horizonBytes);
    for (let other = position - horizonBytes; other <= end; other++) {
      if (other !== position && (hashes[other] as number) >= (hashes[position] as number)) return false;
    }
    return true;
  };
  const starts: number[] = [];
  let latest = 0;
  for (let position = 1; position < bytes.length; position++) {
    if (!isLocalMaximum(position) && position !== latest + 65_535) continue;
    starts.push(position);
    latest = position;
  }
  return starts;
}

export function signatureOf(bytes: Uint8Array, parameters: MsRdcParameters): Buffer {
  const signer = new MsRdcSigner(parameters);
  return Buffer.concat([signer.push(bytes), signer.finish()]);
}

/** The smallest chunks of files and of signatures. */
export const tiny: MsRdcParameters = { windowBytes: 16, horizonBytes: 128 };

export function readSigned(bytes: Uint8Array, parameters: MsRdcParameters = tiny): MsRdcSignature {
  return readMsRdcSignature(signatureOf(bytes, parameters), { fileBytes: bytes.length });
}

export function throwsCode(run: () => unknown, code: RdcErrorCode, where = ''): void {
  assert.throws(run, (error) => error instanceof RdcError && error.code === code, where);
}

/** What an application does with needs. */
export function rebuild(needs: Iterable<MsRdcNeed>, source: Uint8Array, seeds: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    Array.from(needs, (need) => {
      const file = need.from === 'source' ? source : seeds[need.seed];
      assert.ok(file !== undefined && need.length > 0 && need.offset + need.length <= file.length);
      return file.subarray(need.offset, need.offset + need.length);
    }),
  );
}

export function sourceBytesOf(needs: readonly MsRdcNeed[]): number {
  return needs.reduce((bytes, need) => bytes + (need.from === 'source' ? need.length : 0), 0);
}

/** Copies of the pieces, overwritten after their turn: it shows if anything of them was kept. */
export function* spoilt(pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const piece of pieces) {
    const copy = Uint8Array.from(piece);
    yield copy;
    copy.fill(0xa5);
  }
}

function tableWord(byte: number): number {
  return H3_TABLE[byte] as number;
}

function rotated(word: number, bits: number): number {
  return ((word << bits) | (word >>> (32 - bits))) >>> 0;
}
