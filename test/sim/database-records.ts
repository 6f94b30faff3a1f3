/** Tables of encoded values in order of the UTF-8 bytes of their keys: what a simulated database file holds. */

export class RecordTable {
  readonly #values = new Map<string, Uint8Array>();
  /** In order. */
  readonly #keys: string[] = [];

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  put(key: string, bytes: Uint8Array): void {
    if (!this.#values.has(key)) this.#keys.splice(this.#indexOf(key), 0, key);
    this.#values.set(key, bytes);
  }

  remove(key: string): void {
    if (this.#values.delete(key)) this.#keys.splice(this.#indexOf(key), 1);
  }

  /** Keys from `start` (included) to `end` (not included), at most `limit`. */
  keys(start: string | undefined, end: string | undefined, limit = Number.POSITIVE_INFINITY): string[] {
    const startIndex = start === undefined ? 0 : this.#indexOf(start);
    const endIndex = end === undefined ? this.#keys.length : this.#indexOf(end);
    return this.#keys.slice(startIndex, Math.max(startIndex, Math.min(endIndex, startIndex + limit)));
  }

  /** Of the first key that is not before `key`. */
  #indexOf(key: string): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareUtf8(this.#keys[middle] as string, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A write of a transaction; `undefined` removes. */
export type RecordWrites = ReadonlyMap<string, ReadonlyMap<string, Uint8Array | undefined>>;

export class DatabaseRecords {
  readonly #tables = new Map<string, RecordTable>();
  #bytes = 0;
  /** Set by a test: opening it finds it damaged. */
  isDamaged = false;
  /** Number of the life that has it open. */
  openedBy: number | undefined;

  /** Room it takes on the disk. */
  get bytes(): number {
    return this.#bytes;
  }

  table(name: string): RecordTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new RecordTable();
      this.#tables.set(name, table);
    }
    return table;
  }

  /** How many bytes more `writes` would take. */
  growthOf(writes: RecordWrites): number {
    let growth = 0;
    for (const [name, table] of writes) {
      for (const [key, bytes] of table) {
        const before = this.table(name).get(key);
        if (before !== undefined) growth -= key.length + before.length;
        if (bytes !== undefined) growth += key.length + bytes.length;
      }
    }
    return growth;
  }

  write(writes: RecordWrites): void {
    this.#bytes += this.growthOf(writes);
    for (const [name, table] of writes) {
      for (const [key, bytes] of table) {
        if (bytes === undefined) this.table(name).remove(key);
        else this.table(name).put(key, bytes);
      }
    }
  }

  /** Decay of the medium under one record; false when there is none. */
  flipBit(table: string, key: string): boolean {
    const bytes = this.table(table).get(key);
    const lastIndex = (bytes?.length ?? 0) - 1;
    if (bytes === undefined || lastIndex < 0) return false;
    bytes[lastIndex] = (bytes[lastIndex] ?? 0) ^ 1;
    return true;
  }
}

/** Orders as `Buffer.compare` of the UTF-8 forms does: code points, where JavaScript itself compares UTF-16 units. */
export function compareUtf8(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let index = 0; index < shorter; index++) {
    const [unitOfA, unitOfB] = [a.charCodeAt(index), b.charCodeAt(index)];
    if (unitOfA !== unitOfB) return rankOf(unitOfA) - rankOf(unitOfB);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points beyond 0xFFFF, so they rank above all other units. */
function rankOf(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x1_0000 : unit;
}
