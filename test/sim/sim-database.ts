/**
 * The database of one simulated life. It is one file on the disk of its machine and survives kills and power cuts: a
 * transaction that resolved is there for good, one whose commit was under way is there wholly or not at all.
 */
import { ReplicationError } from '../../src/errors.ts';
import type { Database, Entry, KeyRange, OpenDatabase, RecordValue, Transaction } from '../../src/world/database.ts';
import { assertKey, assertTable, decodeRecord, encodeRecord } from '../../src/world/database-record.ts';
import { compareUtf8, type DatabaseRecords } from './database-records.ts';
import { DATABASE_FILE_NAME, type Disk } from './disk.ts';
import { type Life, never } from './life.ts';
import type { Seeded } from './seeded.ts';

const BEGIN_MS_MAX = 0.5;
const COMMIT_MS_MIN = 0.5;
const COMMIT_MS_MAX = 6;
const OPEN_MS_MAX = 20;

export function simDatabase(life: Life, disk: Disk): OpenDatabase {
  const chance = life.seeded.fork('database');
  return (directory) => {
    const path = `${directory}/${DATABASE_FILE_NAME}`;
    const open = (): Database => {
      disk.check('open', path);
      const records = recordsAt(disk, directory, path);
      if (records.isDamaged) throw new ReplicationError('database-damaged', `Cannot open ${path}: it is damaged`);
      if (records.openedBy === life.number) {
        throw new TypeError(`Cannot open ${path}: this process has it open`);
      }
      records.openedBy = life.number;
      return new SimDatabase({ life, disk, path, records, chance });
    };
    const delayMs = chance.between(1, OPEN_MS_MAX);
    return life.perform({ name: 'open', facts: path, delayMs, isChange: true, apply: open });
  };
}

function recordsAt(disk: Disk, directory: string, path: string): DatabaseRecords {
  disk.makeDirectory(directory);
  const place = disk.find(path, { action: 'open' });
  if (place.node?.kind === 'file') return disk.recordsOf(place.node);
  const node = disk.newFile();
  disk.tree.changeDurably(node, undefined, place);
  return disk.recordsOf(node);
}

interface SimDatabaseParts {
  readonly life: Life;
  readonly disk: Disk;
  readonly path: string;
  readonly records: DatabaseRecords;
  readonly chance: Seeded;
}

class SimDatabase implements Database {
  readonly #parts: SimDatabaseParts;
  #last: Promise<unknown> = Promise.resolve();
  #isOpen = true;

  constructor(parts: SimDatabaseParts) {
    this.#parts = parts;
  }

  get(table: string, key: string): RecordValue | undefined {
    this.#assertOpen();
    return new View(this.#parts.records, new Map()).get(table, key);
  }

  entries(table: string, range?: KeyRange): readonly Entry[] {
    this.#assertOpen();
    return new View(this.#parts.records, new Map()).entries(table, range);
  }

  async transaction<Result>(work: (transaction: Transaction) => Result): Promise<Result> {
    this.#assertOpen();
    const before = this.#last;
    const own = (async () => {
      await before;
      return this.#run(work);
    })();
    this.#last = own.catch(() => {});
    return own;
  }

  async #run<Result>(work: (transaction: Transaction) => Result): Promise<Result> {
    const { life, disk, path, records, chance } = this.#parts;
    const begun = { name: 'transaction', facts: path, delayMs: chance.between(0, BEGIN_MS_MAX) };
    const writes: Writes = new Map();
    const result = await life.perform({ ...begun, apply: () => runOnce(work, new View(records, writes)) });
    const commit = (): void => {
      disk.check('commit', path);
      disk.reserve(records.growthOf(writes), 'commit', path);
      records.write(writes);
    };
    const delayMs = chance.between(COMMIT_MS_MIN, COMMIT_MS_MAX);
    const facts = `${path} ${describe(writes)}`;
    const content = Buffer.concat([...writes.values()].flatMap((own) => [...own.values()].filter((bytes) => !!bytes)));
    if (writes.size > 0) await life.perform({ name: 'commit', facts, delayMs, isChange: true, content, apply: commit });
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { life, records } = this.#parts;
    if (life.isOver) return never();
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#last;
    records.openedBy = undefined;
  }

  #assertOpen(): void {
    if (!this.#isOpen) throw new TypeError(`Cannot use the database ${this.#parts.path}: it is closed`);
  }
}

function runOnce<Result>(work: (transaction: Transaction) => Result, view: View): Result {
  try {
    const result = work(view);
    if (result instanceof Promise) throw new TypeError('The work of a transaction must not be asynchronous');
    return result;
  } finally {
    view.close();
  }
}

type Writes = Map<string, Map<string, Uint8Array | undefined>>;

/** The records as they are, under the writes of one transaction. */
class View implements Transaction {
  readonly #records: DatabaseRecords;
  readonly #writes: Writes;
  #isOver = false;

  constructor(records: DatabaseRecords, writes: Writes) {
    this.#records = records;
    this.#writes = writes;
  }

  /** Call when the work of the transaction has run. */
  close(): void {
    this.#isOver = true;
  }

  get(table: string, key: string): RecordValue | undefined {
    this.#check(table, key);
    const own = this.#writes.get(table);
    const bytes = own?.has(key) === true ? own.get(key) : this.#records.table(table).get(key);
    return bytes === undefined ? undefined : decodeRecord(table, key, bytes);
  }

  entries(table: string, range: KeyRange = {}): readonly Entry[] {
    this.#check(table);
    const { start, end, limit } = range;
    const own = this.#writes.get(table);
    let keys = this.#records.table(table).keys(start, end, own === undefined ? limit : undefined);
    if (own !== undefined) {
      const added = [...own.keys()].filter(
        (key) =>
          (start === undefined || compareUtf8(key, start) >= 0) && (end === undefined || compareUtf8(key, end) < 0),
      );
      keys = [...new Set([...keys, ...added])].filter((key) => !own.has(key) || own.get(key) !== undefined);
      keys = keys.sort(compareUtf8).slice(0, limit);
    }
    return keys.map((key) => ({ key, value: this.get(table, key) as RecordValue }));
  }

  put(table: string, key: string, value: RecordValue): void {
    this.#check(table, key);
    this.#write(table, key, encodeRecord(table, key, value));
  }

  remove(table: string, key: string): void {
    this.#check(table, key);
    this.#write(table, key, undefined);
  }

  #check(table: string, key?: string): void {
    if (this.#isOver) throw new TypeError('Cannot use a transaction whose work has run');
    assertTable(table);
    if (key !== undefined) assertKey(key);
  }

  #write(table: string, key: string, bytes: Uint8Array | undefined): void {
    const own = this.#writes.get(table) ?? new Map<string, Uint8Array | undefined>();
    own.set(key, bytes);
    this.#writes.set(table, own);
  }
}

function describe(writes: Writes): string {
  const keys = [...writes].flatMap(([table, own]) =>
    [...own].map(([key, bytes]) => `${bytes === undefined ? '-' : '+'}${table}/${key}`),
  );
  return keys.length <= 3 ? keys.join(' ') : `${keys.slice(0, 3).join(' ')} and ${keys.length - 3} more`;
}
