/**
 * Makes the payload that leads from one version of a package to another: reads the library, writes records.
 * Memory: a few segments of the diff, whatever the package. See `wire/payload.ts` for the records, `plan.ts` for what
 * the diff is between.
 */
import { type CreateDiffOptions, createDiff } from 'native-free-rdc';
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
import type { ContentStore } from '../store/content-store.ts';
import { ProvenContents, provenBlocks } from '../store/proven-contents.ts';
import { compressJob } from './compression.ts';
import { diffJobsOn } from './diff-jobs.ts';
import { hintsByName } from './hints.ts';
import { mapAhead } from './map-ahead.ts';
import { basisIdOf, type ContentPlan } from './plan.ts';

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
    for await (const bytes of deltaOf(world, store, order)) {
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

async function* deltaOf(
  world: World,
  store: ContentStore,
  { target, plan }: Pick<PayloadOrder, 'target' | 'plan'>,
): AsyncGenerator<Uint8Array> {
  const { basis, wanted } = plan;
  await using reader = new ProvenContents(world.files, store, basis);
  const leaving = new AbortController();
  try {
    const jobs = diffJobsOn(world.threads, leaving.signal);
    yield* createDiff(reader, provenBlocks(world.files, store, wanted), {
      level: 'default',
      jobs: { ...jobs, aheadCount: Math.min(jobs.aheadCount, limits.diffAheadCount) },
      basisId: basisIdOf(basis),
      ...hintsOf(target, plan, reader),
    });
    // A rotten basis makes a delta that nobody can apply. The diff has read all of it in order, to index it or as the
    // one window of a small basis, so that nothing is left to read here: but that is its business, and this is ours.
    await reader.proveRest();
  } finally {
    leaving.abort();
  }
}

/** Nothing for a basis without names: contents of the target that the destination happens to hold. */
function hintsOf(
  target: Manifest,
  { basisManifest, wanted }: ContentPlan,
  reader: ProvenContents,
): Pick<CreateDiffOptions, 'hintsFor'> {
  if (basisManifest === undefined) return {};
  const contents = wanted.map(({ content, bytes }) => [content, bytes] as const);
  return { hintsFor: hintsByName(contents, target, { manifest: basisManifest, starts: reader.starts() }) };
}
