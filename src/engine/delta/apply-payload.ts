/**
 * Applies a payload: reads its records, puts verified contents into the library, publishes the version.
 *
 * Every byte is hostile until its SHA-256 says otherwise. Contents are committed as the work proceeds, so a kill costs
 * at most `despoolCommitBytes` of work and no transfer; the version becomes visible by one rename at the very end, when
 * everything it names is in the library.
 */
import { ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import { siteCodeOf } from '../../model/package.ts';
import { contentsOf, decodeManifest, type Manifest } from '../../wire/manifest.ts';
import { decodeContentChoice, decodePayloadHead, type PayloadHead, type PayloadRecord } from '../../wire/payload.ts';
import type { World } from '../../world/world.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ContentStore } from '../store/content-store.ts';
import { applyDiff } from './apply-diff.ts';
import { decompressJob } from './compression.ts';
import { type ContentPlan, chosenContents } from './plan.ts';
import { RecordCursor } from './record-cursor.ts';

export interface AppliedPayload {
  readonly head: PayloadHead;
  readonly manifest: Manifest;
}

export interface ApplyParts {
  readonly world: World;
  readonly store: ContentStore;
  readonly catalog: Catalog;
  /** Who we are: nobody may send us versions of our own packages. */
  readonly identity: { readonly name: string };
}

/**
 * Applies the payload in `source`. Throws `payload-invalid`, `manifest-invalid`, `delta-invalid`, `basis-mismatch`,
 * `content-damaged` or `content-missing`, all of them with the verdict `elsewhere`: nothing visible has changed and
 * another payload is needed. Idempotent.
 */
export async function applyPayload(
  parts: ApplyParts,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<AppliedPayload> {
  const cursor = new RecordCursor(source, signal);
  const head = decodePayloadHead((await cursor.expect('head')).body);
  if (siteCodeOf(head.packageId) === parts.identity.name) {
    throw new ReplicationError(
      'payload-invalid',
      `Cannot apply a payload: versions of ${head.packageId} are made here, not received`,
    );
  }
  const manifestBytes = await readManifest(parts, cursor, head);
  const manifest = decodeManifest(manifestBytes);
  if (manifest.packageId !== head.packageId || manifest.version !== head.version) {
    throw new ReplicationError(
      'payload-invalid',
      `Cannot apply a payload: its manifest is of ${manifest.packageId} version ${manifest.version}`,
    );
  }
  await refuseTooLarge(parts, manifest);
  const contents = await readChoice(parts, cursor, head, manifest);
  await using ingest = parts.store.ingest();
  await applyDiff({ ...parts, cursor, ingest }, contents);
  await cursor.finish();
  await ingest.commit();
  const missing = await parts.store.findLost(contentsOf(manifest));
  if (missing.length > 0) {
    throw new ReplicationError(
      'content-missing',
      `Cannot install version ${head.version} of ${head.packageId}: ${missing.length} contents are neither here nor in the payload`,
    );
  }
  await parts.catalog.publishVersion(manifest, manifestBytes);
  return { head, manifest };
}

/** A small payload may unpack to much: the room is looked for before the first content is written. */
async function refuseTooLarge({ world, store }: ApplyParts, manifest: Manifest): Promise<void> {
  let neededBytes: number = limits.freeBytesMin;
  for (const [content, bytes] of contentsOf(manifest)) if (!store.has(content)) neededBytes += bytes;
  const freeBytes = await world.files.freeBytes(store.publishPlace.staging);
  if (freeBytes >= neededBytes) return;
  throw new ReplicationError(
    'disk-full',
    `Cannot install version ${manifest.version} of ${manifest.packageId}: ${neededBytes} bytes are needed, ${freeBytes} are free`,
  );
}

async function readManifest(parts: ApplyParts, cursor: RecordCursor, head: PayloadHead): Promise<Uint8Array> {
  const bytes = new Uint8Array(head.manifestBytes);
  const basis = parts.catalog.versions(head.packageId).includes(head.basisVersion)
    ? await parts.catalog.manifestBytes(head.packageId, head.basisVersion)
    : undefined;
  for (let filled = 0; filled < bytes.byteLength; ) {
    const record = await cursor.expect('manifest');
    if (record.coding === 'dictionary' && basis === undefined) {
      throw new ReplicationError(
        'basis-mismatch',
        `Cannot apply a payload: version ${head.basisVersion} of ${head.packageId} is not here`,
      );
    }
    const raw = await rawBody(parts.world, record, basis);
    if (raw.byteLength === 0 || filled + raw.byteLength > bytes.byteLength) {
      throw new ReplicationError('payload-invalid', 'Cannot apply a payload: its manifest is not as long as announced');
    }
    bytes.set(raw, filled);
    filled += raw.byteLength;
  }
  return bytes;
}

/** What the delta is between, by the manifests: nothing else can be asked for or carried. */
async function readChoice(
  { world, catalog }: ApplyParts,
  cursor: RecordCursor,
  head: PayloadHead,
  manifest: Manifest,
): Promise<Pick<ContentPlan, 'basis' | 'wanted'>> {
  const choice = decodeContentChoice(await rawBody(world, await cursor.expect('contents')));
  const isHere = catalog.versions(head.packageId).includes(head.basisVersion);
  const basis = isHere ? await catalog.manifest(head.packageId, head.basisVersion) : undefined;
  const contents = chosenContents(manifest, basis, choice);
  if (contents !== undefined) return contents;
  throw new ReplicationError(
    'basis-mismatch',
    `Cannot apply a payload: it was made for another version ${head.basisVersion} of ${head.packageId} than is here`,
  );
}

async function rawBody(world: World, record: PayloadRecord, dictionary?: Uint8Array): Promise<Uint8Array> {
  if (record.coding === 'raw') return record.body;
  const { body, rawBytes } = record;
  const withDictionary = record.coding === 'dictionary' && dictionary !== undefined ? { dictionary } : {};
  const input = { body, rawBytes, ...withDictionary };
  // A MiB takes 2 ms, a thread that would do it 25 MiB of memory for as long as the process lives.
  return rawBytes <= limits.blockBytes ? decompressJob.run(input) : await world.threads.run(decompressJob, input);
}
