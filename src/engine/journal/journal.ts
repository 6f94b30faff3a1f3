/**
 * What happened, in order: status messages for people and one record per finished hop. Bounded: the oldest entries give
 * way. History, not state: nothing is decided from it, and it is the one thing that is lost with the database.
 */
import { limits } from '../../model/limits.ts';
import { type StatusId, statusCatalog } from '../../model/status.ts';
import { type HopMessage, hopMessage, type StatusEntryMessage, statusEntryMessage } from '../../wire/api.ts';
import type { Database, RecordValue } from '../../world/database.ts';
import type { World } from '../../world/world.ts';

const tables = { messages: 'journal-messages', hops: 'journal-hops' } as const;

/** 16 digits keep the order of keys the order of numbers up to the largest safe integer. */
function sequenceKey(sequence: number): string {
  return sequence.toString().padStart(16, '0');
}

export class Journal {
  readonly #world: World;
  readonly #database: Database;
  readonly #next: Record<keyof typeof tables, number>;

  constructor(world: World, database: Database) {
    this.#world = world;
    this.#database = database;
    const next = (table: string): number => 1 + Number(database.entries(table).at(-1)?.key ?? 0);
    this.#next = { messages: next(tables.messages), hops: next(tables.hops) };
  }

  /** Tells the story to people. `text` names the package, the version and the destination it is about. */
  async tell(id: StatusId, component: string, text: string): Promise<void> {
    const { severity } = statusCatalog[id];
    const entry: StatusEntryMessage = { id, severity, atMs: this.#world.clock.wallMs(), component, text };
    this.#world.log(severity === 'warning' ? 'warn' : severity, text, { statusId: id, component });
    await this.#append('messages', entry);
  }

  async recordHop(hop: HopMessage): Promise<void> {
    await this.#append('hops', hop);
  }

  async #append(kind: keyof typeof tables, value: StatusEntryMessage | HopMessage): Promise<void> {
    const sequence = this.#next[kind]++;
    await this.#database.transaction((transaction) => {
      transaction.put(tables[kind], sequenceKey(sequence), value as RecordValue);
      if (sequence > limits.journalEntryCountMax) {
        transaction.remove(tables[kind], sequenceKey(sequence - limits.journalEntryCountMax));
      }
    });
  }

  /** Oldest first, the newest `countMax` of them. */
  messages(countMax: number): StatusEntryMessage[] {
    return this.#newest('messages', countMax).map((value) => statusEntryMessage.parse(value));
  }

  /** Oldest first; what an older program told in other words is left out. */
  hops(countMax: number): HopMessage[] {
    return this.#newest('hops', countMax).flatMap((value) => hopMessage.safeParse(value).data ?? []);
  }

  #newest(kind: keyof typeof tables, countMax: number): RecordValue[] {
    const start = sequenceKey(Math.max(0, this.#next[kind] - countMax));
    return this.#database.entries(tables[kind], { start }).map((entry) => entry.value);
  }
}
