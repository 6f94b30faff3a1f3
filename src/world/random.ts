/** Chance: identifiers, salts, jitter. Not for choosing anything that must repeat from run to run. */
import { randomBytes } from 'node:crypto';

export interface Random {
  /** `count` fresh bytes, owned by the caller. The real source is fit for secrets. */
  bytes(count: number): Uint8Array;
}

export function realRandom(): Random {
  return { bytes: (count) => new Uint8Array(randomBytes(count)) };
}

/** `byteCount` random bytes as lower-case hex: names of temporary files, ids of uploads, secrets. */
export function randomHex(random: Random, byteCount: number): string {
  return Buffer.from(random.bytes(byteCount)).toString('hex');
}
