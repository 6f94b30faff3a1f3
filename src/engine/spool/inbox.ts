/**
 * Payloads on their way in. One upload per payload, named by the payload's SHA-256, so that the same bytes resume
 * whoever sends them and however often anyone was killed.
 *
 * Guarantees: an offset that was told to the sender is durable (file synced, then the row); bytes beyond it may be
 * there after a crash and are overwritten. A settled upload is remembered, so that a sender who died before it heard
 * the outcome can still ask.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { z } from 'zod';
import { type ErrorCode, isErrorCode, ReplicationError } from '../../errors.ts';
import { type ContentId, contentIdOf, isContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import type { UploadMessage } from '../../wire/api.ts';
import type { Database, RecordValue } from '../../world/database.ts';
import type { World } from '../../world/world.ts';
import { readFileBlocks } from './outbox.ts';

const table = 'inbox';

const uploadRow = z.object({
  state: z.enum(['receiving', 'despooling', 'installed', 'failed']),
  offset: z.int().nonnegative(),
  length: z.int().positive(),
  /** Last change, wall clock. */
  touchedMs: z.number(),
  /** What an installed payload became; the memory is worth something only while that is there. */
  installed: z.object({ packageId: z.string(), version: z.int() }).optional(),
  error: z.object({ code: z.string().refine(isErrorCode), message: z.string() }).optional(),
});
type UploadRow = z.infer<typeof uploadRow>;
export type UploadState = UploadRow;
export type UploadOutcome =
  | { readonly installed: { readonly packageId: string; readonly version: number } }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } };

/** What became of a piece: taken, or the offset at which the sender must go on. */
export type AppendOutcome = { readonly taken: boolean; readonly offset: number; readonly isComplete: boolean };

export class Inbox {
  readonly #world: World;
  readonly #database: Database;
  readonly #directory: string;
  readonly #isThere: (installed: { packageId: string; version: number }) => boolean;
  /** One writer at a time per upload; a second one waits and then finds the offset moved. */
  readonly #turns = new Map<ContentId, ReturnType<typeof pLimit>>();
  readonly #waiters = new Set<() => void>();

  /** `isThere` tells whether this node still has a version. */
  constructor(
    world: World,
    database: Database,
    directory: string,
    isThere: (installed: { packageId: string; version: number }) => boolean,
  ) {
    this.#isThere = isThere;
    this.#world = world;
    this.#database = database;
    this.#directory = directory;
  }

