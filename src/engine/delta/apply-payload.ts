/**
 * Applies a payload: reads its records, puts verified contents into the library, publishes the version.
 *
 * Every byte is hostile until its SHA-256 says otherwise. Contents are committed as the work proceeds, so a kill costs
 * at most `despoolCommitBytes` of work and no transfer; the version becomes visible by one rename at the very end, when
 * everything it names is in the library.
 */
import { applyDelta, RdcError } from 'native-free-rdc';
import { ReplicationError } from '../../errors.ts';
import { type ContentId, emptyContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import { siteCodeOf } from '../../model/package.ts';
import { contentsOf, decodeManifest, type Manifest } from '../../wire/manifest.ts';
import {
  decodeBatch,
  decodeDeltaHead,
  decodePayloadHead,
  decodeWholeHead,
  type PayloadHead,
  type PayloadRecord,
  payloadRecords,
  type RecordKind,
  type WholeHead,
} from '../../wire/payload.ts';
import type { World } from '../../world/world.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { Ingest } from '../store/ingest.ts';
import { decompressJob } from './compression.ts';
import { mapAhead } from './map-ahead.ts';

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
  const cursor = new RecordCursor(payloadRecords(source), signal);
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
  await using ingest = parts.store.ingest();
  await new ContentApplier(parts, cursor, ingest, contentsOf(manifest)).run();
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

async function rawBody(world: World, record: PayloadRecord, dictionary?: Uint8Array): Promise<Uint8Array> {
  if (record.coding === 'raw') return record.body;
  const { body, rawBytes } = record;
  const withDictionary = record.coding === 'dictionary' && dictionary !== undefined ? { dictionary } : {};
  return await world.threads.run(decompressJob, { body, rawBytes, ...withDictionary });
}

/** The records one by one, with a look at the next. */
class RecordCursor {
  readonly #records: AsyncIterator<PayloadRecord>;
  readonly #signal: AbortSignal;
  #peeked: PayloadRecord | undefined;

  constructor(records: AsyncIterable<PayloadRecord>, signal: AbortSignal) {
    this.#records = records[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  async peek(): Promise<PayloadRecord> {
    this.#signal.throwIfAborted();
    if (this.#peeked !== undefined) return this.#peeked;
    const next = await this.#records.next();
    if (next.done === true) throw new ReplicationError('payload-invalid', 'Cannot apply a payload: it ends early');
    this.#peeked = next.value;
    return next.value;
  }

  async next(): Promise<PayloadRecord> {
    const record = await this.peek();
    this.#peeked = undefined;
    return record;
  }

  async expect(kind: RecordKind): Promise<PayloadRecord> {
    const record = await this.next();
    if (record.kind === kind) return record;
    throw new ReplicationError(
      'payload-invalid',
      `Cannot apply a payload: a ${record.kind} record stands where a ${kind} belongs`,
    );
  }

  /** Successive records of one kind. */
  async *while(kind: RecordKind): AsyncGenerator<PayloadRecord> {
    while ((await this.peek()).kind === kind) yield await this.next();
  }

  /** Reads through to the end of the stream, so that its checks are made. */
  async finish(): Promise<void> {
    if ((await this.#records.next()).done !== true)
      throw new ReplicationError('payload-invalid', 'Cannot apply a payload: records follow its end');
  }
}

class ContentApplier {
  readonly #parts: ApplyParts;
  readonly #cursor: RecordCursor;
  readonly #ingest: Ingest;
  readonly #wanted: ReadonlyMap<ContentId, number>;

  constructor(parts: ApplyParts, cursor: RecordCursor, ingest: Ingest, wanted: ReadonlyMap<ContentId, number>) {
    this.#parts = parts;
    this.#cursor = cursor;
    this.#ingest = ingest;
    this.#wanted = wanted;
  }

  async run(): Promise<void> {
    for (;;) {
      const record = await this.#cursor.next();
      if (record.kind === 'end') return await this.#cursor.finish();
      if (record.kind === 'batch') await this.#batch(record);
      else if (record.kind === 'whole') await this.#whole(decodeWholeHead(record.body));
      else if (record.kind === 'delta') await this.#delta(record);
      else
        throw new ReplicationError('payload-invalid', `Cannot apply a payload: a ${record.kind} record stands alone`);
      if (this.#ingest.stagedBytes >= limits.despoolCommitBytes) await this.#ingest.commit();
    }
  }

  /** A payload may carry only what its manifest names: nothing else is worth the disk. */
  #checkWanted({ content, bytes }: WholeHead): void {
    if (this.#wanted.get(content) === bytes) return;
    throw new ReplicationError(
      'payload-invalid',
      `Cannot apply a payload: it carries content ${content}, which its manifest does not name so`,
    );
  }

  async #batch(record: PayloadRecord): Promise<void> {
    for (const item of decodeBatch(await rawBody(this.#parts.world, record))) {
      this.#checkWanted({ content: item.content, bytes: item.bytes.byteLength });
      await this.#ingest.addBytes(item.bytes, item.content);
    }
  }

  async #whole(head: WholeHead): Promise<void> {
    this.#checkWanted(head);
    const isKnown = this.#ingest.has(head.content);
    const blocks = this.#cursor.while('wholeBlock');
    if (isKnown) return await drain(blocks);
    const raw = mapAhead(blocks, limits.compressAheadCount, (block) => rawBody(this.#parts.world, block));
    await this.#ingest.add(raw, head);
  }

  async #delta(record: PayloadRecord): Promise<void> {
    const head = decodeDeltaHead(record.body);
    this.#checkWanted(head);
    const blocks = this.#cursor.while('deltaBlock');
    if (this.#ingest.has(head.content)) return await drain(blocks);
    if (!this.#parts.store.has(head.basis) || head.basis === emptyContentId) {
      throw new ReplicationError('basis-mismatch', `Cannot apply a delta: its basis ${head.basis} is not here`);
    }
    try {
      await using basis = await this.#parts.store.open(head.basis);
      const target = applyDelta(basis, bodies(blocks), { targetBytesMax: head.bytes });
      await this.#ingest.add(target, head);
    } catch (error) {
      throw await this.#deltaFailure(head.basis, error);
    }
  }

  /** A delta that fails may mean a bad delta or a basis that rotted here: look, so that the next plan knows. */
  async #deltaFailure(basis: ContentId, error: unknown): Promise<unknown> {
    const isDeltas = error instanceof RdcError || (error instanceof ReplicationError && error.retry === 'elsewhere');
    if (!isDeltas) return error;
    const state = await this.#parts.store.verify(basis);
    if (state !== 'intact')
      return new ReplicationError('basis-mismatch', `Cannot apply a delta: its basis ${basis} is ${state} here`, {
        cause: error,
      });
    if (error instanceof ReplicationError) return error;
    return new ReplicationError('delta-invalid', `Cannot apply a delta: ${error.message}`, { cause: error });
  }
}

async function* bodies(records: AsyncIterable<PayloadRecord>): AsyncGenerator<Uint8Array> {
  for await (const record of records) yield record.body;
}

async function drain(records: AsyncIterable<unknown>): Promise<void> {
  for await (const _record of records);
}
