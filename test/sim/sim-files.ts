/**
 * The files of one simulated life, on the disk of its machine.
 *
 * Every call takes a little virtual time, so that calls in flight together finish in any order; its effect is there at
 * the end of that time, at once and wholly, but for writes that fail half-way and trees, which are removed name by name.
 */

import { ReplicationError } from '../../src/errors.ts';
import type { FileFacts, FileHandle, Files, OpenMode } from '../../src/world/files.ts';
import { type Disk, type DiskOperation, systemFailure } from './disk.ts';
import type { DirectoryNode, FileNode, Node } from './disk-tree.ts';
import { type Life, never, type Operation } from './life.ts';

const OPERATION_MS_MAX = 2;
const SYNC_MS_MIN = 1;
const SYNC_MS_MAX = 8;

type OperationDetails = Partial<Pick<Operation<unknown>, 'isChange' | 'facts' | 'content' | 'applyPartly'>>;

/** `disk` must be that of the machine the life runs on. */
export function simFiles(life: Life, disk: Disk, wallMs: () => number): Files {
  return new SimFiles(life, disk, wallMs);
}

class SimFiles implements Files {
  readonly life: Life;
  readonly disk: Disk;
  readonly wallMs: () => number;
  readonly #latency;

  constructor(life: Life, disk: Disk, wallMs: () => number) {
    this.life = life;
    this.disk = disk;
    this.wallMs = wallMs;
    this.#latency = life.seeded.fork('files');
  }

  /** One operation with its latency and its faults. */
  perform<Result>(
    name: DiskOperation,
    path: string,
    apply: () => Result,
    more: OperationDetails = {},
  ): Promise<Result> {
    if (!path.isWellFormed()) return Promise.reject(new TypeError('Cannot use a path that is no valid Unicode'));
    const isSync = name === 'sync' || name === 'sync-directory';
    return this.life.perform({
      name,
      facts: path,
      delayMs: isSync ? this.#latency.between(SYNC_MS_MIN, SYNC_MS_MAX) : this.#latency.between(0, OPERATION_MS_MAX),
      apply,
      ...more,
    });
  }

  /** A share in [0, 1): how far a failing write came. */
  tornShare(): number {
    return this.#latency.fraction();
  }

  async readStart(path: string, into: Uint8Array): Promise<{ readonly facts: FileFacts; readonly bytes: number }> {
    await using handle = await this.open(path, 'read');
    const facts = await handle.facts();
    return { facts, bytes: await handle.read(0, into) };
  }

  open(path: string, mode: OpenMode): Promise<FileHandle> {
    const isCreating = mode === 'create' || mode === 'resume';
    const facts = `${path} to ${mode}`;
    return this.perform('open', path, () => this.#open(path, mode), { isChange: isCreating, facts });
  }

  #open(path: string, mode: OpenMode): FileHandle {
    this.disk.check('open', path);
    const place = this.disk.find(path, { action: 'open' });
    let node = place.node;
    if (node === undefined) {
      if (mode === 'read' || mode === 'update') throw systemFailure('ENOENT', 'open', path);
      node = this.disk.newFile();
      this.disk.tree.change(node, undefined, place);
      this.#touch(place.directory);
    } else if (mode === 'create') {
      throw systemFailure('EEXIST', 'create', path);
    }
    if (node.kind === 'symlink') throw systemFailure('ELOOP', 'open', path);
    if (node.kind !== 'file') throw systemFailure('EISDIR', 'open', path);
    if (node.isDenied) throw systemFailure('EACCES', 'open', path);
    return new SimFileHandle(this, node, path, mode !== 'read');
  }

  facts(path: string): Promise<FileFacts | undefined> {
    return this.perform('facts', path, () => {
      this.disk.check('facts', path);
      try {
        const { node } = this.disk.find(path, { action: 'look at' });
        return node === undefined ? undefined : factsOf(node);
      } catch (error) {
        if (error instanceof ReplicationError && error.code === 'file-missing') return undefined;
        throw error;
      }
    });
  }

  list(path: string): Promise<readonly string[]> {
    return this.perform('list', path, () => {
      this.disk.check('list', path);
      const { node } = this.disk.find(path, { action: 'list' });
      if (node === undefined) throw systemFailure('ENOENT', 'list', path);
      if (node.kind === 'symlink') throw systemFailure('ELOOP', 'list', path);
      if (node.kind !== 'directory') throw systemFailure('ENOTDIR', 'list', path);
      if (node.isDenied) throw systemFailure('EACCES', 'list', path);
      const names = [...node.entries.keys()].sort();
      const illFormed = names.find((name) => !name.isWellFormed());
      if (illFormed === undefined) return names;
      throw new ReplicationError(
        'path-refused',
        `Cannot list ${path}: ${JSON.stringify(illFormed)} is no valid Unicode`,
      );
    });
  }

