/**
 * What this node was told: its packages, their installed versions, the destinations it feeds. One small framed file
 * each, published atomically, so that it survives the loss of the database; in memory as a whole (a site has thousands
 * of packages, not millions). Manifests are read when needed and the last few kept.
 *
 * Commit point of a version: the rename of its manifest file. Everything it names must be in the library before.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { z } from 'zod';
import { ReplicationError } from '../../errors.ts';
import { type ContentId, contentIdOf } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import {
  isPackageId,
  type PackageId,
  packageIdOf,
  packageNumberOf,
  siteCodeOf,
  type Version,
} from '../../model/package.ts';
import { isNodeName, type NodeName, type SiteCode } from '../../model/site.ts';
import { decodeFrame, encodeFrame } from '../../wire/frame.ts';
import { decodeManifest, isIntactManifest, type Manifest } from '../../wire/manifest.ts';
import type { World } from '../../world/world.ts';
import { type PublishPlace, publishFile, readWholeFile } from '../store/publish.ts';
import {
  type DestinationRecord,
  destinationSchema,
  type PackageRecord,
  packageSchema,
  recordFrame,
} from './records.ts';

const manifestCacheCountMax = 8;

export class Catalog {
  readonly #world: World;
  readonly #place: PublishPlace;
  readonly #directory: string;
  readonly #packages = new Map<PackageId, PackageRecord>();
  readonly #destinations = new Map<NodeName, DestinationRecord>();
  /** Ascending. */
  readonly #versions = new Map<PackageId, Version[]>();
  readonly #manifests = new Map<string, Manifest>();
  readonly #manifestFiles = new Map<string, { path: string; identity: ContentId; bytes: number }>();
  /** Records are read, changed and written by one at a time. */
  readonly #turn = pLimit(1);

  private constructor(world: World, place: PublishPlace, directory: string) {
    this.#world = world;
    this.#place = place;
    this.#directory = directory;
  }

  static async open(world: World, place: PublishPlace, directory: string): Promise<Catalog> {
    const catalog = new Catalog(world, place, directory);
    for (const room of ['packages', 'destinations', 'manifests'])
      await world.files.makeDirectory(join(directory, room));
    await catalog.#load('packages', packageSchema, (record) =>
      catalog.#packages.set(record.id, record as PackageRecord),
    );
    await catalog.#load('destinations', destinationSchema, (record) => catalog.#destinations.set(record.name, record));
    for (const name of await world.files.list(join(directory, 'manifests'))) {
      if (!isPackageId(name)) continue;
      await world.files.syncDirectory(join(directory, 'manifests', name));
      await catalog.#loadVersions(name);
    }
    await catalog.#restoreRecords();
    return catalog;
  }

  async #load<Schema extends z.ZodType>(
    room: string,
    schema: Schema,
    keep: (record: z.infer<Schema>) => void,
  ): Promise<void> {
    for (const name of await this.#world.files.list(join(this.#directory, room))) {
      if (!name.endsWith('.record')) continue;
      const path = join(this.#directory, room, name);
      const bytes = await readWholeFile(this.#world.files, path, recordFrame.bodyBytesMax * 2);
      try {
        keep(schema.parse(JSON.parse(Buffer.from(decodeFrame(recordFrame, bytes ?? new Uint8Array())).toString())));
      } catch (error) {
        await this.#setAside(path, error);
      }
    }
  }

  async #loadVersions(id: PackageId): Promise<void> {
    const names = await this.#world.files.list(join(this.#directory, 'manifests', id));
    const versions = names.flatMap((name) => /^([1-9]\d{0,8})\.manifest$/.exec(name)?.[1] ?? []).map(Number);
    this.#versions.set(
      id,
      versions.sort((left, right) => left - right),
    );
  }

  /**
   * A package whose record was lost is known again from its newest manifest; what an operator assigned is not. A version
   * published right before a crash is remembered now.
   */
  async #restoreRecords(): Promise<void> {
    for (const [id, versions] of this.#versions) {
      const newest = versions.at(-1);
      if (newest === undefined || newest <= (this.#packages.get(id)?.lastVersion ?? 0)) continue;
      const { packageName } = await this.manifest(id, newest);
      await this.#rememberVersion(id, packageName, newest);
    }
  }

  /** A damaged file is kept for a person to look at, and no longer in the way. */
  async #setAside(path: string, error: unknown): Promise<void> {
    await this.#world.files.rename(path, `${path}.damaged`);
    this.#world.log('error', 'damaged file set aside', {
      path,
      cause: error instanceof Error ? error.message : String(error),
    });
  }

  async #save(room: string, name: string, record: PackageRecord | DestinationRecord): Promise<void> {
    const frame = encodeFrame(recordFrame, new Uint8Array(Buffer.from(JSON.stringify(record))));
    await publishFile(this.#place, join(this.#directory, room, `${name}.record`), frame);
  }

  packages(): PackageRecord[] {
    return [...this.#packages.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
  }

  package(id: PackageId): PackageRecord {
    const record = this.#packages.get(id);
    if (record !== undefined) return record;
    throw new ReplicationError('package-unknown', `Cannot find package ${id} at this site`, {
      hint: 'siteferry package list',
    });
  }

  findPackage(id: PackageId): PackageRecord | undefined {
    return this.#packages.get(id);
  }

  /**
   * Creates a package under the next free id of this site. `name-taken` when another one has the name. On return the
   * record is durable.
   */
  async createPackage(site: SiteCode, name: string, source: string): Promise<PackageRecord> {
    return await this.#turn(async () => {
      const twin = this.packages().find((record) => record.name === name);
      if (twin !== undefined) {
        throw new ReplicationError(
          'name-taken',
          `Cannot create package ${JSON.stringify(name)}: ${twin.id} has that name`,
          {
            hint: `siteferry package update ${twin.id}`,
          },
        );
      }
      return await this.#putPackage({ id: this.#nextPackageId(site), name, source, assigned: [], lastVersion: 0 });
    });
  }

  /** Changes a record as it stands when its turn comes: changes asked for at once all count. */
  async changePackage(id: PackageId, change: (record: PackageRecord) => PackageRecord): Promise<PackageRecord> {
    return await this.#turn(() => this.#putPackage(change(this.package(id))));
  }

  async #putPackage(record: PackageRecord): Promise<PackageRecord> {
    await this.#save('packages', record.id, record);
    this.#packages.set(record.id, record);
    return record;
  }

  /** Ids are never given twice while their record exists. */
  #nextPackageId(site: SiteCode): PackageId {
    const numbers = this.packages().filter((record) => siteCodeOf(record.id) === site);
    return packageIdOf(site, 1 + numbers.reduce((max, record) => Math.max(max, packageNumberOf(record.id)), 0));
  }

  destinations(): DestinationRecord[] {
    return [...this.#destinations.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  destination(name: string): DestinationRecord {
    const record = isNodeName(name) ? this.#destinations.get(name) : undefined;
    if (record !== undefined) return record;
    throw new ReplicationError(
      'destination-unknown',
      `Cannot find a destination ${JSON.stringify(name)} at this site`,
      {
        hint: 'siteferry address show',
      },
    );
  }

  findDestination(name: NodeName): DestinationRecord | undefined {
    return this.#destinations.get(name);
  }

  /** `change` gets the record as it stands, `undefined` when there is none. On return the new one is durable. */
  async changeDestination(
    name: NodeName,
    change: (record: DestinationRecord | undefined) => DestinationRecord,
  ): Promise<DestinationRecord> {
    return await this.#turn(async () => {
      const record = change(this.#destinations.get(name));
      await this.#save('destinations', name, record);
      this.#destinations.set(name, record);
      return record;
    });
  }

  async removeDestination(name: NodeName): Promise<void> {
    await this.#turn(async () => {
      const room = join(this.#directory, 'destinations');
      await this.#world.files.remove(join(room, `${name}.record`));
      await this.#world.files.syncDirectory(room);
      this.#destinations.delete(name);
    });
  }

  /** Destinations that shall hold this package, in order of name. */
  destinationsOf(id: PackageId): DestinationRecord[] {
    const assigned = new Set(this.#packages.get(id)?.assigned ?? []);
    return this.destinations().filter((record) => record.receives === 'all' || assigned.has(record.name));
  }

  /** Installed versions, ascending. */
  versions(id: PackageId): readonly Version[] {
    return this.#versions.get(id) ?? [];
  }

  /** Newest installed version, 0 when none is. */
  newestVersion(id: PackageId): Version | 0 {
    return this.versions(id).at(-1) ?? 0;
  }

  #manifestPath(id: PackageId, version: Version): string {
    return join(this.#directory, 'manifests', id, `${version}.manifest`);
  }

  /** The encoded manifest as it was published; `content-missing` when this node does not hold the version. */
  async manifestBytes(id: PackageId, version: Version): Promise<Uint8Array> {
    const path = this.#manifestPath(id, version);
    const bytes = this.versions(id).includes(version)
      ? await readWholeFile(this.#world.files, path, 2 * limits.manifestBytesMax)
      : undefined;
    if (bytes !== undefined) {
      if (isIntactManifest(bytes)) return bytes;
      await this.#setAside(path, `version ${version} of ${id} is damaged`);
      await this.#loadVersions(id);
    }
    throw new ReplicationError(
      'content-missing',
      `Cannot read version ${version} of ${id}: this node does not hold it`,
    );
  }

  /** Where the encoded manifest lies, for serving it without holding it in memory, and what it is called. */
  async manifestFile(id: PackageId, version: Version): Promise<{ path: string; identity: ContentId; bytes: number }> {
    const key = `${id}/${version}`;
    const known = this.#manifestFiles.get(key);
    if (known !== undefined && this.versions(id).includes(version)) return known;
    const bytes = await this.manifestBytes(id, version);
    const identity = contentIdOf(createHash('sha256').update(bytes).digest());
    const file = { path: this.#manifestPath(id, version), identity, bytes: bytes.byteLength };
    this.#manifestFiles.set(key, file);
    return file;
  }

  async manifest(id: PackageId, version: Version): Promise<Manifest> {
    const key = `${id}/${version}`;
    const known = this.#manifests.get(key);
    if (known !== undefined) return known;
    const bytes = await this.manifestBytes(id, version);
    const manifest = decodeManifest(bytes);
    if (this.#manifests.size >= manifestCacheCountMax)
      this.#manifests.delete(this.#manifests.keys().next().value ?? '');
    this.#manifests.set(key, manifest);
    return manifest;
  }

  /**
   * Commit point: makes a version exist at this node. `bytes` is the encoded manifest, already decoded once by the
   * caller; every content it names is in the library. Publishing the same version again changes nothing.
   */
  async publishVersion(manifest: Manifest, bytes: Uint8Array): Promise<void> {
    const { packageId, version, packageName } = manifest;
    await this.#turn(async () => {
      if (await this.#isPublished(manifest, bytes)) return;
      await this.#world.files.makeDirectory(join(this.#directory, 'manifests', packageId));
      await publishFile(this.#place, this.#manifestPath(packageId, version), bytes);
      await this.#loadVersions(packageId);
      await this.#rememberVersion(packageId, packageName, version);
    });
  }

  /** After the commit point: before it, a crash between the two would skip a number. */
  async #rememberVersion(id: PackageId, name: string, version: Version): Promise<void> {
    const record = this.#packages.get(id) ?? { id, name, assigned: [], lastVersion: 0 };
    if (record.lastVersion < version) await this.#putPackage({ ...record, lastVersion: version });
  }

  /**
   * A version is one tree for ever: should two sites or two lives of one disagree, a person must decide. A manifest that
   * rotted here is set aside by the look at it, and published anew.
   */
  async #isPublished({ packageId, version }: Manifest, bytes: Uint8Array): Promise<boolean> {
    if (!this.versions(packageId).includes(version)) return false;
    let known: Uint8Array;
    try {
      known = await this.manifestBytes(packageId, version);
    } catch (error) {
      if (error instanceof ReplicationError && error.code === 'content-missing') return false;
      throw error;
    }
    if (Buffer.from(known).equals(bytes)) return true;
    throw new ReplicationError(
      'version-conflict',
      `Cannot install version ${version} of ${packageId}: another version ${version} is installed here`,
    );
  }
}
