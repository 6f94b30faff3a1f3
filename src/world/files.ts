/**
 * The disk, as the engine needs it.
 *
 * Guarantees: nothing here follows a symbolic link in the last component of a path; a failed call throws a
 * `ReplicationError` (`disk-full`, `file-missing`, `name-taken`, `access-denied`, `path-refused` for what is not of the
 * wanted kind, `disk-failed`, `already-running`) with the system's error as cause; after a failed `sync` the file must be treated as lost. Durability is explicit: bytes are durable
 * after `FileHandle.sync`, names after `syncDirectory` of the directory that holds them; until then a power cut may
 * undo any of it. Paths are absolute.
 */

export type FileKind = 'file' | 'directory' | 'symlink' | 'other';

export interface FileFacts {
  readonly kind: FileKind;
  /** Length of a file's content; 0 for anything else. A non-negative safe integer. */
  readonly bytes: number;
  /**
   * What a file occupies, in whole blocks of its volume; 0 for anything else. Fewer than `bytes` where it has holes or
   * the volume compresses; equal to `bytes` where the system does not tell (Windows). For reports, not for decisions:
   * some volumes tell it only after a sync.
   */
  readonly allocatedBytes: number;
  /** Last change of content, milliseconds since the epoch, with fractions where the system has them. */
  readonly modifiedMs: number;
  /** Last change of content or metadata (ctime): changes even when someone sets `modifiedMs` back. */
  readonly changedMs: number;
  /** Whether the owner may execute it. */
  readonly isExecutable: boolean;
  /** Same value = same file on the same volume (device and inode). */
  readonly identity: string;
}

export interface FileHandle extends AsyncDisposable {
  facts(): Promise<FileFacts>;
  /** Fills `into` from `offset`; returns the bytes read, fewer than asked only at the end of the file. */
  read(offset: number, into: Uint8Array): Promise<number>;
  /**
   * Writes all of `bytes` at `offset`, extending the file if needed; a gap reads as zeros and, where the volume can, is a
   * hole. The caller keeps the buffer, unchanged until done.
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Makes the file this long; what is added reads as zeros and, where the volume can, is a hole. */
  truncate(bytes: number): Promise<void>;
  /** On return all bytes and the length are durable. */
  sync(): Promise<void>;
  /** Idempotent. Calls under way end first, on this file; later ones are refused. */
  close(): Promise<void>;
}

/**
 * `read`: must exist. `create`: must not exist (created with owner-only access). `update`: must exist, for reading and
 * writing. `resume`: created when absent, for reading and writing. All but regular files are refused.
 */
export type OpenMode = 'read' | 'create' | 'update' | 'resume';

export interface Files {
  open(path: string, mode: OpenMode): Promise<FileHandle>;
  /**
   * Fills `into` from the start of a regular file, which is open no longer than that; returns its facts from before and
   * the bytes read, fewer than asked only at the end of the file. Refuses and throws as `open` and `read`. Five times as
   * fast as those for small files, because this thread waits for the disk: for commands, not for nodes, which have
   * others to answer meanwhile.
   */
  readStart(path: string, into: Uint8Array): Promise<{ readonly facts: FileFacts; readonly bytes: number }>;
  /** Facts of the thing itself, a link not followed; `undefined` when there is nothing. */
  facts(path: string): Promise<FileFacts | undefined>;
  /** Names in a directory, sorted by UTF-16 code units. A name that is not valid Unicode throws `path-refused`. */
  list(path: string): Promise<readonly string[]>;
  readLink(path: string): Promise<string>;
  /**
   * Makes a symbolic link with this text, which need not lead anywhere; `name-taken` when something is there, be it a link.
   * As any new name durable only after `syncDirectory`.
   */
  makeLink(path: string, target: string): Promise<void>;
  /**
   * Lets the owner execute a regular file; all else is refused. Durable after the next `sync` of the file. On systems
   * without such a permission nothing changes.
   */
  makeExecutable(path: string): Promise<void>;
  /** The path with every symbolic link resolved; `file-missing` when it does not exist. */
  realPath(path: string): Promise<string>;
  /** Creates the directory and its missing parents, owner-only, and makes their names durable. No error if present. */
  makeDirectory(path: string): Promise<void>;
  /**
   * Creates one directory, owner-only; `name-taken` when something is there, `file-missing` without its parent. As any new
   * name durable only after `syncDirectory`: for who makes many and syncs them all in the end.
   */
  makeSubdirectory(path: string): Promise<void>;
  /** Atomic for readers; replaces a file at `to`. Durable only after `syncDirectory` of both directories. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or link; no error when absent. */
  remove(path: string): Promise<void>;
  /** Removes a directory and all in it; no error when absent. */
  removeTree(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Bytes an ordinary user may still write on the volume of `path`. */
  freeBytes(path: string): Promise<number>;
  /**
   * Takes the exclusive lock of a directory for this process's life or until disposed; `already-running` when another
   * process holds it. A lock held by a dead process is free.
   */
  lock(directory: string): Promise<AsyncDisposable>;
}
