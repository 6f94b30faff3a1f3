/**
 * What leads from one folder to another, as one file: the target's manifest and one delta.
 *
 *     8   `SFFD`, version 1 as 4 bytes little-endian
 *     32  SHA-256 of the basis folder's manifest
 *     4   bytes of the target's manifest, decoded
 *     4   bytes of it as it follows
 *     n   the target's manifest: zstd with the basis' manifest as dictionary, so that only changed entries cost
 *     …   a delta of native-free-rdc from all contents of the basis to those that no file of it has
 *
 * Files that only moved or were renamed cost their manifest entry. Nothing appears under the output's name before every
 * file of it was verified by its SHA-256.
 */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import {
  applyDelta,
  createDiff,
  DELTA_HEADER_BYTES,
  type DiffJobs,
  type DiffLevel,
  type DiffSummary,
  readDeltaHeader,
} from 'native-free-rdc';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';
import { decodeManifest, fileEntries, type Manifest } from '../wire/manifest.ts';
import type { FileHandle, Files } from '../world/files.ts';
import { FolderWriter, fromOffset, invalid } from './folder-writer.ts';
import { hintsByName } from './hints.ts';
import { contentBytes, newContents, readTree, type Tree, TreeBasis } from './tree.ts';

const magic = 'SFFD';
const formatVersion = 1;
const headBytes = 48;
/** The window must span the dictionary, or zstd forgets it. */
const windowLogMax = 27;

export interface FolderDiffSummary extends Omit<DiffSummary, 'targetSha256'> {
  readonly files: {
    readonly same: number;
    readonly renamed: number;
    readonly changed: number;
    readonly new: number;
    readonly deleted: number;
  };
}

/** Whether `bytes`, the first of a file, begin a folder delta. */
export function isFolderDelta(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, magic.length)).toString('latin1') === magic;
}

/** The delta, piece by piece. Throws as `readTree`; `source-changed` if a folder changes meanwhile. */
export async function* diffFolders(
  files: Files,
  paths: { readonly basis: string; readonly target: string },
  options: {
    readonly level: DiffLevel;
    readonly jobs: DiffJobs | undefined;
    readonly signal: AbortSignal;
    readonly onSummary: (summary: FolderDiffSummary) => void;
  },
): AsyncGenerator<Uint8Array, void> {
  const { level, jobs, signal } = options;
  const [basis, target] = await Promise.all([
    readTree(files, paths.basis, signal),
    readTree(files, paths.target, signal),
  ]);
  const manifest = compressManifest(target.manifestBytes, basis.manifestBytes);
  yield encodeHead(basis, target.manifestBytes.byteLength, manifest.byteLength);
  yield manifest;
  await using old = new TreeBasis(files, basis);
  const contents = newContents(target.manifest, basis.manifest);
  let made: DiffSummary | undefined;
  yield* createDiff(old.reader, contentBytes(files, target, contents.keys(), signal), {
    level,
    basisId: sha256Of(basis.manifestBytes),
    hintsFor: hintsByName(contents, target.manifest, { manifest: basis.manifest, starts: old.starts }),
    ...(jobs === undefined ? {} : { jobs }),
    onSummary: (summary) => {
      made = summary;
    },
  });
  if (made === undefined) throw new Error('createDiff() ended without a summary');
  const targetBytes = fileEntries(target.manifest).reduce((sum, entry) => sum + entry.bytes, 0);
  options.onSummary({
    targetBytes,
    deltaBytes: headBytes + manifest.byteLength + made.deltaBytes,
    // What does not travel at all is copied at the receiver.
    copyBytes: targetBytes - made.addBytes - made.literalBytes,
    addBytes: made.addBytes,
    literalBytes: made.literalBytes,
    files: compareFiles(basis.manifest, target.manifest),
  });
}

function compareFiles(basis: Manifest, target: Manifest): FolderDiffSummary['files'] {
  const old = new Map(fileEntries(basis).map((entry) => [entry.path, entry]));
  const known = new Set(fileEntries(basis).map((entry) => entry.content));
  const counts = { same: 0, renamed: 0, changed: 0, new: 0, deleted: 0 };
  for (const entry of fileEntries(target)) {
    const before = old.get(entry.path);
    old.delete(entry.path);
    if (before?.content === entry.content) counts.same += 1;
    else if (known.has(entry.content)) counts.renamed += 1;
    else if (before !== undefined) counts.changed += 1;
    else counts.new += 1;
  }
  counts.deleted = old.size;
  return counts;
}

function encodeHead(basis: Tree, manifestBytes: number, encodedBytes: number): Uint8Array {
  const head = Buffer.alloc(headBytes);
  head.write(magic, 0, 'latin1');
  head.writeUInt32LE(formatVersion, 4);
  head.set(sha256Of(basis.manifestBytes), 8);
  head.writeUInt32LE(manifestBytes, 40);
  head.writeUInt32LE(encodedBytes, 44);
  return head;
}

