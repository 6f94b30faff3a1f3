/** The contents of a tree as bytes: here and there, or one after another. */
import { join } from 'node:path';
import type { BasisReader } from 'native-free-rdc';
import { OpenFiles } from '../engine/store/open-files.ts';
import type { ContentId } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import type { Files } from '../world/files.ts';
import { changed, isUnchanged, type Place, smallFileBytesMax, type Tree } from './tree.ts';

/** Files begin at multiples of this in the basis, as the fields in them expect. */
const alignBytes = 16;

/** Random access to all contents of a tree, end to end, with few files open at a time. */
export class TreeBasis implements AsyncDisposable {
  readonly reader: BasisReader;
  /** Where each content begins in `reader`. */
  readonly starts: ReadonlyMap<ContentId, number>;
  readonly #files: Files;
  readonly #root: string;
  readonly #places: readonly Place[];
  readonly #placeStarts: Float64Array;
  readonly #openFiles: OpenFiles;
  readonly #room = new Uint8Array(smallFileBytesMax);
  /** Small files share a room: one after another. */
  #lastSmall: Promise<void> = Promise.resolve();

  constructor(files: Files, tree: Tree) {
    this.#files = files;
    this.#root = tree.root;
    this.#places = [...tree.places.values()];
    this.#placeStarts = new Float64Array(this.#places.length);
    this.#openFiles = new OpenFiles(files);
    const starts = new Map<ContentId, number>();
    let start = 0;
    for (const [content, { bytes }] of tree.places) {
      this.#placeStarts[starts.size] = start;
      starts.set(content, start);
      start += Math.ceil(bytes / alignBytes) * alignBytes;
    }
    this.starts = starts;
    this.reader = { bytes: start, read: (offset, into) => this.#read(offset, into) };
  }

  async #read(offset: number, into: Uint8Array): Promise<number> {
    const wantedBytes = Math.min(into.byteLength, Math.max(0, this.reader.bytes - offset));
    let filled = 0;
    for (let index = this.#placeAt(offset); filled < wantedBytes; index += 1) {
      const place = this.#places[index] as Place;
      const from = offset + filled - (this.#placeStarts[index] as number);
      const part = into.subarray(filled, filled + Math.min(wantedBytes - filled, Math.max(0, place.bytes - from)));
      if (part.byteLength > 0) await this.#readPlace(place, from, part);
      filled += part.byteLength;
      const nextStart = this.#placeStarts[index + 1] ?? this.reader.bytes;
      const paddingEnd = Math.min(wantedBytes, nextStart - offset);
      if (paddingEnd > filled) into.fill(0, filled, paddingEnd);
      filled = Math.max(filled, paddingEnd);
    }
    return wantedBytes;
  }

  async #readPlace(place: Place, from: number, into: Uint8Array): Promise<void> {
    const path = join(this.#root, place.path);
    if (place.bytes > smallFileBytesMax) {
      if ((await this.#openFiles.read(path, from, into)) < into.byteLength) throw changed(path);
    } else if (from === 0) await readSmall(this.#files, path, place, into);
    else {
      const reading = this.#lastSmall.then(async () => {
        const start = this.#room.subarray(0, from + into.byteLength);
        await readSmall(this.#files, path, place, start);
        into.set(start.subarray(from));
      });
      this.#lastSmall = reading.catch(() => undefined);
      await reading;
    }
  }

  /** Throws `source-changed` if a large file is not what was hashed; small ones are looked at whenever they are read. */
  async expectUnchanged(): Promise<void> {
    for (const place of this.#places) {
      if (place.bytes <= smallFileBytesMax) continue;
      const path = join(this.#root, place.path);
      const facts = await this.#files.facts(path);
      if (facts === undefined || !isUnchanged(facts, place)) throw changed(path);
    }
  }

  /** The last place that begins at `offset` or before. */
  #placeAt(offset: number): number {
    let low = 0;
    let high = this.#placeStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#placeStarts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#openFiles[Symbol.asyncDispose]();
  }
}

/** Fills `into` from the start of a file. Throws `source-changed` if it is not what it was. */
async function readSmall(files: Files, path: string, place: Place, into: Uint8Array): Promise<void> {
  const { facts, bytes } = await files.readStart(path, into);
  if (bytes < into.byteLength || !isUnchanged(facts, place)) throw changed(path);
}

/**
 * The bytes of some contents, end to end; each block is lent until the next one is asked for, and lies in `room`, of at
 * least `smallFileBytesMax` bytes. Throws `source-changed` if a file was touched since it was hashed.
 */
export async function* contentBytes(
  files: Files,
  tree: Tree,
  contents: Iterable<ContentId>,
  { signal, room = new Uint8Array(limits.blockBytes) }: { readonly signal: AbortSignal; readonly room?: Uint8Array },
): AsyncGenerator<Uint8Array> {
  for (const content of contents) {
    const place = tree.places.get(content);
    if (place === undefined) throw new RangeError(`no file of the tree has content ${content}`);
    const path = join(tree.root, place.path);
    signal.throwIfAborted();
    if (place.bytes > smallFileBytesMax) yield* largeFile(files, path, { place, room, signal });
    else {
      const into = room.subarray(0, place.bytes);
      await readSmall(files, path, place, into);
      yield into;
    }
  }
}

async function* largeFile(
  files: Files,
  path: string,
  { place, room, signal }: { readonly place: Place; readonly room: Uint8Array; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  await using handle = await files.open(path, 'read');
  for (let offset = 0; offset < place.bytes; ) {
    signal.throwIfAborted();
    const block = room.subarray(0, Math.min(room.byteLength, place.bytes - offset));
    if ((await handle.read(offset, block)) < block.byteLength) throw changed(path);
    yield block;
    offset += block.byteLength;
  }
  if (!isUnchanged(await handle.facts(), place)) throw changed(path);
}
