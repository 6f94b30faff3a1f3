/**
 * Turns a complete upload into an installed version: prove the bytes, apply them, keep the payload for others, settle.
 * Killed anywhere, it starts over and finds finished what was finished.
 */
import { asReplicationError, ReplicationError } from '../../errors.ts';
import type { ContentId } from '../../model/content.ts';
import type { PayloadHead } from '../../wire/payload.ts';
import type { World } from '../../world/world.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { type AppliedPayload, applyPayload } from '../delta/apply-payload.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { Inbox } from './inbox.ts';
import type { Outbox, PayloadFile } from './outbox.ts';

export interface DespoolParts {
  readonly world: World;
  readonly store: ContentStore;
  readonly catalog: Catalog;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  readonly identity: { readonly name: string };
}

export type DespoolOutcome =
  | { readonly state: 'installed'; readonly applied: AppliedPayload }
  | { readonly state: 'refused'; readonly error: ReplicationError }
  /** Nothing to do: it was settled before. */
  | { readonly state: 'settled' };

/**
 * A payload that can never be applied is refused, settled as failed and removed; a failure of this machine (a full
 * disk) is thrown and leaves everything for the next try.
 */
export async function despool(parts: DespoolParts, id: ContentId, signal: AbortSignal): Promise<DespoolOutcome> {
  const { inbox, world } = parts;
  const upload = inbox.find(id);
  if (upload?.state !== 'despooling') return { state: 'settled' };
  try {
    if ((await world.files.facts(inbox.pathOf(id))) === undefined) return await settleAdopted(parts, id);
    if (!(await inbox.isIntact(id, signal))) {
      throw new ReplicationError('payload-invalid', `Cannot apply payload ${id}: the bytes that came are other bytes`);
    }
    const applied = await applyPayload(parts, inbox.read(id), signal);
    await keepForOthers(parts, id, applied.head, upload.length);
    const { packageId, version } = applied.head;
    await inbox.settle(id, { installed: { packageId, version } });
    return { state: 'installed', applied };
  } catch (cause) {
    signal.throwIfAborted();
    const error = asReplicationError(cause);
    if (error.retry === 'later') throw error;
    await world.files.remove(inbox.pathOf(id));
    await inbox.settle(id, { error: { code: error.code, message: error.message } });
    return { state: 'refused', error };
  }
}

/** The payload that suits every holder of the basis version goes on to the outbox; any other has served. */
async function keepForOthers(parts: DespoolParts, id: ContentId, head: PayloadHead, bytes: number): Promise<void> {
  const { inbox, outbox, world } = parts;
  const isReady = head.variant !== '' || (await outbox.find(head)) !== undefined;
  if (isReady) await world.files.remove(inbox.pathOf(id));
  else await outbox.adopt(head, inbox.pathOf(id), id, bytes);
}

/** Killed between the adoption of the file and the settling: the version is installed already. */
async function settleAdopted(parts: DespoolParts, id: ContentId): Promise<DespoolOutcome> {
  const adopted = await findAdopted(parts, id);
  if (adopted !== undefined) {
    const { packageId, version } = adopted;
    await parts.inbox.settle(id, { installed: { packageId, version } });
    return { state: 'settled' };
  }
  const error = { code: 'content-missing', message: `Payload ${id} is gone` } as const;
  await parts.inbox.settle(id, { error });
  return { state: 'refused', error: new ReplicationError(error.code, error.message) };
}

async function findAdopted({ catalog, outbox }: DespoolParts, id: ContentId): Promise<PayloadFile | undefined> {
  for (const { id: packageId } of catalog.packages()) {
    const found = (await outbox.list(packageId)).find((file) => file.sha256 === id);
    if (found !== undefined && catalog.versions(packageId).includes(found.version)) return found;
  }
  return undefined;
}