function compressManifest(bytes: Uint8Array, old: Uint8Array): Uint8Array {
  const windowLog = Math.min(windowLogMax, Math.max(10, Math.ceil(Math.log2(bytes.byteLength + old.byteLength + 1))));
  const level = bytes.byteLength <= limits.manifestDictionaryBytesMax ? 19 : 6;
  return zstdCompressSync(bytes, {
    dictionary: old,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_windowLog]: windowLog,
      [constants.ZSTD_c_hashLog]: Math.min(windowLog, 24),
      [constants.ZSTD_c_chainLog]: Math.min(windowLog, 24),
    },
  });
}

function sha256Of(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/** A folder delta being read. */
interface FolderDelta {
  readonly target: Manifest;
  /** Where the delta of contents begins in the file. */
  readonly deltaStart: number;
}

/**
 * Rebuilds the target folder of a delta at `output`, which must not exist. Throws `basis-mismatch` before anything is
 * written if the folder is not the one the delta was made from, `delta-invalid`, `verification-failed`.
 */
export async function patchFolder(
  files: Files,
  paths: { readonly basis: string; readonly output: string; readonly draft: string },
  delta: FileHandle,
  signal: AbortSignal,
): Promise<{ readonly targetBytes: number; readonly manifest: string }> {
  const basis = await readTree(files, paths.basis, signal);
  const { target, deltaStart } = await readHead(delta, basis);
  await using old = new TreeBasis(files, basis);
  try {
    await files.makeDirectory(paths.draft);
    const writer = new FolderWriter(files, paths.draft, target);
    await writer.copyKnown(basis, signal);
    const wanted = newContents(target, basis.manifest);
    const bytesWanted = [...wanted.values()].reduce((sum, bytes) => sum + bytes, 0);
    const pieces = applyDelta(old.reader, fromOffset(delta, deltaStart, signal), { targetBytesMax: bytesWanted });
    await writer.writeStream(pieces, wanted);
    await writer.finish();
    await files.rename(paths.draft, paths.output);
    await files.syncDirectory(dirname(paths.output));
  } finally {
    await files.removeTree(paths.draft);
  }
  const targetBytes = fileEntries(target).reduce((sum, entry) => sum + entry.bytes, 0);
  return { targetBytes, manifest: sha256Hex(target) };
}

function sha256Hex(target: Manifest): string {
  const lines = target.entries.map((entry) => JSON.stringify(entry)).join('\n');
  return createHash('sha256').update(lines).digest('hex');
}

async function readHead(delta: FileHandle, basis: Tree): Promise<FolderDelta> {
  const head = Buffer.alloc(headBytes);
  if ((await delta.read(0, head)) < headBytes) throw invalid('it ends within its head');
  const version = head.readUInt32LE(4);
  if (version !== formatVersion) throw invalid(`its version is ${version}, expected ${formatVersion}`);
  if (!head.subarray(8, 40).equals(sha256Of(basis.manifestBytes))) {
    throw new ReplicationError(
      'basis-mismatch',
      `Cannot apply the delta: ${basis.root} is not the folder it was made from`,
      {
        hint: 'the very folder that was given to diff, as BASIS',
      },
    );
  }
  const manifestBytes = head.readUInt32LE(40);
  const encodedBytes = head.readUInt32LE(44);
  if (manifestBytes > limits.manifestBytesMax || encodedBytes > limits.manifestBytesMax)
    throw invalid('its manifest is too large');
  const facts = await delta.facts();
  if (headBytes + encodedBytes > facts.bytes) throw invalid('it ends within its manifest');
  const encoded = new Uint8Array(encodedBytes);
  await delta.read(headBytes, encoded);
  const deltaStart = headBytes + encodedBytes;
  const deltaHead = new Uint8Array(DELTA_HEADER_BYTES);
  const { basisId } = readDeltaHeader(deltaHead.subarray(0, await delta.read(deltaStart, deltaHead)));
  if (!head.subarray(8, 40).equals(basisId)) throw invalid('its two parts name different folders as basis');
  return {
    target: decodeManifest(decompressManifest(encoded, manifestBytes, basis)),
    deltaStart,
  };
}

function decompressManifest(encoded: Uint8Array, bytes: number, basis: Tree): Uint8Array {
  let raw: Uint8Array;
  try {
    raw = zstdDecompressSync(encoded, {
      dictionary: basis.manifestBytes,
      maxOutputLength: Math.max(1, bytes),
      params: { [constants.ZSTD_d_windowLogMax]: windowLogMax },
    });
  } catch (error) {
    throw invalid('its manifest does not decompress', error);
  }
  if (raw.byteLength !== bytes) throw invalid('its manifest has another length than it says');
  return raw;
}
