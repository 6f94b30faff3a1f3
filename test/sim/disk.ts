/**
 * The disk of one simulated machine: it outlives processes and power cuts.
 *
 * Holds the tree of names, space and faults, and gives tests a synchronous way in for preparing and looking. Processes
 * reach it through `sim-files.ts` and `sim-database.ts`.
 */
import { type ErrorCode, ReplicationError } from '../../src/errors.ts';
import { DatabaseRecords } from './database-records.ts';
import {
  type DirectoryNode,
  DiskTree,
  type FileNode,
  type LinkNode,
  type Node,
  type OtherNode,
  type Place,
} from './disk-tree.ts';
import { FileContent, type PowerLoss } from './file-content.ts';
import type { Seeded } from './seeded.ts';

export type DiskOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'truncate'
  | 'sync'
  | 'rename'
  | 'remove'
  | 'make-directory'
  | 'make-link'
  | 'make-executable'
  | 'sync-directory'
  | 'list'
  | 'facts'
  | 'commit';

/** Faults by chance, each the probability of one operation failing. */
export interface DiskChances {
  readFailed: number;
  writeFailed: number;
  syncFailed: number;
  diskFull: number;
}

/** A fault by script. */
export interface DiskFault {
  readonly operation: DiskOperation;
  readonly code: 'disk-full' | 'disk-failed' | 'access-denied';
  /** Only paths that contain this. */
  readonly pathPart?: string;
  /** Matching operations that still succeed first. */
  readonly skipCount?: number;
  /** How often it strikes; once when absent. */
  readonly count?: number;
}

export type SystemCode =
  | 'EACCES'
  | 'EEXIST'
  | 'EIO'
  | 'EISDIR'
  | 'ELOOP'
  | 'ENAMETOOLONG'
  | 'ENOENT'
  | 'ENOSPC'
  | 'ENOTDIR'
  | 'ENOTEMPTY';

const CODE_OF: Readonly<Record<SystemCode, ErrorCode>> = {
  EACCES: 'access-denied',
  EEXIST: 'name-taken',
  EIO: 'disk-failed',
  EISDIR: 'path-refused',
  ELOOP: 'path-refused',
  ENAMETOOLONG: 'path-refused',
  ENOENT: 'file-missing',
  ENOSPC: 'disk-full',
  ENOTDIR: 'file-missing',
  ENOTEMPTY: 'disk-failed',
};
const SYSTEM_CODE_OF = { 'disk-full': 'ENOSPC', 'disk-failed': 'EIO', 'access-denied': 'EACCES' } as const;

/** Linux gives up after this many links. */
const LINK_COUNT_MAX = 40;
const PATH_PART_BYTES_MAX = 255;
/** A simulated database is one file in its directory, called as the real one is, so that it can be set aside. */
export const DATABASE_FILE_NAME = 'records.mdb';

/** Where a path leads. `node` is absent when only its last part does not exist. */
export interface Found extends Place {
  readonly node: Node | undefined;
  /** The path without links. */
  readonly path: string;
}

export interface DiskOptions {
  readonly chance: Seeded;
  /** Wall time of the machine, for the facts of files. */
  readonly wallMs: () => number;
}

export class Disk {
  /** Room on the volume; tests may change it at any time. */
  capacityBytes = Number.POSITIVE_INFINITY;
  readonly chances: DiskChances = { readFailed: 0, writeFailed: 0, syncFailed: 0, diskFull: 0 };
  readonly tree: DiskTree;
  readonly #chance: Seeded;
  readonly #wallMs: () => number;
  readonly #locks = new Set<DirectoryNode>();
  #faults: (DiskFault & { left: { skip: number; strike: number } })[] = [];
  #usedBytes = 0;
  #idNext = 1;