  readLink(path: string): Promise<string> {
    return this.perform('facts', path, () => {
      const { node } = this.disk.find(path, { action: 'read link' });
      if (node === undefined) throw systemFailure('ENOENT', 'read link', path);
      if (node.kind !== 'symlink') throw systemFailure('EIO', 'read link', path);
      return node.target;
    });
  }

  makeLink(path: string, target: string): Promise<void> {
    if (!target.isWellFormed()) return Promise.reject(new TypeError('Cannot use a link that is no valid Unicode'));
    const make = (): void => {
      this.disk.check('make-link', path);
      const place = this.disk.find(path, { action: 'make link' });
      if (target === '') throw systemFailure('ENOENT', 'make link', path);
      if (place.node !== undefined) throw systemFailure('EEXIST', 'make link', path);
      this.disk.tree.change(this.disk.newLink(target), undefined, place);
      this.#touch(place.directory);
    };
    return this.perform('make-link', path, make, { isChange: true, facts: `${path} to ${target}` });
  }

  makeExecutable(path: string): Promise<void> {
    const make = (): void => {
      this.disk.check('make-executable', path);
      const { node } = this.disk.find(path, { action: 'make executable' });
      if (node === undefined) throw systemFailure('ENOENT', 'make executable', path);
      if (node.kind === 'symlink') throw systemFailure('ELOOP', 'make executable', path);
      if (node.kind !== 'file') throw systemFailure('EISDIR', 'make executable', path);
      if (node.isDenied) throw systemFailure('EACCES', 'make executable', path);
      node.isExecutable = true;
      node.changedMs = this.wallMs();
    };
    return this.perform('make-executable', path, make, { isChange: true });
  }

  realPath(path: string): Promise<string> {
    return this.perform('facts', path, () => {
      const found = this.disk.find(path, { isLastFollowed: true, action: 'resolve' });
      if (found.node === undefined) throw systemFailure('ENOENT', 'resolve', path);
      return found.path;
    });
  }

  makeDirectory(path: string): Promise<void> {
    const makeAll = (): void => {
      this.disk.check('make-directory', path);
      const parts = path.split('/').filter((name) => name !== '');
      for (const depth of parts.keys()) {
        const isLast = depth === parts.length - 1;
        const at = `/${parts.slice(0, depth + 1).join('/')}`;
        const place = this.disk.find(at, { isLastFollowed: !isLast, action: 'make directory' });
        if (place.node === undefined) {
          this.disk.tree.changeDurably(this.disk.newDirectory(), undefined, place);
          this.#touch(place.directory);
        } else if (place.node.kind !== 'directory') {
          const lastCode = place.node.kind === 'symlink' ? 'ELOOP' : 'EEXIST';
          throw systemFailure(isLast ? lastCode : 'ENOTDIR', 'make directory', path);
        } else if (isLast) {
          // Present names become durable, too: an earlier process may have died before its sync.
          this.disk.tree.sync(place.directory);
        }
      }
    };
    return this.perform('make-directory', path, makeAll, { isChange: true });
  }

  makeSubdirectory(path: string): Promise<void> {
    const make = (): void => {
      this.disk.check('make-directory', path);
      const place = this.disk.find(path, { action: 'make directory' });
      if (place.node !== undefined) throw systemFailure('EEXIST', 'make directory', path);
      this.disk.tree.change(this.disk.newDirectory(), undefined, place);
      this.#touch(place.directory);
    };
    return this.perform('make-directory', path, make, { isChange: true });
  }

  rename(from: string, to: string): Promise<void> {
    const move = (): void => {
      this.disk.check('rename', from);
      const source = this.disk.find(from, { action: 'rename' });
      const target = this.disk.find(to, { action: 'rename to' });
      if (source.node === undefined) throw systemFailure('ENOENT', 'rename', from);
      if (source.node === target.node) return;
      if (target.path.startsWith(`${source.path}/`)) throw systemFailure('EIO', 'rename into itself', from);
      if (target.node !== undefined) {
        if (target.node.kind === 'directory') {
          if (source.node.kind !== 'directory') throw systemFailure('EISDIR', 'rename to', to);
          if (target.node.entries.size > 0) throw systemFailure('ENOTEMPTY', 'rename to', to);
        } else if (source.node.kind === 'directory') {
          throw systemFailure('ENOTDIR', 'rename to', to);
        }
      }
      this.disk.tree.change(source.node, source, target);
      source.node.changedMs = this.wallMs();
      this.#touch(source.directory, target.directory);
      if (target.node !== undefined) this.disk.unname(target.node);
    };
    return this.perform('rename', from, move, { isChange: true, facts: `${from} to ${to}` });
  }

