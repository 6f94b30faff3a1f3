/**
 * Makes the payload that leads from one version of a package to another: reads the library, writes records.
 * Memory: a few blocks, whatever the package. See `wire/payload.ts` for the records.
 */
import { createDelta, createSignature } from 'native-free-rdc';
import type { ContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import type { Manifest } from '../../wire/manifest.ts';
import {
  type BatchedContent,
  encodeBatch,
  encodeDeltaHead,
  encodePayloadHead,
  encodePreamble,
  encodeRecord,
  encodeWholeHead,
  type PayloadRecord,
  type RecordKind,
} from '../../wire/payload.ts';
import type { World } from '../../world/world.ts';
import { type ContentStore, readVerified } from '../store/content-store.ts';
import { compressJob } from './compression.ts';
import { mapAhead } from './map-ahead.ts';
import { mechanismsOf, type PlannedContent } from './plan.ts';

export interface PayloadOrder {
  readonly target: Manifest;
  /** The target's manifest as published, and the basis version's when there is one. */
  readonly targetManifestBytes: Uint8Array;
  readonly basisManifestBytes: Uint8Array | undefined;
  readonly basisVersion: number;
  /** See `PayloadHead.variant`. */
  readonly variant: string;
  readonly plan: readonly PlannedContent[];
}

/** A record before it is compressed; `as is` when its bytes are compressed already or too few to bother. */
interface Draft {
  readonly kind: RecordKind;
  readonly bytes: Uint8Array;
  readonly compress: 'as is' | 'plainly' | 'with the old manifest';
}

/** The bytes of the payload, in order. Throws `content-missing` or `content-damaged` when the library lacks something. */
export async function* makePayload(world: World, store: ContentStore, order: PayloadOrder): AsyncGenerator<Uint8Array> {
  yield encodePreamble();
  const records = mapAhead(drafts(world, store, order), limits.compressAheadCount, (draft) =>
    toRecord(world, order, draft),
  );
  for await (const record of records) yield* encodeRecord(record);
}

async function toRecord(world: World, order: PayloadOrder, draft: Draft): Promise<PayloadRecord> {
  const { kind, bytes } = draft;
  if (draft.compress === 'as is') return { kind, coding: 'raw', rawBytes: bytes.byteLength, body: bytes };
  const old = draft.compress === 'with the old manifest' ? order.basisManifestBytes : undefined;
  const dictionary =
    old !== undefined && old.byteLength <= limits.manifestDictionaryBytesMax ? { dictionary: old } : {};
  const { coding, body } = await world.threads.run(compressJob, { bytes, ...dictionary });
  return { kind, coding, rawBytes: bytes.byteLength, body };
}

async function* drafts(world: World, store: ContentStore, order: PayloadOrder): AsyncGenerator<Draft> {
  const { target, plan } = order;
  const head = encodePayloadHead({
    packageId: target.packageId,
    basisVersion: order.basisVersion,
    version: target.version,
    variant: order.variant,
    manifestBytes: order.targetManifestBytes.byteLength,
    mechanisms: mechanismsOf(plan),
  });
  yield { kind: 'head', bytes: head, compress: 'as is' };
  for (const bytes of blocksOf(order.targetManifestBytes))
    yield { kind: 'manifest', bytes, compress: 'with the old manifest' };
  yield* batchDrafts(
    store,
    plan.filter((item) => item.way === 'whole' && item.bytes <= limits.batchedContentBytesMax),
  );
  for (const item of plan) {
    if (item.way === 'delta') yield* deltaDrafts(world, store, item);
    if (item.way === 'whole' && item.bytes > limits.batchedContentBytesMax) yield* wholeDrafts(store, item);
  }
  yield { kind: 'end', bytes: new Uint8Array(0), compress: 'as is' };
}

function* blocksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < bytes.byteLength; offset += limits.payloadBlockBytesMax) {
    yield bytes.subarray(offset, offset + limits.payloadBlockBytesMax);
  }
}

/** Room for the list of a batch in front of its contents: see `encodeBatch`. */
const batchItemHeadBytes = 36;

/** Small contents travel together: one compressed block, not one frame each. */
async function* batchDrafts(store: ContentStore, small: readonly PlannedContent[]): AsyncGenerator<Draft> {
  let items: BatchedContent[] = [];
  let bytes = 0;
  for (const { content, bytes: contentBytes } of small) {
    const cost = contentBytes + batchItemHeadBytes;
    if (bytes + cost > limits.payloadBlockBytesMax || items.length >= limits.payloadBatchContentCountMax) {
      yield { kind: 'batch', bytes: encodeBatch(items), compress: 'plainly' };
      items = [];
      bytes = 0;
    }
    items.push({ content, bytes: await wholeContent(store, content, contentBytes) });
    bytes += cost;
  }
  if (items.length > 0) yield { kind: 'batch', bytes: encodeBatch(items), compress: 'plainly' };
}

async function wholeContent(store: ContentStore, content: ContentId, bytes: number): Promise<Uint8Array> {
  const whole = new Uint8Array(bytes);
  let filled = 0;
  for await (const block of readVerified(store, content)) {
    whole.set(block, filled);
    filled += block.byteLength;
  }
  return whole;
}

async function* wholeDrafts(store: ContentStore, item: PlannedContent): AsyncGenerator<Draft> {
  yield { kind: 'whole', bytes: encodeWholeHead(item), compress: 'as is' };
  let blocks: Uint8Array[] = [];
  const draft = (): Draft => ({
    kind: 'wholeBlock',
    bytes: new Uint8Array(Buffer.concat(blocks)),
    compress: 'plainly',
  });
  for await (const block of readVerified(store, item.content)) {
    blocks.push(block);
    if (blocks.length < limits.payloadBlockBytesMax / limits.blockBytes) continue;
    yield draft();
    blocks = [];
  }
  if (blocks.length > 0) yield draft();
}

async function* deltaDrafts(
  world: World,
  store: ContentStore,
  item: PlannedContent & { way: 'delta' },
): AsyncGenerator<Draft> {
  const basisBytes = store.bytesOf(item.basis) ?? 0;
  const signature = await createSignature(readVerified(store, item.basis), { basisBytes, salt: world.random.bytes(8) });
  yield { kind: 'delta', bytes: encodeDeltaHead(item), compress: 'as is' };
  for await (const part of createDelta(signature, readVerified(store, item.content))) {
    for (const bytes of blocksOf(part)) yield { kind: 'deltaBlock', bytes, compress: 'as is' };
  }
}
