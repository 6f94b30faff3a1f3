/**
 * A folder delta as bytes: a head, the target's manifest, one delta.
 *
 *     8   `SFFD`, version 2 as 4 bytes little-endian, as all numbers
 *     32  SHA-256 of the basis folder's manifest
 *     4   bytes of the target's manifest, decoded
 *     4   bytes of it as it follows
 *     4   count of files that had holes
 *     n   the target's manifest: zstd with the basis' manifest as dictionary, so that only changed entries cost
 *     4…  for each file that had holes: which one it is of the manifest's files, ascending
 *     …   a delta of native-free-rdc from all contents of the basis to those that no file of it has
 */
import { createHash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { DELTA_HEADER_BYTES, readDeltaHeader } from 'native-free-rdc';
import { ReplicationError } from '../errors.ts';
import type { ContentId } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import { decodeManifest, fileEntries, type Manifest } from '../wire/manifest.ts';
import type { FileHandle } from '../world/files.ts';
import { folderDeltaMagic } from './is-folder-delta.ts';
import type { Tree } from './tree.ts';

const formatVersion = 2;
const headBytes = 52;
/** The window must span the dictionary, or zstd forgets it. */
const windowLogMax = 27;

/** Head and manifest of a delta from `basis` to `target`; the delta of the contents follows. */
export function encodeFolderHead(basis: Tree, target: Tree): Uint8Array {
  const manifest = compressManifest(target.manifestBytes, basis.manifestBytes);
  const holed = indexesOf(target);
  const head = Buffer.alloc(headBytes);
  head.write(folderDeltaMagic, 0, 'latin1');
  head.writeUInt32LE(formatVersion, 4);
  head.set(sha256Of(basis.manifestBytes), 8);
  head.writeUInt32LE(target.manifestBytes.byteLength, 40);
  head.writeUInt32LE(manifest.byteLength, 44);
  head.writeUInt32LE(holed.length, 48);
  const list = Buffer.alloc(holed.length * 4);
  holed.forEach((index, at) => {
    list.writeUInt32LE(index, at * 4);
  });
  return Buffer.concat([head, manifest, list]);
}

function indexesOf({ manifest, places }: Tree): number[] {
  return fileEntries(manifest).flatMap(({ content }, index) => (places.get(content)?.isSparse ? [index] : []));
}

function compressManifest(bytes: Uint8Array, old: Uint8Array): Uint8Array {
  const windowLog = Math.min(windowLogMax, Math.max(10, Math.ceil(Math.log2(bytes.byteLength + old.byteLength + 1))));
  return zstdCompressSync(bytes, {
    dictionary: old,
    params: {
      // What changed is hashes, and the rest lies in the dictionary: level 19 takes 20 times as long for 1 % less.
      [constants.ZSTD_c_compressionLevel]: 3,
      [constants.ZSTD_c_windowLog]: windowLog,
      [constants.ZSTD_c_hashLog]: Math.min(windowLog, 24),
      [constants.ZSTD_c_chainLog]: Math.min(windowLog, 24),
    },
  });
}

export function sha256Of(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/** A folder delta being read. */
export interface FolderDelta {
  readonly target: Manifest;
  /** Contents whose files had holes. */
  readonly sparse: ReadonlySet<ContentId>;
  /** Where the delta of contents begins in the file. */
  readonly deltaStart: number;
}

/**
 * Reads head and manifest of a folder delta. Throws `basis-mismatch` if `basis` is not the folder it was made from, and
 * `delta-invalid`.
 */
export async function readFolderHead(delta: FileHandle, basis: Tree): Promise<FolderDelta> {
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
  const sparseCount = head.readUInt32LE(48);
  if (manifestBytes > limits.manifestBytesMax || encodedBytes > limits.manifestBytesMax)
    throw invalid('its manifest is too large');
  const deltaStart = headBytes + encodedBytes + sparseCount * 4;
  if (deltaStart > (await delta.facts()).bytes) throw invalid('it ends within its manifest');
  const encoded = new Uint8Array(encodedBytes);
  await delta.read(headBytes, encoded);
  const target = decodeManifest(decompressManifest(encoded, manifestBytes, basis));
  const sparse = await readSparse(delta, { start: headBytes + encodedBytes, count: sparseCount, target });
  const deltaHead = new Uint8Array(DELTA_HEADER_BYTES);
  const { basisId } = readDeltaHeader(deltaHead.subarray(0, await delta.read(deltaStart, deltaHead)));
  if (!head.subarray(8, 40).equals(basisId)) throw invalid('its two parts name different folders as basis');
  return { target, sparse, deltaStart };
}

async function readSparse(
  delta: FileHandle,
  list: { readonly start: number; readonly count: number; readonly target: Manifest },
): Promise<ReadonlySet<ContentId>> {
  const files = fileEntries(list.target);
  if (list.count > files.length) throw invalid('more files have holes than there are files');
  const bytes = Buffer.alloc(list.count * 4);
  await delta.read(list.start, bytes);
  const sparse = new Set<ContentId>();
  for (let at = 0; at < bytes.length; at += 4) {
    const entry = files[bytes.readUInt32LE(at)];
    if (entry === undefined) throw invalid('a file that is not there has holes');
    sparse.add(entry.content);
  }
  return sparse;
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

export function invalid(state: string, cause?: unknown): ReplicationError {
  return new ReplicationError('delta-invalid', `Cannot read the delta: ${state}`, cause === undefined ? {} : { cause });
}
