/**
 * A signature as bytes and back; FORMAT.md describes every byte.
 *
 * The decoder treats its input as hostile: what it allocates is bounded by the length of the input, and whatever it
 * returns satisfies every promise of `Signature`.
 */
import { RdcError } from '../errors.ts';
import { assertLengths, decodeHashes, decodeLengths, encodeHashes, encodeLengths } from './chunk-codec.ts';
import type { Signature } from './signature.ts';
import { frame, type HeaderKind, unframe } from './signature-header.ts';

/** Grows when the layout, the cut rule or the chunk hash changes. */
export const SIGNATURE_FORMAT_VERSION = 2;

const kind: HeaderKind = { magic: 'NFRDCSIG', version: SIGNATURE_FORMAT_VERSION, fault: invalid };

/** The encoded form, freshly allocated: 88 + about 9.5 bytes per chunk. Throws nothing for a well-formed signature. */
export function encodeSignature(signature: Signature): Uint8Array {
  const { chunkCount, hashBytes } = signature;
  const rest = new Uint8Array(chunkCount * hashBytes);
  encodeHashes(signature.chunkHashes, hashBytes, rest);
  return frame(kind, { head: signature, column: encodeLengths(signature.chunkLengths), rest });
}

/**
 * The signature in `encoded`, of which nothing is kept. Throws `RdcError` `signature-invalid` if it is damaged, cut
 * short, followed by anything or of another version, `limit-exceeded` if it is well formed but too large.
 */
export function decodeSignature(encoded: Uint8Array): Signature {
  const { head, column, rest } = unframe(kind, encoded);
  const { chunkCount, hashBytes } = head;
  if (rest.length !== chunkCount * hashBytes) {
    throw invalid(`its hashes have ${rest.length} bytes, expected ${chunkCount * hashBytes}`);
  }
  const chunkLengths = decodeLengths(column, chunkCount, invalid);
  assertLengths(chunkLengths, head, invalid);
  return { ...head, chunkLengths, chunkHashes: decodeHashes(rest, hashBytes) };
}

function invalid(state: string, cause?: unknown): RdcError {
  return new RdcError('signature-invalid', `Cannot read the signature: ${state}`, { cause });
}
