/**
 * Applies the delta of a payload: what the library holds of both versions, end to end, becomes what it lacks, end to
 * end, and each content is cut from that stream, compared with its name and staged.
 *
 * Memory: a segment of the delta and a content small enough for a pack. What was committed before a kill is rebuilt
 * once more but neither transferred nor stored again.
 */
import { applyDelta, DELTA_HEADER_BYTES, RdcError, readDeltaHeader } from 'native-free-rdc';
import { ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import type { World } from '../../world/world.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { Ingest } from '../store/ingest.ts';
import { JoinedContents } from '../store/joined-contents.ts';
import { basisIdOf, type ContentPlan, type SizedContent, totalBytes } from './plan.ts';
import type { RecordCursor } from './record-cursor.ts';
import { StreamCutter } from './stream-cutter.ts';

export interface DiffParts {
  readonly world: World;
  readonly store: ContentStore;
  readonly cursor: RecordCursor;
  readonly ingest: Ingest;
}

/** On return all of `wanted` is in the library or staged, and every block of the delta was read. */
export async function applyDiff(
  parts: DiffParts,
  { basis, wanted }: Pick<ContentPlan, 'basis' | 'wanted'>,
): Promise<void> {
  const { store, cursor, ingest } = parts;
  if (wanted.every(({ content }) => ingest.has(content))) {
    for await (const _block of cursor.while('deltaBlock'));
    return;
  }
  for (const { content, bytes } of basis) {
    if (store.bytesOf(content) === bytes) continue;
    throw new ReplicationError('basis-mismatch', `Cannot apply a delta: content ${content} of its basis is not here`);
  }
  try {
    await rebuild(parts, basis, wanted);
  } catch (error) {
    throw await reasonOf(store, basis, error);
  }
}

async function rebuild(
  { world, store, cursor, ingest }: DiffParts,
  basis: readonly SizedContent[],
  wanted: readonly SizedContent[],
): Promise<void> {
  await using reader = new JoinedContents(world.files, store, basis);
  const delta = madeFrom(basis, deltaBlocks(cursor));
  await using cutter = new StreamCutter(applyDelta(reader, delta, { targetBytesMax: totalBytes(wanted) }));
  for (const content of wanted) {
    const bytes = cutter.next(content.bytes);
    if (ingest.has(content.content)) for await (const _block of bytes);
    else await ingest.add(bytes, content);
    if (ingest.stagedBytes >= limits.despoolCommitBytes) await ingest.commit();
  }
  await cutter.finish();
}

async function* deltaBlocks(cursor: RecordCursor): AsyncGenerator<Uint8Array> {
  for await (const { coding, body } of cursor.while('deltaBlock')) {
    if (coding !== 'raw')
      throw new ReplicationError('payload-invalid', 'Cannot apply a payload: its delta is compressed twice');
    yield body;
  }
}

/** The delta as it is, once it has said that it leads from this very basis. */
async function* madeFrom(
  basis: readonly SizedContent[],
  blocks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let start: Uint8Array | undefined = new Uint8Array(0);
  for await (const block of blocks) {
    if (start === undefined) {
      yield block;
      continue;
    }
    start = new Uint8Array(Buffer.concat([start, block]));
    if (start.byteLength < DELTA_HEADER_BYTES) continue;
    if (Buffer.compare(readDeltaHeader(start).basisId, basisIdOf(basis)) !== 0) {
      throw new ReplicationError('basis-mismatch', 'Cannot apply a delta: it was made for another basis');
    }
    yield start;
    start = undefined;
  }
  if (start !== undefined) yield start;
}

/** A delta that fails may be bad itself, or lead from a basis that rotted here: look, so that the next plan knows. */
async function reasonOf(store: ContentStore, basis: readonly SizedContent[], error: unknown): Promise<unknown> {
  const isLoss =
    error instanceof ReplicationError && (error.code === 'content-damaged' || error.code === 'content-missing');
  if (!isLoss && !(error instanceof RdcError)) return error;
  let lostCount = 0;
  for (const { content } of basis) if ((await store.verify(content)) !== 'intact') lostCount += 1;
  if (lostCount > 0) {
    const state = `Cannot apply a delta: ${lostCount} contents of its basis are damaged or gone here`;
    return new ReplicationError('basis-mismatch', state, { cause: error });
  }
  if (error instanceof ReplicationError) return error;
  return new ReplicationError('delta-invalid', `Cannot apply a delta: ${error.message}`, { cause: error });
}
