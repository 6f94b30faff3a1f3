/**
 * Payloads ready to be sent or fetched: one file per (package, basis version → version), made once, used for every
 * destination, kept also by those who received it. The name of a file says all about it, so nothing else remembers it:
 * `<directory>/<package>/<basis>-<version>[~<variant>].<sha256>.payload`.
 *
 * A variant leads from a set of contents that is not simply the basis version's: made for one destination that holds
 * more or less than that.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type ContentId, contentIdOf, isContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import type { PackageId, Version } from '../../model/package.ts';
import { decodePayloadHead, isPayloadPreamble, type PayloadHead, payloadRecords } from '../../wire/payload.ts';
import type { Files } from '../../world/files.ts';
import type { World } from '../../world/world.ts';
import { moveDurably, type PublishPlace, staged } from '../store/publish.ts';

export interface PayloadKey {
  readonly packageId: PackageId;
  readonly basisVersion: Version | 0;
  readonly version: Version;
  /** Empty for the payload that suits whoever holds exactly the basis version; else 16 hex digits. */
  readonly variant: string;
}

export interface PayloadFile extends PayloadKey {
  readonly path: string;
  readonly sha256: ContentId;
  readonly bytes: number;
}

const namePattern = /^(\d{1,9})-(\d{1,9})(?:~([0-9a-f]{16}))?\.([0-9a-f]{64})\.payload$/;

export class Outbox {
  readonly #world: World;
  readonly #place: PublishPlace;
  readonly #directory: string;
  readonly #making = new Map<string, Promise<PayloadFile>>();
  /** Paths whose bytes were compared with their name since the start. */
  readonly #proven = new Set<string>();

  constructor(world: World, place: PublishPlace, directory: string) {
    this.#world = world;
    this.#place = place;
    this.#directory = directory;
  }

  /** All payloads of a package that lie ready. */
  async list(packageId: PackageId): Promise<PayloadFile[]> {
    const directory = join(this.#directory, packageId);
    if ((await this.#world.files.facts(directory)) === undefined) return [];
    const found: PayloadFile[] = [];
    for (const name of await this.#world.files.list(directory)) {
      const match = namePattern.exec(name);
      const path = join(directory, name);
      const facts = match === null ? undefined : await this.#world.files.facts(path);
      if (match === null || facts === undefined) continue;
      const [, basis, version, variant = '', sha256 = ''] = match;
      if (!isContentId(sha256)) continue;
      found.push({
        packageId,
        basisVersion: Number(basis),
        version: Number(version),
        variant,
        path,
        sha256,
        bytes: facts.bytes,
      });
    }
    return found;
  }

  async find(key: PayloadKey): Promise<PayloadFile | undefined> {
    return (await this.list(key.packageId)).find((file) => nameOf(file) === nameOf(key));
  }

  /** The payload, made by `make` when it does not lie ready. Asked for twice at once, it is made once. */
  async obtain(key: PayloadKey, make: () => AsyncIterable<Uint8Array>): Promise<PayloadFile> {
    const ready = await this.find(key);
    if (ready !== undefined) return ready;
    const id = `${key.packageId}/${nameOf(key)}`;
    const under = this.#making.get(id) ?? this.#make(key, make()).finally(() => this.#making.delete(id));
    this.#making.set(id, under);
    return await under;
  }

  async #make(key: PayloadKey, source: AsyncIterable<Uint8Array>): Promise<PayloadFile> {
    return await staged(this.#place, 'payload', async (temporary) => {
      const hash = createHash('sha256');
      let bytes = 0;
      {
        await using handle = await this.#world.files.open(temporary, 'create');
        for await (const part of source) {
          hash.update(part);
          await handle.write(bytes, part);
          bytes += part.byteLength;
        }
        await handle.sync();
      }
      return await this.adopt(key, temporary, contentIdOf(hash.digest()), bytes);
    });
  }

  /** Takes over a synced file whose SHA-256 is known; the rename is the commit point. */
  async adopt(key: PayloadKey, from: string, sha256: ContentId, bytes: number): Promise<PayloadFile> {
    const directory = join(this.#directory, key.packageId);
    await this.#world.files.makeDirectory(directory);
    const path = join(directory, `${nameOf(key)}.${sha256}.payload`);
    await moveDurably(this.#place, from, path);
    this.#proven.add(path);
    const { packageId, basisVersion, version, variant } = key;
    return { packageId, basisVersion, version, variant, path, sha256, bytes };
  }

  /** Removes payloads that lead to versions before `newest`, but for those in use. */
  async retire(packageId: PackageId, newest: Version, isInUse: (file: PayloadFile) => boolean): Promise<void> {
    for (const file of await this.list(packageId)) {
      if (file.version < newest && !isInUse(file)) await this.#world.files.remove(file.path);
    }
  }

  /**
   * Whether the bytes are still those of the name, looked at once per start; a file that rotted is removed, as is one that
   * an older program made, and the next need makes it anew. To be asked before a payload is sent or served.
   */
  async isIntact(file: PayloadFile): Promise<boolean> {
    if (this.#proven.has(file.path)) return true;
    const hash = createHash('sha256');
    let isOurs: boolean | undefined;
    for await (const block of readFileBlocks(this.#world.files, file.path)) {
      isOurs ??= isPayloadPreamble(block);
      hash.update(block);
    }
    if (contentIdOf(hash.digest()) === file.sha256 && isOurs === true) {
      this.#proven.add(file.path);
      return true;
    }
    this.#world.log('error', 'a payload rotted or is of another format, and is made anew', { path: file.path });
    await this.#world.files.remove(file.path);
    return false;
  }

  /** Somebody could not use it: the next need makes it anew. */
  async remove(file: PayloadFile): Promise<void> {
    this.#proven.delete(file.path);
    await this.#world.files.remove(file.path);
  }

  /** What a payload says of itself. */
  async headOf(file: PayloadFile): Promise<PayloadHead> {
    for await (const record of payloadRecords(readFileBlocks(this.#world.files, file.path))) {
      return decodePayloadHead(record.body);
    }
    throw new RangeError(`${file.path} has no records`);
  }
}

function nameOf(key: PayloadKey): string {
  return `${key.basisVersion}-${key.version}${key.variant === '' ? '' : `~${key.variant}`}`;
}

/** A name for a set of held contents: the same set, the same name. */
export function variantOf(held: Iterable<ContentId>): string {
  const hash = createHash('sha256');
  for (const id of [...held].sort()) hash.update(id);
  return hash.digest('hex').slice(0, 16);
}

/** A file from `startByte` to its end in blocks, each a buffer of its own. */
export async function* readFileBlocks(files: Files, path: string, startByte = 0): AsyncGenerator<Uint8Array> {
  await using handle = await files.open(path, 'read');
  for (let offset = startByte; ; ) {
    const block = new Uint8Array(limits.blockBytes);
    const read = await handle.read(offset, block);
    if (read > 0) yield block.subarray(0, read);
    if (read < block.byteLength) return;
    offset += read;
  }
}