  remove(path: string): Promise<void> {
    const remove = (): void => {
      this.disk.check('remove', path);
      const place = this.#findIfPresent(path, 'remove');
      if (place?.node === undefined) return;
      if (place.node.kind === 'directory') throw systemFailure('EISDIR', 'remove', path);
      this.disk.tree.change(place.node, place, undefined);
      this.#touch(place.directory);
      this.disk.unname(place.node);
    };
    return this.perform('remove', path, remove, { isChange: true });
  }

  async removeTree(path: string): Promise<void> {
    const kind = await this.perform('facts', path, () => this.#findIfPresent(path, 'remove tree')?.node?.kind);
    if (kind === undefined) return;
    if (kind !== 'directory') return this.remove(path);
    for (const name of await this.#namesIfPresent(path)) await this.removeTree(`${path}/${name}`);
    const removeEmpty = (): void => {
      this.disk.check('remove', path);
      const place = this.#findIfPresent(path, 'remove tree');
      if (place?.node === undefined) return;
      if (place.node.kind === 'directory' && place.node.entries.size > 0) {
        throw systemFailure('ENOTEMPTY', 'remove tree', path);
      }
      this.disk.tree.change(place.node, place, undefined);
      this.#touch(place.directory);
    };
    await this.perform('remove', path, removeEmpty, { isChange: true });
  }

  syncDirectory(path: string): Promise<void> {
    const sync = (): void => {
      this.disk.check('sync-directory', path);
      const { node } = this.disk.find(path, { action: 'sync directory' });
      if (node === undefined) throw systemFailure('ENOENT', 'sync directory', path);
      if (node.kind !== 'directory') throw systemFailure('ENOTDIR', 'sync directory', path);
      this.disk.tree.sync(node);
    };
    return this.perform('sync-directory', path, sync, { isChange: true });
  }

  freeBytes(path: string): Promise<number> {
    return this.perform('facts', path, () => {
      if (this.disk.find(path, { isLastFollowed: true }).node === undefined) {
        throw systemFailure('ENOENT', 'ask for room at', path);
      }
      return this.disk.freeBytes;
    });
  }

  lock(directory: string): Promise<AsyncDisposable> {
    return this.perform('open', directory, () => {
      const { node } = this.disk.find(directory, { isLastFollowed: true, action: 'lock' });
      if (node === undefined) throw systemFailure('ENOENT', 'lock', directory);
      if (node.kind !== 'directory') throw systemFailure('ENOTDIR', 'lock', directory);
      if (!this.disk.takeLock(node)) {
        throw new ReplicationError('already-running', `Cannot lock ${directory}: another process holds it`);
      }
      let isHeld = true;
      return {
        [Symbol.asyncDispose]: async () => {
          if (this.life.isOver) return never();
          if (isHeld) this.disk.freeLock(node);
          isHeld = false;
        },
      };
    });
  }

  #findIfPresent(path: string, action: string): ReturnType<Disk['find']> | undefined {
    try {
      return this.disk.find(path, { action });
    } catch (error) {
      if (error instanceof ReplicationError && error.code === 'file-missing') return undefined;
      throw error;
    }
  }

  #namesIfPresent(path: string): Promise<readonly string[]> {
    return this.perform('list', path, () => {
      this.disk.check('list', path);
      const node = this.#findIfPresent(path, 'remove tree')?.node;
      return node?.kind === 'directory' ? [...node.entries.keys()].sort() : [];
    });
  }

  /** The content of a directory changed. */
  #touch(...directories: readonly DirectoryNode[]): void {
    for (const directory of directories) {
      directory.modifiedMs = this.wallMs();
      directory.changedMs = directory.modifiedMs;
    }
  }
}

class SimFileHandle implements FileHandle {
  readonly #files: SimFiles;
  readonly #node: FileNode;
  readonly #path: string;
  readonly #isWritable: boolean;
  #isOpen = true;
  /** A sync failed: like the real handle, this one never reports success again. */
  #isLost = false;

