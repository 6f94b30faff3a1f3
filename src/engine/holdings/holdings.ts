/**
 * Who has confirmed which version of what. A destination's word is kept here when its despooler installed a payload;
 * planning relies on it, and a destination that turns out to hold less says so when it refuses a delta. Lost with the
 * database at no cost but questions: the next plan asks the destination again.
 */
import type { PackageId, Version } from '../../model/package.ts';
import type { NodeName } from '../../model/site.ts';
import type { Database } from '../../world/database.ts';

const table = 'holdings';

export class Holdings {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Newest version `destination` confirmed; 0 when it holds none; `undefined` when nobody asked yet. */
  confirmedVersion(destination: NodeName, id: PackageId): Version | 0 | undefined {
    const value = this.#database.get(table, `${destination}/${id}`);
    return typeof value === 'number' ? value : undefined;
  }

  async confirm(destination: NodeName, id: PackageId, version: Version | 0): Promise<void> {
    await this.#database.transaction((transaction) => transaction.put(table, `${destination}/${id}`, version));
  }

  /** The destination was found to hold something else than it confirmed: ask again before the next plan. */
  async forget(destination: NodeName, id: PackageId): Promise<void> {
    await this.#database.transaction((transaction) => transaction.remove(table, `${destination}/${id}`));
  }
}
