/**
 * msgpack from outside.
 *
 * A 321-byte body of nested array headers makes the decoder allocate until the process dies, and no option of the
 * library prevents it (reliability study §0, findings 1 to 3, measured on Node 24). So every foreign body passes one
 * linear scan first: each declared count must be covered by bytes that are really there, nesting and the number of
 * items are bounded, extension types are refused, nothing may follow the document. What passes costs the decoder
 * memory in proportion to its length.
 */
import { decode, encode } from '@msgpack/msgpack';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';

export interface DecodeBounds {
  /** Values of any kind, containers and keys included. */
  readonly itemCountMax: number;
}

/** Decodes one whole document; `format-invalid` names `what` when the bytes are not one. */
export function decodeForeign(bytes: Uint8Array, what: string, bounds: DecodeBounds): unknown {
  const fault = scan(bytes, bounds.itemCountMax);
  if (fault !== undefined) throw new ReplicationError('format-invalid', `Cannot read ${what}: ${fault}`);
  try {
    return decode(bytes);
  } catch (error) {
    throw new ReplicationError('format-invalid', `Cannot read ${what}: not a msgpack document`, { cause: error });
  }
}

export function encodeOwn(value: unknown): Uint8Array {
  return encode(value, { ignoreUndefined: true });
}

/** Items encoded at once: their plain form is many times as large as their bytes. */
const listSliceCount = 1024;

/**
 * What `encodeOwn({ ...fields, [key]: list })` gives, without all of the list in its plain form at once: `slice` makes the
 * items from `start` to before `end`.
 */
export function encodeWithList(
  fields: Readonly<Record<string, unknown>>,
  key: string,
  list: { readonly count: number; readonly slice: (start: number, end: number) => readonly unknown[] },
): Uint8Array {
  // An empty list is one byte, and the last.
  const parts = [encodeOwn({ ...fields, [key]: [] }).slice(0, -1), listHead(list.count)];
  for (let start = 0; start < list.count; start += listSliceCount) {
    const items = list.slice(start, Math.min(list.count, start + listSliceCount));
    parts.push(encodeOwn(items).subarray(listHead(items.length).length));
  }
  return new Uint8Array(Buffer.concat(parts));
}

function listHead(count: number): Uint8Array {
  if (count < 16) return Uint8Array.of(0x90 + count);
  const head = Buffer.alloc(count < 2 ** 16 ? 3 : 5);
  head[0] = count < 2 ** 16 ? 0xdc : 0xdd;
  head.writeUIntBE(count, 1, head.length - 1);
  return head;
}

/** Bytes of payload after the lead byte's own length field, or a container's item count. */
type Lead =
  | { readonly kind: 'leaf'; readonly headBytes: number; readonly bodyBytes: number }
  | { readonly kind: 'container'; readonly headBytes: number; readonly itemCount: number }
  | { readonly kind: 'refused' };

const refused: Lead = { kind: 'refused' };
const leaf = (headBytes: number, bodyBytes: number): Lead => ({ kind: 'leaf', headBytes, bodyBytes });
const container = (headBytes: number, itemCount: number): Lead => ({ kind: 'container', headBytes, itemCount });

/** What the value at `offset` claims to be. Reads past the end yield NaN, which fails every comparison below. */
function leadAt(view: DataView, offset: number): Lead {
  const u8 = (at: number): number => (at < view.byteLength ? view.getUint8(at) : Number.NaN);
  const u16 = (at: number): number => (at + 2 <= view.byteLength ? view.getUint16(at) : Number.NaN);
  const u32 = (at: number): number => (at + 4 <= view.byteLength ? view.getUint32(at) : Number.NaN);
  const lead = view.getUint8(offset);
  if (lead <= 0x7f || lead >= 0xe0) return leaf(1, 0);
  if (lead <= 0x8f) return container(1, 2 * (lead & 0x0f));
  if (lead <= 0x9f) return container(1, lead & 0x0f);
  if (lead <= 0xbf) return leaf(1, lead & 0x1f);
  switch (lead) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return leaf(1, 0);
    case 0xc4:
    case 0xd9:
      return leaf(2, u8(offset + 1));
    case 0xc5:
    case 0xda:
      return leaf(3, u16(offset + 1));
    case 0xc6:
    case 0xdb:
      return leaf(5, u32(offset + 1));
    case 0xca:
    case 0xce:
    case 0xd2:
      return leaf(1, 4);
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return leaf(1, 8);
    case 0xcc:
    case 0xd0:
      return leaf(1, 1);
    case 0xcd:
    case 0xd1:
      return leaf(1, 2);
    case 0xdc:
      return container(3, u16(offset + 1));
    case 0xdd:
      return container(5, u32(offset + 1));
    case 0xde:
      return container(3, 2 * u16(offset + 1));
    case 0xdf:
      return container(5, 2 * u32(offset + 1));
    default:
      return refused;
  }
}

/** The first fault of the document, or `undefined`. Linear in its length; allocates a stack of bounded depth. */
function scan(bytes: Uint8Array, itemCountMax: number): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Items still to come in each open container, the document itself being the outermost. */
  const openCounts = [1];
  let offset = 0;
  let itemCount = 0;
  while (openCounts.length > 0) {
    const last = openCounts.length - 1;
    const left = openCounts[last] ?? 0;
    if (left === 0) {
      openCounts.pop();
      continue;
    }
    openCounts[last] = left - 1;
    itemCount += 1;
    if (itemCount > itemCountMax) return `it has more than ${itemCountMax} values`;
    if (offset >= view.byteLength) return 'it ends early';
    const lead = leadAt(view, offset);
    if (lead.kind === 'refused') return `it has an extension or reserved type at byte ${offset}`;
    offset += lead.headBytes;
    if (lead.kind === 'leaf') {
      offset += lead.bodyBytes;
      if (!(offset <= view.byteLength)) return 'it ends early';
      continue;
    }
    // Every item needs at least one byte, so a larger count is a lie whatever follows.
    if (!(lead.itemCount <= view.byteLength - offset)) return 'it declares more items than it has bytes';
    if (openCounts.length >= limits.msgpackDepthMax) return `it is nested deeper than ${limits.msgpackDepthMax}`;
    openCounts.push(lead.itemCount);
  }
  return offset === view.byteLength ? undefined : 'bytes follow its end';
}
