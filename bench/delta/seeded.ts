/** Made-up contents: the same bytes for the same seed on every machine. */
import { createCipheriv, createHash } from 'node:crypto';

/** Bytes without any repetition: a keystream of AES, which costs about a second per 2 GB. */
export function randomBytes(count: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(count));
}

/** `pattern` over and over. */
export function repeated(count: number, pattern: Uint8Array): Buffer {
  return Buffer.alloc(count, pattern);
}

/** Words of 16 letters: about half of it is redundant, as in programs and texts. */
export function compressibleBytes(count: number, seed: string): Buffer {
  const bytes = randomBytes(count, seed);
  for (let index = 0; index < count; index += 1) bytes[index] = 97 + ((bytes[index] ?? 0) & 15);
  return bytes;
}

/**
 * The letters a and b in the order of a shift register of 29 bits: every run of 29 letters is found once in 512 Mi
 * letters, yet any 16 are found everywhere. Hard for whoever looks for matches by short seeds.
 */
export function deBruijnLike(count: number, start: number): Buffer {
  const bytes = Buffer.alloc(count);
  let state = (start & 0x1fffffff) | 1;
  for (let index = 0; index < count; index += 1) {
    // x²⁹ + x²⁷ + 1 is primitive: the period is 2²⁹ − 1.
    const bit = ((state >>> 28) ^ (state >>> 26)) & 1;
    state = ((state << 1) | bit) & 0x1fffffff;
    bytes[index] = 97 + bit;
  }
  return bytes;
}

/** Doubled again and again, with one byte in 1,024 changed in each copy: everything resembles everything. */
export function selfSimilar(count: number, seed: string): Buffer {
  const bytes = Buffer.alloc(count);
  const changes = randomBytes(1 << 16, `${seed} changes`);
  const first = randomBytes(Math.min(count, 4096), `${seed} first`);
  first.copy(bytes);
  for (let filled = first.byteLength; filled < count; filled *= 2) {
    bytes.copy(bytes, filled, 0, Math.min(filled, count - filled));
    for (let at = filled; at < Math.min(2 * filled, count); at += 1024) {
      const change = changes.readUInt16LE((at >>> 9) & 0xfffe);
      const place = at + (change & 1023);
      if (place < count) bytes[place] = change >>> 8;
    }
  }
  return bytes;
}
