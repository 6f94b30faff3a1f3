/**
 * Where the contents of a target probably come from, by name: the file at the same path of the basis, else one at a
 * path that differs only in digits, as versions do.
 */
import type { Extent } from 'native-free-rdc';
import type { ContentId } from '../../model/content.ts';
import { type FileEntry, fileEntries, type Manifest } from '../../wire/manifest.ts';

/** What lies before and after the expected part, so that insertions and removals are followed. */
const marginBytes = 128 * 1024;

interface Related {
  /** In the stream of contents. */
  readonly start: number;
  readonly bytes: number;
  /** In the basis. */
  readonly basisStart: number;
  readonly basisBytes: number;
}

/** Extents of the basis for any part of `contents` (distinct ones with their bytes), laid end to end. */
export function hintsByName(
  contents: Iterable<readonly [ContentId, number]>,
  target: Manifest,
  basis: { readonly manifest: Manifest; readonly starts: ReadonlyMap<ContentId, number> },
): (start: number, bytes: number) => Extent[] {
  const related = relatives(contents, target, basis);
  return (start, bytes) => {
    const extents: Extent[] = [];
    for (let index = firstEndingAfter(related, start); index < related.length; index += 1) {
      const file = related[index] as Related;
      if (file.start >= start + bytes) break;
      const scale = file.basisBytes / file.bytes;
      const from = Math.max(0, Math.floor((start - file.start) * scale) - marginBytes);
      const to = Math.min(file.basisBytes, Math.ceil((start + bytes - file.start) * scale) + marginBytes);
      if (to > from) extents.push({ start: file.basisStart + from, bytes: to - from });
    }
    return extents;
  };
}

function relatives(
  contents: Iterable<readonly [ContentId, number]>,
  target: Manifest,
  basis: { readonly manifest: Manifest; readonly starts: ReadonlyMap<ContentId, number> },
): Related[] {
  const wanted = [...contents];
  const names = namesOf(target, new Set(wanted.map(([content]) => content)));
  const old = new Relatives(basis.manifest, new Set(names.values()));
  const related: Related[] = [];
  let start = 0;
  for (const [content, bytes] of wanted) {
    const relative = old.of(names.get(content) ?? '');
    const basisStart = relative === undefined ? undefined : basis.starts.get(relative.content);
    if (relative !== undefined && basisStart !== undefined) {
      related.push({ start, bytes, basisStart, basisBytes: relative.bytes });
    }
    start += bytes;
  }
  return related;
}

/** The first path of each wanted content. */
function namesOf(target: Manifest, wanted: ReadonlySet<ContentId>): Map<ContentId, string> {
  const names = new Map<ContentId, string>();
  for (const { content, path } of fileEntries(target)) {
    if (wanted.has(content) && !names.has(content)) names.set(content, path);
  }
  return names;
}

/** The old files that some paths may come from. Of a hundred thousand, those that nobody asks for are not held. */
class Relatives {
  readonly #byPath = new Map<string, FileEntry>();
  readonly #byLikeness = new Map<string, FileEntry>();

  constructor(basis: Manifest, paths: ReadonlySet<string>) {
    for (const entry of fileEntries(basis)) if (paths.has(entry.path)) this.#byPath.set(entry.path, entry);
    const unknown = [...paths].filter((path) => !this.#byPath.has(path)).map(likenessOf);
    if (unknown.length === 0) return;
    const likenesses = new Set(unknown);
    for (const entry of fileEntries(basis)) {
      const likeness = likenessOf(entry.path);
      if (likenesses.has(likeness)) this.#byLikeness.set(likeness, entry);
    }
  }

  of(path: string): FileEntry | undefined {
    return this.#byPath.get(path) ?? this.#byLikeness.get(likenessOf(path));
  }
}

function likenessOf(path: string): string {
  return path.replaceAll(/[0-9]+/g, '#');
}

/** Index of the first of the ascending files that ends behind `position`. */
function firstEndingAfter(files: readonly Related[], position: number): number {
  let low = 0;
  let high = files.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const file = files[middle] as Related;
    if (file.start + file.bytes <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}
