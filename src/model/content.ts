/** What a content is called, and which part of it is meant. */
declare const brand: unique symbol;

/** SHA-256 of a whole content, 64 lower-case hex digits. The only identity of bytes anywhere in Siteferry. */
export type ContentId = string & { readonly [brand]: 'ContentId' };

export const contentIdBytes = 32;

/** The identity of no bytes at all: always present everywhere, never stored, never sent. */
export const emptyContentId: ContentId =
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' as ContentId;

export function isContentId(text: string): text is ContentId {
  return /^[0-9a-f]{64}$/.test(text);
}

/** `digest` is a SHA-256 digest of exactly 32 bytes. */
export function contentIdOf(digest: Uint8Array): ContentId {
  if (digest.byteLength !== contentIdBytes)
    throw new RangeError(`A SHA-256 digest has 32 bytes, got ${digest.byteLength}`);
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString('hex') as ContentId;
}

export function digestOf(id: ContentId): Uint8Array {
  return new Uint8Array(Buffer.from(id, 'hex'));
}

/** Half-open: the byte at `endByte` is not included. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}
