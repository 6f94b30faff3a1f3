/**
 * Makes the payload that leads from one version of a package to another: reads the library, writes records.
 * Memory: a few segments of the diff, whatever the package. See `wire/payload.ts` for the records, `plan.ts` for what
 * the diff is between.
 */
import { createDiff, type DiffJobs } from 'native-free-rdc';
import { limits } from '../../model/limits.ts';
import type { Manifest } from '../../wire/manifest.ts';
import {
  encodeContentChoice,
  encodePayloadHead,
  encodePreamble,
  encodeRecord,
  type PayloadRecord,
  type RecordKind,
} from '../../wire/payload.ts';
import type { World } from '../../world/world.ts';
import { type ContentStore, readVerified } from '../store/content-store.ts';
import { JoinedContents } from '../store/joined-contents.ts';
import { compressJob } from './compression.ts';
import { diffJobsOn } from './diff-jobs.ts';
import { mapAhead } from './map-ahead.ts';
import { basisIdOf, type ContentPlan, type SizedContent } from './plan.ts';

export interface PayloadOrder {
  readonly target: Manifest;
  /** The target's manifest as published, and the basis version's when there is one. */
  readonly targetManifestBytes: Uint8Array;
  readonly basisManifestBytes: Uint8Array | undefined;
  readonly basisVersion: number;
  /** See `PayloadHead.variant`. */
  readonly variant: string;
  readonly plan: ContentPlan;
}

/**
 * The bytes of the payload, in order. Throws `content-missing` or `content-damaged` when the library lacks something;
 * what is damaged it forgets, so that the next plan does without.
 */
export async function* makePayload(world: World, store: ContentStore, order: PayloadOrder): AsyncGenerator<Uint8Array> {
  const { target, plan } = order;
  yield encodePreamble();
  const head = encodePayloadHead({
    packageId: target.packageId,
    basisVersion: order.basisVersion,
    version: target.version,
    variant: order.variant,
    manifestBytes: order.targetManifestBytes.byteLength,
    mechanisms: plan.mechanisms,
  });
  yield* encodeRecord(rawRecord('head', head));
  const manifest = mapAhead(blocksOf(order.targetManifestBytes), limits.compressAheadCount, (bytes) =>
    compressed(world, 'manifest', bytes, order.basisManifestBytes),
  );
  for await (const record of manifest) yield* encodeRecord(record);
  yield* encodeRecord(await compressed(world, 'contents', encodeContentChoice(plan.choice)));
  if (plan.wanted.length > 0) {
    for await (const bytes of deltaOf(world, store, plan)) {
      for (const block of blocksOf(bytes)) yield* encodeRecord(rawRecord('deltaBlock', block));
    }
  }
  yield* encodeRecord(rawRecord('end', new Uint8Array(0)));
}

function rawRecord(kind: RecordKind, body: Uint8Array): PayloadRecord {
  return { kind, coding: 'raw', rawBytes: body.byteLength, body };
}

async function compressed(world: World, kind: RecordKind, bytes: Uint8Array, old?: Uint8Array): Promise<PayloadRecord> {
  const isUsable = old !== undefined && old.byteLength <= limits.manifestDictionaryBytesMax;
  const { coding, body } = await world.threads.run(compressJob, { bytes, ...(isUsable ? { dictionary: old } : {}) });
  return { kind, coding, rawBytes: bytes.byteLength, body };
}

function* blocksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < bytes.byteLength; offset += limits.payloadBlockBytesMax) {
    yield bytes.subarray(offset, offset + limits.payloadBlockBytesMax);
  }
}

async function* deltaOf(world: World, store: ContentStore, plan: ContentPlan): AsyncGenerator<Uint8Array> {
  const { basis, wanted } = plan;
  // A rotten basis makes a delta that nobody can apply: better two reads here than two transfers in vain.
  for await (const _block of joined(store, basis));
  await using reader = new JoinedContents(world.files, store, basis);
  const leaving = new AbortController();
  try {
    const jobs = boundedJobs(world, leaving.signal);
    yield* createDiff(reader, joined(store, wanted), { level: 'default', jobs, basisId: basisIdOf(basis) });
  } finally {
    leaving.abort();
  }
}

function boundedJobs({ threads }: World, signal: AbortSignal): DiffJobs {
  const jobs = diffJobsOn(threads, signal);
  return { ...jobs, aheadCount: Math.min(jobs.aheadCount, limits.diffAheadCount) };
}

async function* joined(store: ContentStore, contents: readonly SizedContent[]): AsyncGenerator<Uint8Array> {
  for (const { content } of contents) yield* readVerified(store, content);
}