  constructor(files: SimFiles, node: FileNode, path: string, isWritable: boolean) {
    this.#files = files;
    this.#node = node;
    this.#path = path;
    this.#isWritable = isWritable;
    node.handleCount++;
  }

  facts(): Promise<FileFacts> {
    return this.#perform('facts', () => factsOf(this.#node));
  }

  read(offset: number, into: Uint8Array): Promise<number> {
    assertOffset(offset);
    return this.#perform(
      'read',
      () => {
        this.#files.disk.check('read', this.#path);
        return this.#node.content.read(offset, into);
      },
      { facts: `${this.#path} [${offset}, ${offset + into.length})` },
    );
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    assertOffset(offset);
    // Not `slice`, which gives a view of a Buffer: the comparison below would never fail.
    const given = new Uint8Array(bytes);
    return this.#change(
      'write',
      () => {
        if (Buffer.compare(given, bytes) !== 0) {
          this.#files.life.simulation.reportBreach(`The buffer of a write to ${this.#path} changed before it was done`);
        }
        try {
          this.#files.disk.check('write', this.#path);
          this.#reserveTo(Math.max(this.#node.content.bytes, offset + bytes.length), 'write');
        } catch (error) {
          this.#writeTorn(offset, given);
          throw error;
        }
        this.#node.content.write(offset, given);
        this.#touch();
      },
      {
        facts: `${this.#path} [${offset}, ${offset + bytes.length})`,
        content: given,
        applyPartly: () => this.#writeTorn(offset, given),
      },
    );
  }

  truncate(bytes: number): Promise<void> {
    assertOffset(bytes);
    return this.#change(
      'truncate',
      () => {
        this.#files.disk.check('truncate', this.#path);
        this.#reserveTo(bytes, 'truncate');
        this.#node.content.truncate(bytes);
        this.#touch();
      },
      { facts: `${this.#path} to ${bytes}` },
    );
  }

  sync(): Promise<void> {
    return this.#perform(
      'sync',
      () => {
        try {
          if (this.#isLost) throw systemFailure('EIO', 'sync', this.#path);
          this.#files.disk.check('sync', this.#path);
        } catch (error) {
          this.#isLost = true;
          this.#node.content.failSync();
          throw error;
        }
        this.#node.content.sync();
      },
      { isChange: true },
    );
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#files.perform('open', this.#path, () => {
      this.#node.handleCount--;
      this.#files.disk.release(this.#node);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #perform<Result>(name: DiskOperation, apply: () => Result, more: OperationDetails = {}): Promise<Result> {
    if (!this.#isOpen) return Promise.reject(new TypeError(`Cannot ${name} ${this.#path}: the handle is closed`));
    return this.#files.perform(name, this.#path, apply, more);
  }

  #change(name: 'write' | 'truncate', apply: () => void, more: OperationDetails): Promise<void> {
    if (this.#isWritable) return this.#perform(name, apply, { isChange: true, ...more });
    return Promise.reject(systemFailure('EACCES', name, this.#path));
  }

  #reserveTo(bytes: number, operation: DiskOperation): void {
    this.#files.disk.reserve(bytes - this.#node.content.bytes, operation, this.#path);
  }

  /** A failing write leaves any beginning of its bytes, as far as there is room. */
  #writeTorn(offset: number, bytes: Uint8Array): void {
    const roomBytes = Math.max(0, this.#node.content.bytes + this.#files.disk.freeBytes - offset);
    const part = bytes.subarray(0, Math.min(Math.floor(this.#files.tornShare() * (bytes.length + 1)), roomBytes));
    if (part.length === 0) return;
    this.#reserveTo(Math.max(this.#node.content.bytes, offset + part.length), 'write');
    this.#node.content.write(offset, part);
    this.#touch();
  }

  #touch(): void {
    this.#node.modifiedMs = this.#files.wallMs();
    this.#node.changedMs = this.#node.modifiedMs;
  }
}

function factsOf(node: Node): FileFacts {
  return {
    kind: node.kind,
    bytes: node.kind === 'file' ? node.content.bytes : 0,
    allocatedBytes: node.kind === 'file' ? node.content.allocatedBytes : 0,
    modifiedMs: node.modifiedMs,
    changedMs: node.changedMs,
    isExecutable: node.kind === 'file' && node.isExecutable,
    identity: `sim:${node.id}`,
  };
}

function assertOffset(offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new RangeError(`Cannot use the offset ${offset}: expected a whole number from 0`);
  }
}