  constructor(options: DiskOptions) {
    this.#chance = options.chance;
    this.#wallMs = options.wallMs;
    this.tree = new DiskTree(this.newDirectory());
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get freeBytes(): number {
    return Math.max(0, Math.min(this.capacityBytes, Number.MAX_SAFE_INTEGER) - this.#usedBytes);
  }

  /** Lets the next matching operations fail. */
  inject(fault: DiskFault): void {
    this.#faults.push({ ...fault, left: { skip: fault.skipCount ?? 0, strike: fault.count ?? 1 } });
  }

  /** Ends all faults, by chance and by script. */
  heal(): void {
    this.#faults = [];
    Object.assign(this.chances, { readFailed: 0, writeFailed: 0, syncFailed: 0, diskFull: 0 });
  }

  // For tests: at once, durable, without faults.

  /** Creates parents as needed; replaces what is there. */
  writeFile(path: string, bytes: Uint8Array | string, options: { readonly isExecutable?: boolean } = {}): void {
    const node = this.newFile();
    node.isExecutable = options.isExecutable ?? false;
    node.content.write(0, typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
    node.content.sync();
    this.#usedBytes += node.content.bytes;
    this.#place(path, node);
  }

  symlink(target: string, path: string): void {
    this.#place(path, this.newLink(target));
  }

  /** A device, pipe or socket. */
  makeOther(path: string): void {
    const node: OtherNode = { ...this.#nodeFacts(), kind: 'other' };
    this.#place(path, node);
  }

  makeDirectory(path: string): void {
    let directory = this.tree.root;
    for (const name of partsOf(path)) {
      const child = directory.entries.get(name) ?? this.newDirectory();
      if (child.kind !== 'directory') throw new RangeError(`Cannot prepare ${path}: ${name} is a ${child.kind}`);
      if (!directory.entries.has(name)) this.tree.changeDurably(child, undefined, { directory, name });
      directory = child;
    }
  }

  /** What the machine sees; `undefined` when there is no such file. */
  readFile(path: string): Uint8Array | undefined {
    const node = this.#lookUp(path);
    return node?.kind === 'file' ? node.content.view().slice() : undefined;
  }

  readText(path: string): string | undefined {
    const bytes = this.readFile(path);
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  }

  exists(path: string): boolean {
    return this.#lookUp(path) !== undefined;
  }

  /** Paths of everything below `path` but directories, sorted. */
  filesBelow(path: string): readonly string[] {
    const prefix = `/${partsOf(path).join('/')}`;
    const paths: string[] = [];
    this.tree.walk((node, at) => {
      if (node.kind !== 'directory' && (prefix === '/' || at.startsWith(`${prefix}/`))) paths.push(at);
    });
    return paths.sort();
  }

  removeTree(path: string): void {
    const place = this.find(path);
    if (place.node === undefined) return;
    this.tree.changeDurably(place.node, place, undefined);
    this.unname(place.node);
  }

  setModified(path: string, modifiedMs: number): void {
    const node = this.#lookUp(path);
    if (node === undefined) throw new RangeError(`Cannot set the time of ${path}: it does not exist`);
    node.modifiedMs = modifiedMs;
    node.changedMs = this.#wallMs();
  }

  setExecutable(path: string, isExecutable: boolean): void {
    const node = this.#lookUp(path);
    if (node?.kind !== 'file') throw new RangeError(`Cannot change ${path}: it is no file`);
    node.isExecutable = isExecutable;
    node.changedMs = this.#wallMs();
  }

  /** Whether the system refuses to open or list it. */
  setDenied(path: string, isDenied: boolean): void {
    const node = this.#lookUp(path);
    if (node === undefined) throw new RangeError(`Cannot deny ${path}: it does not exist`);
    node.isDenied = isDenied;
  }

  /** Decay of the medium: one bit changes, no fact of the file does. */
  flipBit(path: string, offset: number): void {
    const node = this.#lookUp(path);
    if (node?.kind !== 'file') throw new RangeError(`Cannot damage ${path}: it is no file`);
    node.content.flipBit(offset);
  }

  /** The database in `directory`, for tests that damage it; `undefined` when there is none. */
  databaseAt(directory: string): DatabaseRecords | undefined {
    const node = this.#lookUp(`${directory}/${DATABASE_FILE_NAME}`);
    return node?.kind === 'file' ? node.records : undefined;
  }

  // For the twins.

  /** Follows links everywhere but in the last part, unless told so. Throws what the system would. */
  find(path: string, options: { readonly isLastFollowed?: boolean; readonly action?: string } = {}): Found {
    const action = options.action ?? 'find';
    const trail: { readonly name: string; readonly node: DirectoryNode }[] = [{ name: '', node: this.tree.root }];
    const rest = partsOf(path).reverse();
    let linkCount = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      const directory = (trail.at(-1) as (typeof trail)[number]).node;
      if (name === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      if (Buffer.byteLength(name) > PATH_PART_BYTES_MAX) throw systemFailure('ENAMETOOLONG', action, path);
      if (directory.isDenied) throw systemFailure('EACCES', action, path);
      const node = directory.entries.get(name);
      const isLast = rest.length === 0;
      const at = (): string => `${trail.map((step) => step.name).join('/')}/${name}`;
      if (node === undefined) {
        if (isLast) return { directory, name, node, path: at() };
        throw systemFailure('ENOENT', action, path);
      }
      if (node.kind === 'symlink' && (!isLast || options.isLastFollowed === true)) {
        if (++linkCount > LINK_COUNT_MAX) throw systemFailure('ELOOP', action, path);
        if (node.target.startsWith('/')) trail.length = 1;
        rest.push(...partsOf(node.target, 'any').reverse());
        continue;
      }
      if (isLast) return { directory, name, node, path: at() };
      if (node.kind !== 'directory') throw systemFailure('ENOTDIR', action, path);
      trail.push({ name, node });
    }
    const last = trail.at(-1) as (typeof trail)[number];
    const parent = trail.at(-2) ?? last;
    const ownPath = trail.map((step) => step.name).join('/');
    return { directory: parent.node, name: last.name, node: last.node, path: ownPath === '' ? '/' : ownPath };
  }

  /** Throws the fault due now, if any. */
  check(operation: DiskOperation, path: string): void {
    for (const fault of this.#faults) {
      if (fault.operation !== operation || !path.includes(fault.pathPart ?? '') || fault.left.strike === 0) continue;
      if (fault.left.skip > 0) {
        fault.left.skip--;
        continue;
      }
      fault.left.strike--;
      throw systemFailure(SYSTEM_CODE_OF[fault.code], operation, path);
    }
    const { readFailed, writeFailed, syncFailed, diskFull } = this.chances;
    const isWriting = operation === 'write' || operation === 'commit';
    const failedChance = operation === 'read' ? readFailed : isWriting ? writeFailed : 0;
    const isSync = operation === 'sync' || operation === 'sync-directory';
    if (this.#chance.chance(isSync ? syncFailed : failedChance)) throw systemFailure('EIO', operation, path);
    if (isWriting && this.#chance.chance(diskFull)) throw systemFailure('ENOSPC', operation, path);
  }

  /** Takes room for `bytes` more (or gives it back when negative). */
  reserve(bytes: number, operation: DiskOperation, path: string): void {
    if (bytes > this.freeBytes) throw systemFailure('ENOSPC', operation, path);
    this.#usedBytes += bytes;
  }

  /** `node` lost its name: its room is free as soon as no handle holds it. */
  unname(node: Node): void {
    if (node.kind === 'directory') for (const child of node.entries.values()) this.unname(child);
    if (node.kind !== 'file') return;
    node.isNamed = false;
    this.release(node);
  }

  /** Call when a handle of `node` was closed. */
  release(node: FileNode): void {
    if (!node.isNamed && node.handleCount === 0) this.#usedBytes -= node.content.bytes + (node.records?.bytes ?? 0);
  }

  /** True when the lock is now the caller's. */
  takeLock(directory: DirectoryNode): boolean {
    if (this.#locks.has(directory)) return false;
    this.#locks.add(directory);
    return true;
  }

  freeLock(directory: DirectoryNode): void {
    this.#locks.delete(directory);
  }

  newFile(): FileNode {
    return { ...this.#nodeFacts(), kind: 'file', content: new FileContent(), isExecutable: false, isNamed: true };
  }

  newLink(target: string): LinkNode {
    return { ...this.#nodeFacts(), kind: 'symlink', target };
  }

  newDirectory(): DirectoryNode {
    return { ...this.#nodeFacts(), kind: 'directory', entries: new Map(), durable: new Map() };
  }

  /** The records of a database file, made on first use. */
  recordsOf(node: FileNode): DatabaseRecords {
    node.records ??= new DatabaseRecords();
    return node.records;
  }

  /** The process is gone: its locks are free, its handles closed; the page cache stays. */
  processEnded(): void {
    this.#locks.clear();
    this.#usedBytes = 0;
    this.tree.walk((node) => {
      node.handleCount = 0;
      if (node.kind !== 'file') return;
      if (node.records !== undefined) node.records.openedBy = undefined;
      this.#usedBytes += node.content.bytes + (node.records?.bytes ?? 0);
    });
  }

  /** The power is gone: what was not synced may be, too. */
  powerCut(loss: PowerLoss): void {
    this.tree.powerCut(loss, this.#chance);
    this.tree.walk((node) => {
      if (node.kind === 'file') {
        node.isNamed = true;
        node.content.powerCut(loss, this.#chance);
      }
    });
    this.processEnded();
  }

  #place(path: string, node: Node): void {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) throw new RangeError('Cannot replace the root');
    this.makeDirectory(`/${parts.join('/')}`);
    const { node: directory } = this.find(`/${parts.join('/')}`);
    if (directory?.kind !== 'directory') throw new RangeError(`Cannot prepare ${path}: its parent is no directory`);
    const replaced = directory.entries.get(name);
    this.tree.changeDurably(node, undefined, { directory, name });
    if (replaced !== undefined) this.unname(replaced);
  }

  #lookUp(path: string): Node | undefined {
    try {
      return this.find(path).node;
    } catch {
      return undefined;
    }
  }

  #nodeFacts(): {
    readonly id: number;
    modifiedMs: number;
    changedMs: number;
    isDenied: boolean;
    handleCount: number;
  } {
    const nowMs = this.#wallMs();
    return { id: this.#idNext++, modifiedMs: nowMs, changedMs: nowMs, isDenied: false, handleCount: 0 };
  }
}

/** A failure in the words of the real files: our code, the system's error as cause. */
export function systemFailure(systemCode: SystemCode, action: string, path: string): ReplicationError {
  const cause = Object.assign(new Error(`${systemCode}: ${action} '${path}'`), { code: systemCode });
  return new ReplicationError(CODE_OF[systemCode], `Cannot ${action} ${path}: ${systemCode}`, { cause });
}

function partsOf(path: string, kind: 'absolute' | 'any' = 'absolute'): string[] {
  if (kind === 'absolute' && !path.startsWith('/')) {
    throw new TypeError(`Cannot use the path ${path}: expected an absolute one`);
  }
  if (path.includes('\0')) throw new TypeError('Cannot use a path with a zero byte');
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
