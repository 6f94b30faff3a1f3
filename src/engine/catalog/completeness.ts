/**
 * Which versions this node holds whole. A manifest says what a version needs; contents can be lost later, to a rotten
 * disk or a careless hand. What is not whole is not claimed, so that whoever feeds this node sends what is missing.
 */
import { ReplicationError } from '../../errors.ts';
import type { PackageId, Version } from '../../model/package.ts';
import { contentsOf } from '../../wire/manifest.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { Catalog } from './catalog.ts';

export class Completeness {
  readonly #catalog: Catalog;
  readonly #store: ContentStore;
  /** `<package>/<version>` to the loss count at which it was found whole. */
  readonly #whole = new Map<string, number>();

  constructor(catalog: Catalog, store: ContentStore) {
    this.#catalog = catalog;
    this.#store = store;
  }

  /** Newest version with all its contents in the library, 0 when there is none. Looks at the index, not at the disk. */
  async newestWhole(id: PackageId): Promise<Version | 0> {
    for (const version of [...this.#catalog.versions(id)].reverse())
      if (await this.#isWhole(id, version)) return version;
    return 0;
  }

  async #isWhole(id: PackageId, version: Version): Promise<boolean> {
    const key = `${id}/${version}`;
    const { lossCount } = this.#store;
    if (this.#whole.get(key) === lossCount) return true;
    try {
      const contents = [...contentsOf(await this.#catalog.manifest(id, version))];
      const isWhole = contents.every(([content, bytes]) => this.#store.bytesOf(content) === bytes);
      if (isWhole) this.#whole.set(key, lossCount);
      return isWhole;
    } catch (error) {
      // A damaged manifest was set aside: the version is gone, and older ones may be whole.
      if (error instanceof ReplicationError && error.retry === 'elsewhere') return false;
      throw error;
    }
  }
}