  pathOf(id: ContentId): string {
    return join(this.#directory, `${id}.part`);
  }

  find(id: ContentId): UploadState | undefined {
    const value = this.#database.get(table, id);
    const row = value === undefined ? undefined : uploadRow.parse(value);
    return row?.installed === undefined || this.#isThere(row.installed) ? row : undefined;
  }

  /** The state as a sender may know it: codes, no texts. */
  describe(id: ContentId): UploadMessage | undefined {
    const row = this.find(id);
    if (row === undefined) return undefined;
    const { state, offset, length, error } = row;
    return { state, offset, length, ...(error === undefined ? {} : { error: error.code }) };
  }

  /** Uploads that are complete and not despooled: after a start these are to be queued again. */
  despooling(): ContentId[] {
    const rows = this.#database.entries(table);
    return rows.filter((row) => uploadRow.parse(row.value).state === 'despooling').map((row) => row.key as ContentId);
  }

  /**
   * Appends a piece at `offset` of a payload of `length` bytes. On return the piece is durable. A piece elsewhere than
   * at the durable offset is not taken. A piece at offset 0 begins anew an upload that failed.
   * Throws `disk-full` before anything is written when the rest would not fit, `limit-exceeded`, `peer-busy`.
   */
  async append(id: ContentId, length: number, offset: number, piece: Uint8Array): Promise<AppendOutcome> {
    const turn = this.#turns.get(id) ?? pLimit(1);
    this.#turns.set(id, turn);
    try {
      return await turn(() => this.#append(id, length, offset, piece));
    } finally {
      if (turn.activeCount + turn.pendingCount === 0) this.#turns.delete(id);
    }
  }

  async #append(id: ContentId, length: number, offset: number, piece: Uint8Array): Promise<AppendOutcome> {
    const known = this.find(id);
    // Named by its SHA-256, a payload has one length: whoever began it with another one was wrong.
    const isToBegin =
      offset === 0 && (known?.state === 'failed' || (known?.state === 'receiving' && known.length !== length));
    const row = known === undefined || isToBegin ? await this.#begin(id, length) : known;
    if (row.length !== length) {
      throw new ReplicationError(
        'payload-invalid',
        `Cannot take a piece of ${id}: its length was ${row.length}, now ${length}`,
      );
    }
    const isComplete = row.offset === row.length;
    if (isComplete || offset !== row.offset) return { taken: false, offset: row.offset, isComplete };
    if (offset + piece.byteLength > length) {
      throw new ReplicationError('payload-invalid', `Cannot take a piece of ${id}: it reaches beyond ${length} bytes`);
    }
    {
      await using handle = await this.#world.files.open(this.pathOf(id), 'resume');
      await handle.write(offset, piece);
      if (offset + piece.byteLength === length) await handle.truncate(length);
      await handle.sync();
    }
    const endByte = offset + piece.byteLength;
    const state = endByte === length ? 'despooling' : 'receiving';
    await this.#store(id, { state, offset: endByte, length, touchedMs: this.#world.clock.wallMs() });
    return { taken: true, offset: endByte, isComplete: endByte === length };
  }

  async #begin(id: ContentId, length: number): Promise<UploadRow> {
    if (length < 1 || length > limits.payloadBytesMax) {
      throw new ReplicationError('limit-exceeded', `Cannot accept a payload of ${length} bytes`);
    }
    await this.#world.files.makeDirectory(this.#directory);
    await this.#makeRoom(id, length);
    const row: UploadRow = { state: 'receiving', offset: 0, length, touchedMs: this.#world.clock.wallMs() };
    // Begun files must have durable names before an offset in them is promised.
    {
      await using handle = await this.#world.files.open(this.pathOf(id), 'resume');
      await handle.truncate(0);
      await handle.sync();
    }
    await this.#world.files.syncDirectory(this.#directory);
    await this.#store(id, row);
    return row;
  }

  /**
   * Lets a new payload of `length` bytes in. Uploads untouched for long give way only when there is no room without,
   * the longest untouched first: what arrived over a thin link is not thrown away for tidiness.
   */
  async #makeRoom(id: ContentId, length: number): Promise<void> {
    for (;;) {
      const rows = this.#database
        .entries(table)
        .map(({ key, value }) => ({ key: key as ContentId, row: uploadRow.parse(value) }));
      const open = rows.filter(({ key, row }) => row.state === 'receiving' && key !== id);
      const openBytes = open.reduce((sum, { row }) => sum + row.length - row.offset, 0);
      const freeBytes = await this.#world.files.freeBytes(this.#directory);
      const refusal = refusalOf(length, { openCount: open.length, openBytes, freeBytes });
      if (refusal === undefined) return;
      const limitMs = this.#world.clock.wallMs() - limits.abandonedUploadMs;
      const abandoned = open.filter(({ key, row }) => row.touchedMs < limitMs && !this.#turns.has(key));
      const [oldest] = abandoned.sort((left, right) => left.row.touchedMs - right.row.touchedMs);
      if (oldest === undefined) throw refusal;
      await this.#database.transaction((transaction) => transaction.remove(table, oldest.key));
      await this.#world.files.remove(this.pathOf(oldest.key));
    }
  }

  /** The received bytes, whatever they are. */
  read(id: ContentId): AsyncIterable<Uint8Array> {
    return readFileBlocks(this.#world.files, this.pathOf(id));
  }

  /** Whether the bytes on disk are the payload they are named after. */
  async isIntact(id: ContentId, signal: AbortSignal): Promise<boolean> {
    const hash = createHash('sha256');
    for await (const block of this.read(id)) {
      signal.throwIfAborted();
      hash.update(block);
    }
    return contentIdOf(hash.digest()) === id;
  }

  /** The outcome. The file is the despooler's to move or remove before. */
  async settle(id: ContentId, outcome: UploadOutcome): Promise<void> {
    const row = this.find(id);
    if (row === undefined) return;
    const { offset, length } = row;
    const touchedMs = this.#world.clock.wallMs();
    if ('error' in outcome)
      await this.#store(id, { state: 'failed', offset: 0, length, touchedMs, error: outcome.error });
    else await this.#store(id, { state: 'installed', offset, length, touchedMs, installed: outcome.installed });
    await this.#forgetOldest();
  }

  /** Something installed was lost: payloads that led to these versions may have to come once more. */
  async forgetInstalled(isLost: (installed: { packageId: string; version: number }) => boolean): Promise<void> {
    const rows = this.#database.entries(table).filter(({ value }) => {
      const { installed } = uploadRow.parse(value);
      return installed !== undefined && isLost(installed);
    });
    await this.#database.transaction((transaction) => {
      for (const { key } of rows) transaction.remove(table, key);
    });
    for (const wake of [...this.#waiters]) wake();
  }

  /** Settled uploads beyond the bound are forgotten, oldest first. */
  async #forgetOldest(): Promise<void> {
    const rows = this.#database.entries(table).map(({ key, value }) => ({ key, row: uploadRow.parse(value) }));
    const settled = rows.filter(({ row }) => row.state === 'installed' || row.state === 'failed');
    const excess = settled.length - limits.settledUploadCountMax;
    if (excess <= 0) return;
    settled.sort((left, right) => left.row.touchedMs - right.row.touchedMs);
    await this.#database.transaction((transaction) => {
      for (const { key } of settled.slice(0, excess)) transaction.remove(table, key);
    });
  }

  async #store(id: ContentId, row: UploadRow): Promise<void> {
    await this.#database.transaction((transaction) => transaction.put(table, id, row as RecordValue));
    for (const wake of [...this.#waiters]) wake();
  }

  /** Resolves with the state once the upload is settled; rejects when `signal` aborts. */
  async settled(id: ContentId, signal: AbortSignal): Promise<UploadState> {
    for (;;) {
      signal.throwIfAborted();
      const row = this.find(id);
      if (row === undefined)
        throw new ReplicationError('peer-busy', `Upload ${id} is no longer known here: it has to come again`);
      if (row.state === 'installed' || row.state === 'failed') return row;
      await this.#changed(signal);
    }
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (done: () => void) => (): void => {
        this.#waiters.delete(wake);
        signal.removeEventListener('abort', abort);
        done();
      };
      const wake = settle(resolve);
      const abort = settle(() => reject(signal.reason));
      this.#waiters.add(wake);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** Removes files that no upload claims: left by a crash between two steps. */
  async sweep(): Promise<void> {
    await this.#world.files.makeDirectory(this.#directory);
    for (const name of await this.#world.files.list(this.#directory)) {
      const id = name.replace(/\.part$/, '');
      const state = isContentId(id) ? this.find(id)?.state : undefined;
      if (state !== 'receiving' && state !== 'despooling') await this.#world.files.remove(join(this.#directory, name));
    }
  }
}

/** Why a payload of `length` bytes cannot be taken now, or `undefined`. */
function refusalOf(
  length: number,
  now: { readonly openCount: number; readonly openBytes: number; readonly freeBytes: number },
): ReplicationError | undefined {
  if (now.openCount >= limits.openUploadCountMax) {
    return new ReplicationError('peer-busy', `Cannot accept another payload: ${now.openCount} are under way`);
  }
  if (now.freeBytes - now.openBytes - length >= limits.freeBytesMin) return undefined;
  return new ReplicationError(
    'disk-full',
    `Cannot accept a payload of ${length} bytes: ${now.freeBytes} are free, ${now.openBytes} of them for uploads under way, ${limits.freeBytesMin} must stay free`,
  );
}
