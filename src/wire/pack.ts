/**
 * Pack segments: many small contents in one file. A segment is written once, sealed and never changed; each item names
 * its own SHA-256, so the index in the database can always be made anew by reading the segments.
 */
import { ReplicationError } from '../errors.ts';
import { type ContentId, contentIdBytes, contentIdOf, digestOf } from '../model/content.ts';
import { limits } from '../model/limits.ts';

const magic = 'SFPK';
const formatVersion = 1;

export const packPreambleBytes = 8;
export const packItemHeadBytes: number = contentIdBytes + 4;

export function encodePackPreamble(): Uint8Array {
  const preamble = Buffer.alloc(packPreambleBytes);
  preamble.write(magic, 0, 'latin1');
  preamble.writeUInt32LE(formatVersion, 4);
  return preamble;
}

export function isPackPreamble(bytes: Uint8Array): boolean {
  return Buffer.from(bytes).equals(encodePackPreamble());
}

export interface PackItemHead {
  readonly content: ContentId;
  readonly bytes: number;
}

export function encodePackItemHead(item: PackItemHead): Uint8Array {
  const head = Buffer.alloc(packItemHeadBytes);
  head.set(digestOf(item.content), 0);
  head.writeUInt32LE(item.bytes, contentIdBytes);
  return head;
}

/** Throws `format-invalid` when the length cannot be that of a packed content: the rest of the segment is lost then. */
export function decodePackItemHead(head: Uint8Array): PackItemHead {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const bytes = view.getUint32(contentIdBytes, true);
  if (bytes < 1 || bytes > limits.packedContentBytesMax) {
    throw new ReplicationError('format-invalid', `Cannot read a pack segment: an item claims ${bytes} bytes`);
  }
  return { content: contentIdOf(head.subarray(0, contentIdBytes)), bytes };
}
