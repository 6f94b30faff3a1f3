/**
 * The frame of every small file we write whole: magic, version, length, body, SHA-256 of all that precedes it. A torn,
 * truncated or altered file is told from a good one before its body is looked at.
 */
import { createHash } from 'node:crypto';
import { ReplicationError } from '../errors.ts';

/** Four ASCII characters, one per kind of file. */
export interface FrameKind {
  readonly magic: string;
  readonly version: number;
  readonly bodyBytesMax: number;
  /** For messages: "manifest", "catalogue record". */
  readonly noun: string;
}

const headBytes = 4 + 4 + 8;
const digestBytes = 32;

export function encodeFrame(kind: FrameKind, body: Uint8Array): Uint8Array {
  if (body.byteLength > kind.bodyBytesMax) {
    throw new ReplicationError(
      'limit-exceeded',
      `Cannot write a ${kind.noun} of ${body.byteLength} bytes: at most ${kind.bodyBytesMax}`,
    );
  }
  const frame = Buffer.alloc(headBytes + body.byteLength + digestBytes);
  frame.write(kind.magic, 0, 4, 'latin1');
  frame.writeUInt32LE(kind.version, 4);
  frame.writeBigUInt64LE(BigInt(body.byteLength), 8);
  frame.set(body, headBytes);
  const digest = createHash('sha256')
    .update(frame.subarray(0, headBytes + body.byteLength))
    .digest();
  frame.set(digest, headBytes + body.byteLength);
  return new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength);
}

/** The body, a view on `bytes`. Throws `format-invalid`, or `limit-exceeded` for a newer version. */
export function decodeFrame(kind: FrameKind, bytes: Uint8Array): Uint8Array {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const invalid = (state: string): ReplicationError =>
    new ReplicationError('format-invalid', `Cannot read a ${kind.noun}: ${state}`);
  if (frame.byteLength < headBytes + digestBytes) throw invalid(`${frame.byteLength} bytes are too few`);
  if (frame.toString('latin1', 0, 4) !== kind.magic) throw invalid('it does not begin with its magic');
  const version = frame.readUInt32LE(4);
  if (version !== kind.version) throw invalid(`it is of version ${version}, this program knows ${kind.version}`);
  const bodyBytes = frame.readBigUInt64LE(8);
  if (bodyBytes !== BigInt(frame.byteLength - headBytes - digestBytes)) throw invalid('its length is not what it says');
  const bodyEnd = frame.byteLength - digestBytes;
  const digest = createHash('sha256').update(frame.subarray(0, bodyEnd)).digest();
  if (!digest.equals(frame.subarray(bodyEnd))) throw invalid('its checksum does not match: it was altered or cut');
  return bytes.subarray(headBytes, bodyEnd);
}
